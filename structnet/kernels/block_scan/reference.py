"""The specification: one row after the other."""

from __future__ import annotations

import torch
from torch import Tensor


def block_scan(
    transition: Tensor, x: Tensor, ptr: Tensor, initial: Tensor | None = None, reverse: bool = False
) -> Tensor:
    """`h_t = A_t h_{t-1} + x_t` inside each segment, for every head."""
    rows: list[Tensor] = [x.new_zeros(0)] * len(x)
    for s in range(len(ptr) - 1):
        h = None if initial is None else initial[s]
        order = range(int(ptr[s]), int(ptr[s + 1]))
        for t in reversed(order) if reverse else order:
            h = x[t] if h is None else torch.einsum("hij,hj->hi", transition[t], h) + x[t]
            rows[t] = h
    return torch.stack(rows) if rows else x.clone()
