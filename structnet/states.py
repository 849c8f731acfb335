"""States of cells: a tensor `[rows, ...]` or a tuple of them, and the four things drivers do with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from structnet.errors import StructureError

State: TypeAlias = "Tensor | tuple[Tensor, ...]"


def state_map(function: Callable[..., Tensor], *states: State) -> State:
    """`function` on each tensor (on corresponding tensors of several states)."""
    if isinstance(states[0], tuple):
        return tuple(function(*parts) for parts in zip(*states))
    return function(*states)


def num_rows(state: State) -> int:
    """Rows of a state. StructureError if its tensors do not have the same number."""
    if not isinstance(state, tuple):
        return state.shape[0]
    rows = state[0].shape[0]
    for part in state:
        if part.shape[0] != rows:
            raise StructureError("tensors of a state with equally many rows", f"{rows} and {part.shape[0]}", "the same")
    return rows


def device_of(state: State) -> torch.device:
    return (state[0] if isinstance(state, tuple) else state).device


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
