"""The specification: one row and one channel at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def lstm_gates(gates: Tensor, c: Tensor, peephole: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """h and the new c, both `[R, D]`; no gradients."""
    width = c.shape[1]
    peep = [[0.0] * width] * 3 if peephole is None else peephole.tolist()
    h, cell = torch.zeros_like(c), torch.zeros_like(c)

    def s(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    for row, (pre, old) in enumerate(zip(gates.tolist(), c.tolist())):
        for k in range(width):
            i, f = s(pre[k] + peep[0][k] * old[k]), s(pre[width + k] + peep[1][k] * old[k])
            new = f * old[k] + i * math.tanh(pre[2 * width + k])
            cell[row, k] = new
            h[row, k] = s(pre[3 * width + k] + peep[2][k] * new) * math.tanh(new)
    return h, cell
