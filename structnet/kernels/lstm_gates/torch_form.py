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


def backward(
    dh: Tensor, dcell: Tensor, gates: Tensor, c: Tensor, cell: Tensor, peephole: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of gates `[N, 4 D]`, c and peephole (zeros where there is none), differentiable in everything."""
    p = c.new_zeros(3, c.shape[1]) if peephole is None else peephole
    a_i, a_f, a_g, a_o = gates.chunk(4, 1)
    i, f, o = (a_i + p[0] * c).sigmoid(), (a_f + p[1] * c).sigmoid(), (a_o + p[2] * cell).sigmoid()
    g, squashed = a_g.tanh(), cell.tanh()
    to_o = dh * squashed * o * (1 - o)
    total = dcell + dh * o * (1 - squashed * squashed) + p[2] * to_o
    to_i, to_f = total * g * i * (1 - i), total * c * f * (1 - f)
    dgates = torch.cat([to_i, to_f, total * i * (1 - g * g), to_o], 1)
    dc = total * f + p[0] * to_i + p[1] * to_f
    dpeephole = torch.stack([(to_i * c).sum(0), (to_f * c).sum(0), (to_o * cell).sum(0)])
    dpeephole = torch.zeros_like(p) if peephole is None else dpeephole.to(p.dtype)
    return dgates.to(gates.dtype), dc.to(c.dtype), dpeephole
