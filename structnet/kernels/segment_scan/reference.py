"""The specification: a loop that can be checked by eye."""

from __future__ import annotations

import torch
from torch import Tensor


def segment_scan(gate: Tensor, x: Tensor, ptr: Tensor, initial: Tensor | None = None, reverse: bool = False) -> Tensor:
    """`h_t = gate_t h_{t-1} + x_t` inside each segment; gate `[N, G]`, every D / G channels share one."""
    gate = gate.repeat_interleave(x.shape[1] // gate.shape[1], 1)
    rows: list[Tensor] = [x.new_zeros(0)] * len(x)
    for s in range(len(ptr) - 1):
        h = x.new_zeros(x.shape[1]) if initial is None else initial[s]
        order = range(int(ptr[s]), int(ptr[s + 1]))
        for t in reversed(order) if reverse else order:
            # without an initial state the first row is x itself, whatever its gate (0 * inf would be NaN)
            first = initial is None and t == (order[-1] if reverse else order[0])
            h = x[t] if first else gate[t] * h + x[t]
            rows[t] = h
    return torch.stack(rows) if rows else x.clone()
