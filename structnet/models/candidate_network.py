"""A relational network on candidates and units: weights that know no board size and no digit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import Aggregation, MaxAggregation

from structnet.aggr.exact import AttentionAggregation
from structnet.aggr.lcm import LCMAggregation
from structnet.errors import StructureError
from structnet.kernels.candidate_rounds import CandidateWeights, candidate_rounds
from structnet.kernels.candidate_rounds.torch_form import input_kinds, message, read, update
from structnet.structures.constraints import Constraints, board_of, is_solution, sudoku_constraints

TRAINED = 9  # digits of the boards that all weights but the size terms are trained on

# what gathers the states of a unit, by name -> made for a width; the sum has the fast path
AGGREGATORS: dict[str, Callable[[int], Aggregation] | None] = {
    "sum": None,
    "max": lambda width: MaxAggregation(),
    "lcm": lambda width: LCMAggregation(width, width),
    "attention": lambda width: AttentionAggregation(width, width),
}


class Solved(NamedTuple):
    """Logits `[rounds kept, boards, cells, digits]` and the state after the last round, to go on from."""

    logits: Tensor
    state: Tensor


class CandidateNetwork(nn.Module):
    """Recurrent relational network whose nodes are candidates (cell, digit) and whose hyperedges are units: the cell
    itself, the row, column and box of one digit, and what the box has in common with the row and with the column. In
    every round

        s_u   = sum of h over the unit u                        (one sum for each of the six units of a candidate)
        m_u   = ReLU(A_k s_u + a_k)                             (k: kind of u; rows and columns are of one kind)
        z     = ReLU(W h + sum_u B_k m_u + E[input])            (A and B act on units: n times cheaper)
        g, c  = U z + b
        h'    = LayerNorm(h + sigmoid(g) * c)

    and a scalar readout per candidate, softmax over the digits of a cell. Weights are shared over all cells, digits,
    units of a kind and rounds, so the network is equivariant to every relabelling of digits and every exchange of
    lines, bands and axes, and runs on any board size. A sum grows with the size n, so E and a are affine in n:
    E + (n - 9) E', a + (n - 9) a', with one slope for n > 9 and another for n < 9; at n = 9 both are without effect.

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
        restart_noise: the same for restarts; well above that of training, since a board that fails from one start
            mostly fails from those near by.
        restarts: at test time this many starts (the first without noise), and for each board the answer of the one
            whose last round changed the state least (smallest residual), or with `halt` the first valid one. Such
            results are to be reported apart.
        halt: at test time a board stops at the first multiple of this many rounds after which its answer keeps the
            givens and the rules (a check of the answer, no search); 0: all boards run all rounds.
        only_size: train E' and a' alone (on boards of another size), so that 9 x 9 boards keep their answers.
        aggr: what gathers the states of a unit: "sum" (compiled), "max", "lcm", "attention" (on the general graph).
            "lcm" is equivariant only as far as its operator is learned to be associative.

    Shapes: puzzles int64 `[boards, n * n]`, 0 = empty, digits 1 .. n -> `Solved`; no boards give empty tensors. Cost
    of a board and round: 6 n^3 width hidden flops, and 2 u width (width + hidden) for u = (4 + 2 sqrt(n)) n^2 units.
    """

    input: Tensor  # the weights of a round by the names of CandidateWeights
    own: Tensor
    gather: Tensor
    gather_bias: Tensor
    spread: Tensor
    update: Tensor
    readout: Tensor
    scale: Tensor

    def __init__(
        self,
        width: int = 32,
        hidden: int = 64,
        rounds: int = 64,
        train_rounds: int = 16,
        warm_rounds: int = 0,
        noise: float = 0.0,
        restart_noise: float = 2.0,
        restarts: int = 1,
        halt: int = 0,
        aggr: str = "sum",
        only_size: bool = False,
    ):
        super().__init__()
        self.width, self.rounds, self.train_rounds = width, rounds, train_rounds
        self.warm_rounds, self.noise, self.halt = warm_rounds, noise, halt
        for name, shape in zip(CandidateWeights._fields, CandidateWeights.shapes(width, hidden)):
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
        self.input_slope = nn.Parameter(torch.zeros(2, *self.input.shape))  # larger boards, smaller boards
        self.gather_slope = nn.Parameter(torch.zeros(2, *self.gather_bias.shape))
        self.start = nn.Parameter(torch.zeros(width))
        if aggr not in AGGREGATORS:
            raise StructureError(f"aggr out of {', '.join(AGGREGATORS)}", repr(aggr), "sum")
        make = AGGREGATORS[aggr]
        self.aggr = make(width) if make else None
        self.restarts, self.restart_noise = restarts, restart_noise
        self.reset_parameters()
        if only_size:
            for name, part in self.named_parameters():
                part.requires_grad_(name.endswith("_slope"))

    def reset_parameters(self) -> None:
        width, hidden = self.own.shape
        nn.init.normal_(self.input)
        nn.init.normal_(self.gather, std=1 / (3 * math.sqrt(width)))  # a unit sums about nine states
        for part, inner in ((self.own, width), (self.spread, width), (self.update, hidden), (self.readout, width)):
            nn.init.uniform_(part, -1 / math.sqrt(inner), 1 / math.sqrt(inner))
        nn.init.ones_(self.scale)
        nn.init.normal_(self.start, std=0.1)

    def weights(self, size: int = 9) -> CandidateWeights:
        """The weights of a round on boards of this many digits."""
        weights = CandidateWeights(*(getattr(self, name) for name in CandidateWeights._fields))
        if size == TRAINED:
            return weights
        extra, side = size - TRAINED, int(size < TRAINED)
        gather_bias = self.gather_bias + extra * self.gather_slope[side]
        return weights._replace(input=self.input + extra * self.input_slope[side], gather_bias=gather_bias)

    def first_state(self, puzzles: Tensor) -> Tensor:
        """The state before the first round, `[boards, n, n, digits, width]`; in training with noise."""
        n = board_of(puzzles.shape[1]).size
        state = self.start.expand(len(puzzles), n, n, n, self.width)
        return state + self.noise * torch.randn_like(state) if self.training and self.noise else state

    def thrown(self, state: Tensor) -> Tensor:
        """Far from a state, to start again from."""
        return state + self.restart_noise * torch.randn_like(state)

    def forward(self, puzzles: Tensor, state: Tensor | None = None) -> Solved:
        puzzles = self._checked(puzzles, state)
        state = self.first_state(puzzles) if state is None else state
        if self.training and self.warm_rounds:
            draw = int(torch.randint(-self.warm_rounds, self.warm_rounds + 1, ()))
            with torch.no_grad():
                state = self._run(puzzles, state, max(draw, 0), 1).state
        if self.training:
            return self._run(puzzles, state, self.train_rounds, self.train_rounds)
        return self._best_of(puzzles, state) if self.restarts > 1 else self._until_valid(puzzles, state)

    def _checked(self, puzzles: Tensor, state: Tensor | None) -> Tensor:
        """The puzzles as int64; the compiled rounds trust what they are given."""
        if puzzles.dim() != 2 or puzzles.is_floating_point():
            got = f"{puzzles.dtype} {tuple(puzzles.shape)}"
            raise StructureError("integers [boards, cells]", got, "puzzles.long().flatten(1)")
        size = board_of(puzzles.shape[1]).size
        if puzzles.numel() and (int(puzzles.min()) < 0 or int(puzzles.max()) > size):
            got = f"{int(puzzles.min())} .. {int(puzzles.max())}"
            raise StructureError(f"digits 0 .. {size}", got, "0 for empty cells")
        expected = (len(puzzles), size, size, size, self.width)
        if state is not None and state.shape != expected:
            raise StructureError(f"state {list(expected)}", str(list(state.shape)), "the state of these very boards")
        return puzzles.long()

    def _run(self, puzzles: Tensor, state: Tensor, rounds: int, kept: int) -> Solved:
        if self.aggr is not None:
            return self._on_graph(puzzles, state, rounds, kept)
        size = board_of(puzzles.shape[1]).size
        return Solved(*candidate_rounds(self.weights(size), state, puzzles, rounds, kept))

    def _until_valid(self, puzzles: Tensor, state: Tensor) -> Solved:
        """All rounds, or for each board as many as it needs."""
        if not self.halt:
            return self._run(puzzles, state, self.rounds, 1)
        state, logits = state.clone(), state.new_zeros(1, *state.shape[:1], puzzles.shape[1], state.shape[3])
        going = torch.arange(len(puzzles), device=puzzles.device)
        for done in range(0, self.rounds, self.halt):
            run = self._run(puzzles[going], state[going], min(self.halt, self.rounds - done), 1)
            state[going], logits[:, going] = run.state, run.logits
            going = going[~is_solution(puzzles[going], run.logits[-1].argmax(-1) + 1)]
        return Solved(logits, state)

    def _attempt(self, puzzles: Tensor, state: Tensor) -> tuple[Solved, Tensor]:
        """One start, and for each board how unsettled its end is: how far the last round moved the state, or where
        boards halt 0 for a valid answer and 1 for another."""
        if self.halt:
            run = self._until_valid(puzzles, state)
            return run, (~is_solution(puzzles, run.logits[-1].argmax(-1) + 1)).to(state.dtype)
        before = self._run(puzzles, state, self.rounds - 1, 1).state
        run = self._run(puzzles, before, 1, 1)
        return run, (run.state - before).flatten(1).norm(dim=1).nan_to_num(nan=math.inf)

    def _best_of(self, puzzles: Tensor, state: Tensor) -> Solved:
        """Several starts, and the most settled end of each board; a board that has settled for good starts no more."""
        best, least = self._attempt(puzzles, state)
        for _ in range(1, self.restarts):
            going = least.nonzero().flatten()
            if not len(going):
                break
            run, residual = self._attempt(puzzles[going], self.thrown(state[going]))
            better = residual < least[going]
            least[going] = torch.minimum(residual, least[going])
            best.logits[:, going[better]] = run.logits[:, better]
            best.state[going[better]] = run.state[better]
        return best

    def graph_round(self, state: Tensor, given: Tensor, graph: Constraints, size: int = 9) -> Tensor:
        """The same round on any constraint graph: state `[candidates, width]`, given `[candidates, hidden]`. Units are
        gathered by `aggr`: the sum, or any PyG aggregation (maximum, LCM, attention, ...) that keeps the width."""
        weights = self.weights(size)
        z = state @ weights.own + given
        for kind, index, count in graph.units:
            if self.aggr is None:
                gathered = state.new_zeros(count, self.width).index_add(0, index, state)
            else:
                gathered = self.aggr(state, index, dim_size=count, dim=0)
            z = z + message(weights, kind, gathered).index_select(0, index)
        return update(weights, state, z)

    def given(self, puzzles: Tensor) -> Tensor:
        """The input's share of z, `[boards, n, n, digits, hidden]`."""
        size = board_of(puzzles.shape[1]).size
        return self.weights(size).input[input_kinds(puzzles, size)]

    def _on_graph(self, puzzles: Tensor, state: Tensor, rounds: int, kept: int) -> Solved:
        """All boards as one constraint graph."""
        board = board_of(puzzles.shape[1])
        graph = sudoku_constraints(board).repeat(len(puzzles))
        given, shape, logits = self.given(puzzles).flatten(0, 3), state.shape, []
        h = state.reshape(-1, self.width)
        for at in range(rounds):
            h = self.graph_round(h, given, graph, board.size)
            if at >= rounds - kept:
                logits.append(read(self.weights(), h).view(*puzzles.shape, board.size))
        empty = state.new_zeros(0, *puzzles.shape, board.size)
        return Solved(torch.stack(logits) if logits else empty, h.view(shape))
