"""The rounds in torch operations: units of a regular board are axes, so sums and broadcasts do what gathers would."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from structnet.kernels.candidate_rounds.weights import CandidateWeights
from structnet.structures.constraints import BOX, CELL, INTERSECTION, LINE, Board, board_of


def candidate_rounds(
    weights: CandidateWeights, state: Tensor, puzzles: Tensor, rounds: int, kept: int
) -> tuple[Tensor, Tensor]:
    """Logits of the last `kept` rounds and the last state; any dtype and device, any gradient."""
    board = board_of(puzzles.shape[1])
    given = weights.input[input_kinds(puzzles, board.size)]
    logits = []
    for at in range(rounds):
        state = one_round(weights, state, given, board)
        if at >= rounds - kept:
            logits.append(read(weights, state).flatten(1, 2))
    return torch.stack(logits) if logits else state.new_zeros(0, *puzzles.shape, board.size), state


def one_round(weights: CandidateWeights, state: Tensor, given: Tensor, board: Board) -> Tensor:
    """State `[boards, n, n, digits, width]`, the input's share of z `[boards, n, n, digits, hidden]` -> next state."""
    rows, columns = (message(weights, LINE, state.sum(axis)) for axis in (2, 1))
    stacks = state.unflatten(2, (-1, board.box_columns)).unflatten(1, (-1, board.box_rows))
    boxes = message(weights, BOX, stacks.sum((2, 4)))  # [boards, box row, box column, digits, hidden]
    across = message(weights, INTERSECTION, stacks.sum(4)).flatten(1, 2)  # [boards, row, box column, ...]
    down = message(weights, INTERSECTION, stacks.sum(2)).flatten(2, 3)  # [boards, box row, column, ...]
    boxed = (boxes.repeat_interleave(board.box_rows, 1) + across).repeat_interleave(board.box_columns, 2)
    boxed = boxed + down.repeat_interleave(board.box_rows, 1)
    cells = message(weights, CELL, state.sum(3))
    z = state @ weights.own + given + boxed + rows.unsqueeze(2) + columns.unsqueeze(1) + cells.unsqueeze(3)
    return update(weights, state, z)


def message(weights: CandidateWeights, kind: int, summed: Tensor) -> Tensor:
    """What a unit of this kind tells its candidates, from what it gathered of them."""
    return (summed @ weights.gather[kind] + weights.gather_bias[kind]).relu() @ weights.spread[kind]


def update(weights: CandidateWeights, state: Tensor, z: Tensor) -> Tensor:
    gate, change = (z.relu() @ weights.update + weights.update_bias).chunk(2, -1)
    return F.layer_norm(state + gate.sigmoid() * change, weights.scale.shape, weights.scale, weights.shift)


def read(weights: CandidateWeights, state: Tensor) -> Tensor:
    return state @ weights.readout[:-1] + weights.readout[-1]


def input_kinds(puzzles: Tensor, size: int) -> Tensor:
    """`[boards, n * n]` -> kind of input of each candidate, `[boards, n, n, n]`."""
    digits = torch.arange(1, size + 1, device=puzzles.device)
    board = puzzles.view(-1, size, size, 1)
    return torch.where(board == 0, 0, torch.where(board == digits, 1, 2))
