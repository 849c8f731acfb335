"""The candidate network on any constraint graph, with any aggregator in its units."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import aggr as pyg

from structnet import aggr
from structnet.errors import StructureError
from structnet.kernels.candidate_rounds import CandidateWeights
from structnet.kernels.candidate_rounds.torch_form import message, read, update
from structnet.models.candidate_network import CandidateNetwork, Solved
from structnet.rounds import pass_messages
from structnet.structures.constraints import UNIT_KINDS
from structnet.structures.incidence import Incidence

AGGREGATORS = {
    "sum": lambda width: pyg.SumAggregation(),
    "max": lambda width: pyg.MaxAggregation(),
    "lcm": lambda width: aggr.LCMAggregation(width, width, project=False),
    "attention": lambda width: aggr.AttentionAggregation(width, width),
}


class ConstraintNetwork(nn.Module):
    """The rounds of `CandidateNetwork` on batches of any constraint graphs: Sudokus and Latin squares of any sizes,
    queens, graph colouring. Its units are lists of candidates instead of axes of a board:

        s_u   = aggregate of h over the candidates of unit u      (sum; or maximum, a learned monoid, attention)

    and all else as there, with the same weights by the same names but for the size terms: with aggregator "sum"
    `load_state_dict({**network.weights(n)._asdict(), "start": network.start})` takes those that a `CandidateNetwork`
    has for n digits, and gives its logits on its boards (tested; but not for prime n, whose boxes
    are lines: units of one candidate are left out here).

    Args:
        width, hidden, rounds, train_rounds, noise: as in `CandidateNetwork`.
        aggregator: a name in `AGGREGATORS`, one module for each kind of unit.

    Shapes: kinds of input int64 `[M]` (0 open, 1 given, 2 ruled out by a given one of the same choice), `Incidence`
    of M candidates -> `Solved` with logits `[rounds kept, M]`. A candidate in no unit hears nothing. The order of
    candidates, units and problems changes no answer (with "lcm", whose operator need not be associative, that of
    candidates may). Cost of a round: 6 M width hidden flops, 2 width (width + hidden) a unit.

    Raises:
        StructureError: an unknown aggregator, or inputs that do not fit the graph.
    """

    def __init__(
        self,
        width: int = 32,
        hidden: int = 64,
        rounds: int = 32,
        train_rounds: int = 16,
        noise: float = 0.0,
        aggregator: str = "sum",
    ):
        super().__init__()
        if aggregator not in AGGREGATORS:
            raise StructureError(f"an aggregator out of {', '.join(AGGREGATORS)}", repr(aggregator), 'aggregator="sum"')
        self.width, self.rounds, self.train_rounds, self.noise = width, rounds, train_rounds, noise
        for name, value in CandidateNetwork(width, hidden).named_parameters():
            if not name.endswith("_slope"):  # problems of one batch have no common size
                self.register_parameter(name, value)
        self.aggregators = nn.ModuleList(AGGREGATORS[aggregator](width) for _ in range(UNIT_KINDS))

    def forward(self, kinds: Tensor, graph: Incidence, state: Tensor | None = None) -> Solved:
        if kinds.shape != (graph.num_candidates,):
            raise StructureError(f"kinds [{graph.num_candidates}]", str(tuple(kinds.shape)), "one a candidate")
        weights = CandidateWeights(*(getattr(self, name) for name in CandidateWeights._fields))
        given = weights.input[kinds]
        if state is None:
            start: Tensor = self.start  # type: ignore[assignment]
            state = start.expand(len(kinds), self.width)
            state = state + self.noise * torch.randn_like(state) if self.training and self.noise else state

        def gather(h: Tensor, graph: Incidence) -> Tensor:
            z = h @ weights.own + given
            for kind, aggregator in enumerate(self.aggregators):
                pairs = slice(*graph.pair_ptr[kind : kind + 2])
                first, last = graph.kind_ptr[kind : kind + 2]
                if last > first:
                    candidate, unit = graph.candidate[pairs], graph.unit[pairs] - first
                    told = message(weights, kind, aggregator(h[candidate], index=unit, dim_size=last - first))
                    z = z.index_add(0, candidate, told[unit])
            return z

        rounds = self.train_rounds if self.training else self.rounds
        states, last = pass_messages(
            gather, lambda z, h: update(weights, h, z), state, graph, rounds, keep=rounds if self.training else 1
        )
        return Solved(torch.stack([read(weights, h) for h in states]), last)
