"""Aggregators beside PyG's: batch dependence, and time and memory on power-law graphs.

python bench/aggr.py --laws     # max difference of a set's value alone and in 100 random batches
python bench/aggr.py --speed    # forward + backward, interleaved, CPU seconds of one thread
python bench/aggr.py --small    # the size that PyG's own can still allocate
python bench/aggr.py --residual RUN ...  # how far the folds of trained `sets` runs are from associative
python bench/aggr.py --packed   # torch's packed GRU beside ours, on the graph of --speed
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch_geometric.nn import aggr as pyg

from structnet import aggr
from structnet.systems import open_run

WIDTH = 64


def power_law(nodes: int, edges: int, largest: int | None = None, seed: int = 0) -> torch.Tensor:
    """Receivers of `edges` edges, shares falling as rank^-0.8, unsorted; at most `largest` each."""
    generator = torch.Generator().manual_seed(seed)
    share = torch.arange(1, nodes + 1).double().pow(-0.8)
    degree = (share / share.sum() * edges).clamp(max=largest or edges).floor().long()
    rest = torch.randint(nodes // 2, nodes, (edges - int(degree.sum()),), generator=generator)
    index = torch.cat([torch.arange(nodes).repeat_interleave(degree), rest])
    return index[torch.randperm(len(index), generator=generator)]


class Packed(nn.Module):
    """torch's own ragged GRU, a `PackedSequence` made without padding (`pack_sequence` would ask for 32 GB)."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(WIDTH, WIDTH)

    def forward(self, x, index, dim_size):
        order, lengths = index.argsort(stable=True), torch.bincount(index, minlength=dim_size)
        place = lengths.argsort(descending=True).argsort()[index[order]]
        time = torch.arange(len(index)) - (lengths.cumsum(0) - lengths)[index[order]]
        rows = order[(time * dim_size + place).argsort()]
        return self.gru(nn.utils.rnn.PackedSequence(x[rows], torch.bincount(time)))[1]


class Sorted(nn.Module):
    """PyG's dense aggregators want a sorted index."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x, index, dim_size):
        order = index.argsort(stable=True)
        return self.module(x[order], index[order], dim_size=dim_size)


OURS = {
    "LCM": lambda: aggr.LCMAggregation(WIDTH, WIDTH, project=False),
    "GRU": lambda: aggr.GRUAggregation(WIDTH, WIDTH),
    "LSTM": lambda: aggr.LSTMAggregation(WIDTH, WIDTH),
    "affine scan": lambda: aggr.AffineScanAggregation(WIDTH, WIDTH),
    "top-k": lambda: aggr.TopKAggregation(WIDTH),
    "logsumexp": lambda: aggr.LogSumExpAggregation(WIDTH),
    "attention": lambda: aggr.AttentionAggregation(WIDTH, WIDTH),
}
HOST = {
    "PyG LCM": lambda: Sorted(pyg.LCMAggregation(WIDTH, WIDTH, project=False)),
    "PyG GRU": lambda: Sorted(pyg.GRUAggregation(WIDTH, WIDTH)),
    "PyG LSTM": lambda: Sorted(pyg.LSTMAggregation(WIDTH, WIDTH)),
}
PEERS = {"PyG max": lambda: pyg.MaxAggregation(), "PyG sum": lambda: pyg.SumAggregation()}
EVERY = {**OURS, **HOST, **PEERS, "packed nn.GRU": Packed}


def laws() -> dict[str, float]:
    """Max |difference| of a 4-element set alone and in 100 random batches, float64."""
    found = {}
    for name in {**OURS, **HOST}:
        torch.manual_seed(0)
        module = EVERY[name]().double()
        mine, worst = torch.randn(4, WIDTH, dtype=torch.float64), 0.0
        alone = module(mine, torch.zeros(4, dtype=torch.long), dim_size=1)
        for _ in range(100):
            lengths = torch.randint(0, 30, (10,))
            rows = torch.cat([torch.randn(int(lengths.sum()), WIDTH, dtype=torch.float64), mine])
            index = torch.cat([torch.arange(10).repeat_interleave(lengths), torch.full((4,), 10)])
            worst = max(worst, float((module(rows, index, dim_size=11)[10] - alone[0]).detach().abs().max()))
        found[name] = worst
    return found


def residuals(folders: list[str]) -> None:
    """||x(yz) - (xy)z||^2 over the folds of 256 sets, beside the mean ||value||^2, of trained `sets` runs."""
    for folder in folders:
        run = open_run(folder)
        model, split = run.weights().eval(), run.system.open_task().split("validation")
        values: list[torch.Tensor] = []
        learned = model.get_submodule("aggregator")
        learned.register_forward_hook(lambda module, given, out, kept=values: kept.append(out))
        with torch.no_grad(), aggr.collect_losses() as losses:
            model(*split.batch(torch.arange(256)).inputs)
        residual, scale = float(losses.mean("associativity")), float(values[0].square().sum(-1).mean())
        print(f"  {folder:24} {residual:.2e} of {scale:.2e}: {residual / scale:.2e}")


def one(name: str, index: torch.Tensor, nodes: int) -> float:
    """CPU seconds of one forward and backward."""
    torch.manual_seed(0)
    module, x = EVERY[name](), torch.randn(len(index), WIDTH, requires_grad=True)
    start = time.process_time()
    module(x, index, dim_size=nodes).sum().backward()
    return time.process_time() - start


def interleaved(names: list[str], index: torch.Tensor, nodes: int, repeats: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats + 1):
        for name in names:
            times[name].append(one(name, index, nodes))
    return {name: sorted(spent[1:]) for name, spent in times.items()}  # the first is a warm-up


def graph(kind: str) -> tuple[torch.Tensor, int]:
    if kind == "small":
        return power_law(2_000, 20_000, 300), 2_000
    index = power_law(20_000, 200_000)
    return (torch.cat([index, torch.zeros(20_000, dtype=torch.long)]) if kind == "hub" else index), 20_000


def memory(name: str, kind: str) -> float:
    """Peak MB above the loaded libraries and the input, in a process of its own."""
    command = [sys.executable, __file__, "--peak", name, kind]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def peak(name: str, kind: str) -> float:
    index, nodes = graph(kind)
    one("PyG sum", index, nodes)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again
    one(name, index, nodes)
    return resident("VmHWM") - before


def resident(which: str) -> float:
    """MB, from Linux's own books."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(which))
    return int(line.split()[1]) / 1024


def table(names: list[str], kind: str, repeats: int) -> None:
    index, nodes = graph(kind)
    print(
        f"{kind}: {nodes:,} nodes, {len(index):,} edges, "
        f"largest degree {int(torch.bincount(index).max()):,}, width {WIDTH}"
    )
    for name, spent in interleaved(names, index, nodes, repeats).items():
        print(
            f"  {name:14} {statistics.median(spent):8.3f} s ({spent[0]:.3f} .. {spent[-1]:.3f})"
            f"   {memory(name, kind):7.0f} MB"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ("--laws", "--speed", "--small"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--packed", action="store_true", help="packed nn.GRU beside ours, once: minutes")
    parser.add_argument("--residual", nargs="+", metavar="RUN", help="how far trained folds are from associative")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        print(peak(*options.peak))
    if options.laws:
        for name, worst in laws().items():
            print(f"  {name:14} {worst:.1e}")
    if options.residual:
        residuals(options.residual)
    if options.speed:
        table([*OURS, *PEERS], "speed", options.repeats)
        table([*OURS, *PEERS], "hub", options.repeats)
    if options.packed:
        for name in ("GRU", "GRU", "packed nn.GRU"):  # the first one warms up
            print(f"  {name:14} {one(name, *graph('speed')):8.2f} s")
    if options.small:
        table([*OURS, *HOST, *PEERS], "small", options.repeats)
