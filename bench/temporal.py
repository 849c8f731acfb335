"""Recurrent graph networks beside renderings of their usual implementations, same weights and results, in one run.

python -m bench --only temporal    # time
python -m bench.temporal           # peak memory of one GConvLSTM step, each form in a process of its own
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import ChebConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import scatter, to_undirected

from bench.aggr import resident
from bench.registry import Case, measure
from structnet.models.evolvegcn import EvolveGCN
from structnet.models.gcrn_import import from_pyg_temporal

NODES, EDGES, IN, HIDDEN, STEPS, ORDER = 2000, 16000, 32, 64, 12, 3
TESTS = "tests/models/test_gcrn.py tests/models/test_evolvegcn.py tests/cells/test_graph_filters.py "
TESTS += "tests/kernels/test_lstm_gates.py"
Outputs = list[Tensor]


def graph(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.randint(0, NODES, (2, EDGES), generator=generator)
    pairs = to_undirected(pairs[:, pairs[0] != pairs[1]])
    one_way = pairs[:, pairs[0] < pairs[1]]
    return to_undirected(one_way[:, torch.randperm(one_way.shape[1], generator=generator)[: EDGES // 2]])


class PerGateLSTM(nn.Module):
    """The usual cell: a `ChebConv` with a bias per gate and side, eight a step, each of which normalises the graph."""

    def __init__(self):
        super().__init__()
        for gate in "ifco":
            self.add_module(f"conv_x_{gate}", ChebConv(IN, HIDDEN, ORDER))
            self.add_module(f"conv_h_{gate}", ChebConv(HIDDEN, HIDDEN, ORDER))
            self.register_parameter(f"b_{gate}", nn.Parameter(torch.zeros(1, HIDDEN)))
            if gate != "c":
                self.register_parameter(f"w_c_{gate}", nn.Parameter(torch.rand(1, HIDDEN)))

    def both(self, gate: str, x: Tensor, h: Tensor, edge_index: Tensor) -> Tensor:
        sides = getattr(self, f"conv_x_{gate}")(x, edge_index) + getattr(self, f"conv_h_{gate}")(h, edge_index)
        return sides + getattr(self, f"b_{gate}")

    def forward(self, xs: Tensor, edge_index: Tensor) -> Tensor:
        h = c = xs.new_zeros(xs.shape[0], HIDDEN)
        outputs = []
        for t in range(xs.shape[1]):
            x = xs[:, t]
            i = torch.sigmoid(self.both("i", x, h, edge_index) + self.w_c_i * c)
            f = torch.sigmoid(self.both("f", x, h, edge_index) + self.w_c_f * c)
            c = f * c + i * torch.tanh(self.both("c", x, h, edge_index))
            h = torch.sigmoid(self.both("o", x, h, edge_index) + self.w_c_o * c) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs, 1)


class SnapshotEvolveGCN(nn.Module):
    """The usual loop over snapshots: normalise, choose nodes, move the weight, gather, multiply, scatter."""

    def __init__(self, model: EvolveGCN):
        super().__init__()
        self.layer = model.layers[0]

    def forward(self, snapshots: list[Data]) -> Outputs:
        layer, outputs = self.layer, []
        weight, memory = layer.weight, torch.zeros_like(layer.weight)
        for data in snapshots:
            x, edge_index = data.x, data.edge_index
            assert x is not None and edge_index is not None
            if layer.score is not None:
                y = x @ layer.score / layer.score.norm()
                best, chosen = y.topk(HIDDEN)
                weight = layer.recurrence((x[chosen] * best.tanh().unsqueeze(1)).t(), weight)
            else:
                weight, memory = layer.recurrence(None, (weight, memory))
            index, scale = gcn_norm(edge_index, None, x.shape[0])
            messages = (x @ weight)[index[0]] * scale.unsqueeze(1)
            outputs.append(scatter(messages, index[1], dim_size=x.shape[0]))
        return outputs


@cache
def pyg_temporal() -> Any:
    """`torch_geometric_temporal.nn.recurrent` where it is installed. Its wheel (0.56.2) imports `torch_sparse` for a
    type that this benchmark never meets; without it a stand-in is enough."""
    if importlib.util.find_spec("torch_sparse") is None:
        sys.modules.setdefault("torch_sparse", SimpleNamespace(SparseTensor=type("SparseTensor", (), {})))  # type: ignore[arg-type]
    try:
        return importlib.import_module("torch_geometric_temporal.nn.recurrent")
    except ImportError:
        return None


def their_lstm(peer: PerGateLSTM) -> Any:
    """PyTorch Geometric Temporal's `GConvLSTM` with the weights of `peer`, run over a series."""
    library = pyg_temporal()
    if library is None:
        return None
    cell = library.GConvLSTM(IN, HIDDEN, ORDER)
    cell.load_state_dict(peer.state_dict())

    def run(xs: Tensor, edge_index: Tensor) -> Tensor:
        h = c = None
        outputs = []
        for x in xs.unbind(1):
            h, c = cell(x, edge_index, H=h, C=c)
            outputs.append(h)
        return torch.stack(outputs, 1)

    return cell, run


def agree(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def gcrn(backward: bool) -> Case:
    torch.manual_seed(0)
    edge_index = graph(0)
    x = torch.randn(NODES, STEPS, IN)
    peer = PerGateLSTM()
    ours = from_pyg_temporal({name: value.detach() for name, value in peer.state_dict().items()})
    data = Data(x=x, edge_index=edge_index)
    dense = nn.LSTM(IN, HIDDEN, batch_first=True)

    def step(module: nn.Module, run):
        if not backward:
            with torch.no_grad():
                return run()
        module.zero_grad()
        out = run()
        out.square().mean().backward()
        return out

    forms = {
        "structnet GCRN": lambda: step(ours, lambda: ours.series(data)[0]),
        "eight ChebConv a step": lambda: step(peer, lambda: peer(x, edge_index)),
        "torch LSTM, no graph": lambda: step(dense, lambda: dense(x)[0]),
    }

    theirs = their_lstm(peer)
    if theirs is not None:
        forms["PyG Temporal GConvLSTM"] = lambda: step(theirs[0], lambda: theirs[1](x, edge_index))

    def check() -> None:
        agree(forms["structnet GCRN"](), forms["eight ChebConv a step"]())
        if theirs is not None:
            agree(forms["structnet GCRN"](), forms["PyG Temporal GConvLSTM"]())
        if backward:
            agree(ours.cells[0].bias.grad[:HIDDEN], peer.b_i.grad[0])  # type: ignore[union-attr]

    kind = "forward + backward" if backward else "forward"
    note = f"{NODES} nodes, {edge_index.shape[1]} edges, {IN} -> {HIDDEN}, K = {ORDER}, {STEPS} steps, {kind}"
    return Case(forms, check, items=STEPS, note=note)


def evolve(variant: str) -> Case:
    torch.manual_seed(0)
    model = EvolveGCN(HIDDEN, HIDDEN, variant, num_layers=1, mask=False)
    peer = SnapshotEvolveGCN(model)
    snapshots = [Data(x=torch.randn(NODES, HIDDEN), edge_index=graph(t)) for t in range(20)]

    def step(run) -> Outputs:
        model.zero_grad()
        outputs = run()
        sum(out.square().mean() for out in outputs).backward()  # type: ignore[union-attr]
        return outputs

    forms = {
        f"structnet EvolveGCN-{variant}": lambda: step(lambda: model.series(snapshots)[0]),
        "snapshot by snapshot": lambda: step(lambda: peer(snapshots)),
    }

    library = pyg_temporal()
    if library is not None:  # timed as it is: its mathematics is another (rows, not columns), so it is not compared
        cell = getattr(library, f"EvolveGCN{variant}")(*([NODES] if variant == "H" else []), HIDDEN)

        def theirs() -> Outputs:
            cell.weight = None  # what its examples do between epochs
            cell.zero_grad()
            outputs = [cell(data.x, data.edge_index) for data in snapshots]
            sum(out.square().mean() for out in outputs).backward()  # type: ignore[union-attr]
            return outputs

        forms[f"PyG Temporal EvolveGCN{variant}"] = theirs

    def check() -> None:
        one, grads = next(iter(forms.values()))(), [p.grad.clone() for p in model.parameters()]  # type: ignore[union-attr]
        agree(torch.cat(one), torch.cat(forms["snapshot by snapshot"]()))
        for ours, parameter in zip(grads, model.parameters()):
            agree(ours, parameter.grad)  # type: ignore[arg-type]

    note = f"20 snapshots of {NODES} nodes, ~{EDGES} edges, {HIDDEN} -> {HIDDEN}, one layer, forward + backward"
    return Case(forms, check, items=20, note=note)


@measure("temporal/gconv-lstm", TESTS)
def gconv_lstm() -> Case:
    return gcrn(backward=True)


@measure("temporal/gconv-lstm-forward", TESTS)
def gconv_lstm_forward() -> Case:
    return gcrn(backward=False)


@measure("temporal/evolvegcn-h", TESTS)
def evolvegcn_h() -> Case:
    return evolve("H")


@measure("temporal/evolvegcn-o", TESTS)
def evolvegcn_o() -> Case:
    return evolve("O")


def peak(form: str) -> float:
    """MB above what the process held before, of forward and backward, the second time."""
    run = gcrn(backward=True).forms[form]
    run()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the first call left on the heap goes back
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again
    run()
    return resident("VmHWM") - before


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        print(f"{sys.argv[1]:26} {peak(sys.argv[1]):6.0f} MB")
    else:
        for name in gcrn(backward=True).forms:
            subprocess.run([sys.executable, "-m", "bench.temporal", name], check=True)
