"""The specification: one row after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

State: TypeAlias = "Tensor | tuple[Tensor, ...]"


def segment_rnn(
    x: Tensor,
    ptr: Tensor,
    weights: Sequence[Tensor],
    kind: str = "gru",
    initial: State | None = None,
    reverse: bool = False,
) -> tuple[State, State]:
    """The states after each row and the last state of each segment; weights as in `torch.nn.GRUCell`, `LSTMCell`."""
    width, parts = weights[1].shape[1], 1 if kind == "gru" else 2
    given = (initial,) if isinstance(initial, Tensor) else initial
    given = given or tuple(x.new_zeros(len(ptr) - 1, width) for _ in range(parts))
    rows: list[tuple[Tensor, ...]] = [tuple(x.new_zeros(width) for _ in range(parts))] * len(x)
    last = []
    for s in range(len(ptr) - 1):
        state = tuple(t[s] for t in given)
        order = range(int(ptr[s]), int(ptr[s + 1]))
        for t in reversed(order) if reverse else order:
            state = (gru if kind == "gru" else lstm)(x[t], state, *weights)
            rows[t] = state
        last.append(state)
    states = [torch.stack(list(t)) for t in zip(*rows)] if rows else [x.new_zeros(0, width)] * parts
    finals = [torch.stack(list(t)) for t in zip(*last)] if last else [x.new_zeros(0, width)] * parts
    return (states[0], finals[0]) if kind == "gru" else (tuple(states), tuple(finals))


def gru(x: Tensor, state: tuple[Tensor, ...], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | float = 0.0, b_hh: Tensor | float = 0.0):  # noqa: E501
    (h,) = state
    (r, z, n), (hr, hz, hn) = (w_ih @ x + b_ih).chunk(3), (w_hh @ h + b_hh).chunk(3)
    r, z = torch.sigmoid(r + hr), torch.sigmoid(z + hz)
    return ((1 - z) * torch.tanh(n + r * hn) + z * h,)


def lstm(x: Tensor, state: tuple[Tensor, ...], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | float = 0.0, b_hh: Tensor | float = 0.0):  # noqa: E501
    h, c = state
    i, f, g, o = (w_ih @ x + b_ih + w_hh @ h + b_hh).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c
