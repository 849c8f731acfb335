"""A relational network on candidates and units: weights that know no board size and no digit."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from structnet.errors import StructureError
from structnet.kernels.candidate_rounds import CandidateWeights, candidate_rounds
from structnet.kernels.candidate_rounds.torch_form import input_kinds, message, update
from structnet.structures.constraints import Constraints, board_of


class Solved(NamedTuple):
    """Logits `[rounds kept, boards, cells, digits]` and the state after the last round, to go on from."""

    logits: Tensor
    state: Tensor


class CandidateNetwork(nn.Module):
    """Recurrent relational network whose nodes are candidates (cell, digit) and whose hyperedges are units: the cell
    itself, and the row, column and box of one digit. In every round

        s_u   = sum of h over the unit u                        (one sum for each of the four units of a candidate)
        m_u   = ReLU(A_k s_u + a_k)                             (k: kind of u; rows and columns are one kind)
        z     = ReLU(W h + sum_u B_k m_u + E[input])            (A and B act on units: n times cheaper)
        g, c  = U z + b
        h'    = LayerNorm(h + sigmoid(g) * c)

    and a scalar readout per candidate, softmax over the digits of a cell. Weights are shared over all cells, digits,
    units of a kind and rounds, so the network is equivariant to every relabelling of digits and every exchange of
    lines, bands and axes, and runs on any board size.

    Differs from Palm et al. 2018 (recurrent relational networks) in: nodes are candidates, not cells; messages come
    from units, not from pairs; no position or digit embeddings; gated residual update with layer norm, not an LSTM.

    Args:
        width, hidden: sizes of h and z. Multiples of 16 run compiled (`kernels/candidate_rounds`).
        rounds: rounds at test time; weights do not depend on it.
        train_rounds: rounds with gradient, loss at each.
        warm_rounds: in training, up to this many rounds without gradient come first (a uniform draw, none for one
            half of the batches): the network sees the states that many rounds lead to, and memory stays that of
            `train_rounds`. With a carried state (`TrainSettings.carry`) there is no need of it.
        noise: standard deviation of the random start state in training.

    Shapes: puzzles int64 `[boards, n * n]`, 0 = empty, digits 1 .. n -> `Solved`; no boards give empty tensors. Cost
    of a board and round: 6 n^3 width hidden flops, and 8 n^2 width (width + hidden) for the units.
    """

    def __init__(
        self,
        width: int = 32,
        hidden: int = 64,
        rounds: int = 64,
        train_rounds: int = 16,
        warm_rounds: int = 0,
        noise: float = 0.0,
    ):
        super().__init__()
        self.width, self.rounds, self.train_rounds = width, rounds, train_rounds
        self.warm_rounds, self.noise = warm_rounds, noise
        for name, shape in zip(CandidateWeights._fields, CandidateWeights.shapes(width, hidden)):
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
        self.start = nn.Parameter(torch.zeros(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        width, hidden = self.own.shape
        nn.init.normal_(self.input)
        nn.init.normal_(self.gather, std=1 / (3 * math.sqrt(width)))  # a unit sums about nine states
        for part, inner in ((self.own, width), (self.spread, width), (self.update, hidden), (self.readout, width)):
            nn.init.uniform_(part, -1 / math.sqrt(inner), 1 / math.sqrt(inner))
        nn.init.ones_(self.scale)
        nn.init.normal_(self.start, std=0.1)

    @property
    def weights(self) -> CandidateWeights:
        return CandidateWeights(*(getattr(self, name) for name in CandidateWeights._fields))

    def first_state(self, puzzles: Tensor) -> Tensor:
        """The state before the first round, `[boards, n, n, digits, width]`; in training with noise."""
        n = board_of(puzzles.shape[1]).size
        state = self.start.expand(len(puzzles), n, n, n, self.width)
        return state + self.noise * torch.randn_like(state) if self.training and self.noise else state

    def forward(self, puzzles: Tensor, state: Tensor | None = None) -> Solved:
        size = board_of(puzzles.shape[1]).size
        if puzzles.numel() and (int(puzzles.min()) < 0 or int(puzzles.max()) > size):
            got = f"{int(puzzles.min())} .. {int(puzzles.max())}"
            raise StructureError(f"digits 0 .. {size}", got, "0 for empty cells")
        state = self.first_state(puzzles) if state is None else state
        if self.training and self.warm_rounds:
            draw = int(torch.randint(-self.warm_rounds, self.warm_rounds + 1, ()))
            with torch.no_grad():
                state = candidate_rounds(self.weights, state, puzzles, max(draw, 0))[1]
        rounds, kept = (self.train_rounds,) * 2 if self.training else (self.rounds, 1)
        return Solved(*candidate_rounds(self.weights, state, puzzles, rounds, kept))

    def graph_round(self, state: Tensor, given: Tensor, graph: Constraints) -> Tensor:
        """The same round on any constraint graph: state `[candidates, width]`, given `[candidates, hidden]`."""
        z = state @ self.own + given
        for kind, index, count in graph.units:
            total = state.new_zeros(count, self.width).index_add(0, index, state)
            z = z + message(self.weights, kind, total).index_select(0, index)
        return update(self.weights, state, z)

    def given(self, puzzles: Tensor) -> Tensor:
        """The input's share of z, `[boards, n, n, digits, hidden]`."""
        return self.input[input_kinds(puzzles, board_of(puzzles.shape[1]).size)]
