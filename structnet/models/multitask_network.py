"""One tied message-passing layer, as often as half the nodes of a graph: for labels that travel through all of it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing
from torch_geometric.nn import aggr as pyg

from structnet import aggr
from structnet.errors import StructureError

# name -> aggregator of width D, and how many times D wide its value is
AGGREGATORS = {
    "max": lambda width: (pyg.MaxAggregation(), 1),
    "sum": lambda width: (pyg.SumAggregation(), 1),
    "pna": lambda width: (pyg.MultiAggregation(["mean", "max", "min", "std"]), 4),
    "lcm": lambda width: (aggr.LCMAggregation(width, width, project=False), 1),
    "gru": lambda width: (aggr.GRUAggregation(width, width, shuffle=True), 1),
    "affine": lambda width: (aggr.AffineScanAggregation(width, width, shuffle=True), 1),
    "attention": lambda width: (aggr.AttentionAggregation(width, width), 1),
}


class Answers(NamedTuple):
    """Predictions of the nodes' labels `[N, 3]` and of the graphs' `[G, 3]`."""

    nodes: Tensor
    graphs: Tensor


class _Layer(MessagePassing):
    """m_i = [1, s, 1 / s] x aggregate_j W [h_i, h_j],  s = log(d_i + 1) / delta;  h_i <- GRU(V [h_i, m_i], h_i)."""

    def __init__(self, width: int, aggregator: str, delta: float):
        inner, times = AGGREGATORS[aggregator](width)
        super().__init__(aggr=inner)
        self.delta = delta
        self.own, self.other = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.merge, self.cell = nn.Linear((1 + 3 * times) * width, width), nn.GRUCell(width, width)

    def forward(self, h: Tensor, edge_index: Tensor) -> Tensor:
        found = self.propagate(edge_index, x=(self.other(h), self.own(h)), size=(len(h), len(h)))
        degree = torch.bincount(edge_index[1], minlength=len(h)).to(h.dtype)[:, None]
        grown = (degree + 1).log() / self.delta
        scaled = torch.cat([h, found, found * grown, torch.where(degree > 0, found / grown, found)], 1)
        return self.cell(self.merge(scaled), h)

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return x_i + x_j


class MultitaskNetwork(nn.Module):
    """The network of Corso et al., "Principal Neighbourhood Aggregation for Graph Nets", NeurIPS 2020, with any
    aggregator: a first linear map, n / 2 rounds (n: nodes of the graph) of one layer with degree scalers and a GRU,
    and three linear layers for the nodes' labels and, after a sum over the nodes, for the graph's.

    Args:
        aggregator: a name in `AGGREGATORS`; "pna" is the paper's (mean, maximum, minimum, standard deviation).
        width: D (paper: 16 in 4 towers).
        delta: mean of log(degree + 1) over the training nodes.

    Shapes: `data` with x `[N, 2]`, edge_index, graph `[N]`, sizes `[G]` -> `Answers`. A graph stops after its own
    number of rounds, so its values do not depend on the batch; work is n / 2 layers over the graphs still running.

    Differs from the paper in: no towers; a sum as the read-out of the graph (Ong and Velickovic, 2022), not Set2Set;
    ReLU inside the read-outs, none at the end.
    """

    def __init__(self, aggregator: str = "pna", width: int = 16, delta: float = 1.53):
        super().__init__()
        if aggregator not in AGGREGATORS:
            raise StructureError(f"an aggregator out of {', '.join(AGGREGATORS)}", repr(aggregator), 'aggregator="pna"')
        self.first, self.layer = nn.Linear(2, width), _Layer(width, aggregator, delta)
        self.nodes, self.graphs = _readout(width), _readout(width)

    def forward(self, data: Data) -> Answers:
        h = self.first(data.x)
        rounds = (data.sizes // 2)[data.graph]
        edge_index, alive = data.edge_index, torch.arange(len(h), device=h.device)
        for at in range(int(rounds.max()) if len(rounds) else 0):
            running = rounds[alive] > at
            if not bool(running.all()):
                number = running.cumsum(0) - 1
                edge_index = number[edge_index[:, running[edge_index[0]]]]  # type: ignore[index]
                alive = alive[running]
            h = h.index_copy(0, alive, self.layer(h[alive], edge_index))
        total = h.new_zeros(len(data.sizes), h.shape[1]).index_add(0, data.graph, h)
        return Answers(self.nodes(h), self.graphs(total))


def _readout(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))
