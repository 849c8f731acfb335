"""The next values of the nodes: any recurrent graph network, or a static one, and a linear readout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from structnet.cells.graph_filters import ChebyshevFilter
from structnet.errors import StructureError
from structnet.models.evolvegcn import EvolveGCN
from structnet.models.gcrn import GCRN

RECURRENT = {
    "gcrn-lstm": lambda c, h, k: GCRN(c, h, order=k),
    "gcrn-gru": lambda c, h, k: GCRN(c, h, cell="gru", order=k),
    "gcrn-1": lambda c, h, k: GCRN(c, h, model=1, order=k),
    "diffusion-gru": lambda c, h, k: GCRN(c, h, cell="gru", order=k, filter="diffusion"),
    "lstm": lambda c, h, k: GCRN(c, h, order=1, peephole="none"),
    "gru": lambda c, h, k: GCRN(c, h, cell="gru", order=1),
    "evolvegcn-h": lambda c, h, k: EvolveGCN(c, h, "H"),
    "evolvegcn-o": lambda c, h, k: EvolveGCN(c, h, "O"),
}


class Forecaster(nn.Module):
    """relu of an encoder's last state, then one linear map to `horizon` steps of every channel, as in the examples of
    PyTorch Geometric Temporal.

    Args:
        channels, lags, horizon: C, the number of steps read and of steps drawn.
        hidden: H.
        encoder: a name in `RECURRENT` ("lstm" and "gru" see no graph), or "gcn": two Chebyshev layers on the lags as
            channels, without recurrence.
        order: K of the graph filter.
        ground: added to the biases of the readout at the start.

    Shapes: one graph, x `[N, B, T, C]` -> `[N, B, horizon, C]`; or a list of T snapshots, each a PyG `Batch` of B
    graphs, x `[B * N, C]` -> `[B * N, horizon, C]`. Nothing is kept between calls.
    """

    def __init__(
        self,
        channels: int = 1,
        lags: int = 4,
        horizon: int = 1,
        hidden: int = 32,
        encoder: str = "gcrn-lstm",
        order: int = 2,
        ground: float = 0.0,
    ):
        super().__init__()
        if encoder not in (*RECURRENT, "gcn"):
            raise StructureError(f"an encoder out of {', '.join(RECURRENT)}, gcn", repr(encoder), 'encoder="gcrn-lstm"')
        self.channels, self.lags, self.horizon = channels, lags, horizon
        if encoder == "gcn":
            self.encoder: Any = StaticGCN(channels * lags, hidden, order)
        else:
            self.encoder = RECURRENT[encoder](channels, hidden, order)
        self.readout = nn.Linear(hidden, horizon * channels)
        with torch.no_grad():
            self.readout.bias.add_(ground)

    def forward(self, data: Data | Sequence[Data]) -> Tensor:
        if isinstance(self.encoder, StaticGCN):
            h = self.encoder(data)
        elif isinstance(data, Data) and not isinstance(self.encoder, EvolveGCN):
            h = self.encoder.series(data)[0][..., -1, :]
        else:
            h = self.encoder.series(_listed(data))[0][-1]
        out = self.readout(h.relu()).unflatten(-1, (self.horizon, self.channels))
        if isinstance(data, Data) and isinstance(self.encoder, EvolveGCN):  # windows side by side: back to [N, B, ...]
            assert data.x is not None
            out = out.unflatten(0, (data.x.shape[1], data.x.shape[0])).transpose(0, 1)
        return out


class StaticGCN(nn.Module):
    """relu(W2 * relu(W1 * x)), `*` a Chebyshev convolution of `order` terms, all time steps as channels."""

    def __init__(self, in_channels: int, hidden: int, order: int):
        super().__init__()
        self.filter = ChebyshevFilter(order)
        self.first = nn.Linear(order * in_channels, hidden)
        self.second = nn.Linear(order * hidden, hidden)

    def forward(self, data: Data | Sequence[Data]) -> Tensor:
        if isinstance(data, Data):
            assert data.x is not None
            graph, x = data, data.x.flatten(-2)
        else:
            graph, x = data[-1], torch.cat([step.x for step in data], -1)  # type: ignore[misc]
        operators = self.filter.operators(graph)
        h = self.first(self.filter.basis(x, operators)).relu()
        return self.second(self.filter.basis(h, operators)).relu()


def _listed(data: Data | Sequence[Data]) -> Sequence[Data]:
    """Windows on one graph as T snapshots of B copies of it, for models whose weights evolve per series."""
    if not isinstance(data, Data):
        return data
    assert data.x is not None and data.edge_index is not None
    nodes, windows = data.x.shape[:2]
    shift = torch.arange(windows, device=data.x.device) * nodes
    edge_index = (data.edge_index.unsqueeze(1) + shift[:, None]).flatten(1)
    weight = data.edge_weight if "edge_weight" in data else None
    weight = None if weight is None else weight.repeat(windows)
    ptr = torch.arange(windows + 1) * nodes
    steps = data.x.transpose(0, 1).flatten(0, 1).unbind(1)
    return [Data(x=x, edge_index=edge_index, edge_weight=weight, ptr=ptr) for x in steps]
