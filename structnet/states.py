"""States of cells: a tensor `[rows, ...]` or a tuple of them, and the four things drivers do with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

State: TypeAlias = "Tensor | tuple[Tensor, ...]"


def state_map(function: Callable[..., Tensor], *states: State) -> State:
    """`function` on each tensor (on corresponding tensors of several states)."""
    if isinstance(states[0], tuple):
        return tuple(function(*parts) for parts in zip(*states))
    return function(*states)


def num_rows(state: State) -> int:
    return (state[0] if isinstance(state, tuple) else state).shape[0]


def select(state: State, rows: Tensor) -> State:
    return state_map(lambda t: t.index_select(0, rows), state)


def concat(states: Sequence[State]) -> State:
    return states[0] if len(states) == 1 else state_map(lambda *parts: torch.cat(parts), *states)


def split(state: State, sizes: list[int]) -> Sequence[State]:
    """Views of consecutive rows; a single size gives the state itself."""
    if len(sizes) == 1:
        return [state]
    if isinstance(state, tuple):
        return list(zip(*(t.split(sizes) for t in state)))
    return state.split(sizes)
