"""The compiled form (cpu.cpp), called through ctypes."""

from __future__ import annotations

import ctypes

from torch import Tensor

from structnet.native import library, pointer
from structnet.structures.constraints import board_of

I64, I32 = ctypes.c_int64, ctypes.c_int32


def _sizes(puzzles: Tensor, width: int, hidden: int, rounds: int) -> tuple[ctypes.c_int64, ...]:
    board = board_of(puzzles.shape[1])
    return tuple(map(I64, (board.size, board.box_rows, width, hidden, len(puzzles), rounds)))


def forward(
    weights: Tensor, start: Tensor, puzzles: Tensor, hidden: int, rounds: int, kept: int, every: bool
) -> tuple[Tensor, Tensor]:
    """Logits `[kept, boards, cells, digits]`, and states `[boards, rounds + 1 or 2, ...]`: all, or two by turns."""
    states = start.new_empty(len(start), rounds + 1 if every else 2, *start.shape[1:])
    states[:, 0] = start
    logits = start.new_empty(kept, *puzzles.shape, start.shape[-2])
    library().structnet_candidate_rounds(  # type: ignore[union-attr]
        *_sizes(puzzles, start.shape[-1], hidden, rounds), pointer(puzzles), pointer(weights), pointer(states),
        I64(kept), I32(every), pointer(logits),
    )  # fmt: skip
    return logits, states


def backward(
    weights: Tensor, states: Tensor, puzzles: Tensor, hidden: int, dlogits: Tensor, dstate: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of the weights and of the start; `dstate` `[boards, ...]` is that of the last state."""
    dweights, grad = weights.new_zeros(weights.shape), dstate.contiguous().clone()
    library().structnet_candidate_rounds_backward(  # type: ignore[union-attr]
        *_sizes(puzzles, states.shape[-1], hidden, states.shape[1] - 1), pointer(puzzles), pointer(weights),
        pointer(states), pointer(dlogits), pointer(grad), pointer(dweights),
    )  # fmt: skip
    return dweights, grad
