"""A relational network on candidates and units: weights that know no board size and no digit."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from structnet.errors import StructureError
from structnet.structures.constraints import Board, Constraints, board_of

KINDS = 3  # of input: the cell is empty, this digit is given, another digit is given


class Solved(NamedTuple):
    """Logits `[rounds kept, boards, cells, digits]` and the state after the last round, to go on from."""

    logits: Tensor
    state: Tensor


class CandidateNetwork(nn.Module):
    """Recurrent relational network whose nodes are candidates (cell, digit) and whose hyperedges are units: the cell
    itself, and the row, column and box of one digit. In every round

        s_u   = sum of h over the unit u                        (one sum for each of the four units of a candidate)
        z     = ReLU(W h + sum_u V_u s_u + E[input])            (V_u acts on units, not on candidates: n times cheaper)
        g, c  = U z
        h'    = LayerNorm(h + sigmoid(g) * c)

    and a scalar readout per candidate, softmax over the digits of a cell. Weights are shared over all cells, digits,
    units of a kind and rounds, so the network is equivariant to every relabelling of digits and every exchange of
    lines, bands and axes (rows and columns share V), and runs on any board size.

    Differs from Palm et al. 2018 (recurrent relational networks) in: nodes are candidates, not cells; messages are sums
    over units, not over pairs; no position or digit embeddings; gated residual update with layer norm instead of an
    LSTM.

    Args:
        width, hidden: sizes of h and z.
        rounds: rounds at test time; weights do not depend on it.
        train_rounds: rounds with gradient, loss at each.
        warm_rounds: in training, up to this many rounds without gradient come first (a uniform draw, none for one
            half of the batches): the network sees the states that many rounds lead to, and memory stays that of
            `train_rounds`.
        noise: standard deviation of the random start state in training.

    Shapes: puzzles int64 `[boards, n * n]`, 0 = empty, digits 1 .. n -> `Solved`. Cost of a board and round:
    2 n^3 (2 width hidden + hidden 2 width) flops and 8 n^2 width hidden for the units.
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
        self.input = nn.Embedding(KINDS, hidden)
        self.own = nn.Linear(width, hidden, bias=False)
        self.units = nn.Parameter(torch.empty(3, width, hidden))  # cell, line (row or column), box
        self.update = nn.Linear(hidden, 2 * width)
        self.norm = nn.LayerNorm(width)
        self.readout = nn.Linear(width, 1)
        self.start = nn.Parameter(torch.zeros(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.units, std=1 / (3 * math.sqrt(self.width)))  # a unit sums about nine states
        nn.init.normal_(self.start, std=0.1)

    def forward(self, puzzles: Tensor, state: Tensor | None = None) -> Solved:
        board = board_of(puzzles.shape[1])
        given = self.input(input_kinds(puzzles, board.size))  # [boards, n, n, digits, hidden]
        if state is None:
            state = self.start.expand(*given.shape[:-1], self.width)
            if self.training and self.noise:
                state = state + self.noise * torch.randn_like(state)
        rounds = self.train_rounds if self.training else self.rounds
        if self.training and self.warm_rounds:
            state = self._warm(state, given, board)
        logits = []
        for at in range(rounds):
            state = self.round(state, given, board)
            if self.training or at == rounds - 1:
                logits.append(self.readout(state).squeeze(-1).flatten(1, 2))
        return Solved(torch.stack(logits), state)

    def round(self, state: Tensor, given: Tensor, board: Board) -> Tensor:
        """One round on the regular board: units are axes, so a sum and a broadcast do what a gather would."""
        cell, line, box = self.units
        own = torch.addmm(given.flatten(0, 3), state.flatten(0, 3), self.own.weight.t()).view_as(given)
        stack = state.unflatten(2, (-1, board.box_columns))  # columns by box
        # [boards, box row, box column, digits, hidden]
        boxes = stack.unflatten(1, (-1, board.box_rows)).sum((2, 4)) @ box
        # the row's and the box's share are the same for the columns of a box: add them before spreading
        rows = (state.sum(2) @ line).unsqueeze(2) + boxes.repeat_interleave(board.box_rows, 1)
        spread = (state.sum(1) @ line).unflatten(1, (1, -1, board.box_columns)) + rows.unsqueeze(3)
        return self._gated(state, own + spread.flatten(2, 3) + (state.sum(3) @ cell).unsqueeze(3))

    def graph_round(self, state: Tensor, given: Tensor, graph: Constraints) -> Tensor:
        """The same round on any constraint graph: state `[candidates, width]`, units by index."""
        z = self.own(state) + given
        for kind, index, count in graph.units:
            total = state.new_zeros(count, self.width).index_add(0, index, state)
            z = z + (total @ self.units[kind]).index_select(0, index)
        return self._gated(state, z)

    def _gated(self, h: Tensor, z: Tensor) -> Tensor:
        gate, change = self.update(z.relu()).chunk(2, -1)
        return self.norm(h + gate.sigmoid() * change)

    def _warm(self, state: Tensor, given: Tensor, board: Board) -> Tensor:
        draw = int(torch.randint(-self.warm_rounds, self.warm_rounds + 1, ()))
        with torch.no_grad():
            for _ in range(draw):
                state = self.round(state, given, board)
        return state


def input_kinds(puzzles: Tensor, size: int) -> Tensor:
    """`[boards, n * n]` -> kind of input of each candidate, `[boards, n, n, n]`."""
    if puzzles.numel() and (int(puzzles.min()) < 0 or int(puzzles.max()) > size):
        got = f"{int(puzzles.min())} .. {int(puzzles.max())}"
        raise StructureError(f"digits 0 .. {size}", got, "0 for empty cells")
    digits = torch.arange(1, size + 1, device=puzzles.device)
    board = puzzles.view(-1, size, size, 1)
    return torch.where(board == 0, 0, torch.where(board == digits, 1, 2))
