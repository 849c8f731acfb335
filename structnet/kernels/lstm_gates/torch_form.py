"""Torch's own operations: any device, any type, any number of derivatives."""

from __future__ import annotations

import torch
from torch import Tensor


def lstm_gates(gates: Tensor, c: Tensor, peephole: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Also for peepholes that are not one row: anything that broadcasts with c, `[3, ...]`."""
    i, f, candidate, o = gates.chunk(4, -1)
    if peephole is not None:
        i, f = torch.addcmul(i, peephole[0], c), torch.addcmul(f, peephole[1], c)
    cell = torch.addcmul(f.sigmoid() * c, i.sigmoid(), candidate.tanh())
    if peephole is not None:
        o = torch.addcmul(o, peephole[2], cell)
    return o.sigmoid() * cell.tanh(), cell
