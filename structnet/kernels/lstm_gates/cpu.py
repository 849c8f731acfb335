"""The compiled form (cpu.cpp), called through ctypes."""

from __future__ import annotations

import ctypes

from torch import Tensor

from structnet.native import library, pointer

I64 = ctypes.c_int64


def forward(suffix: str, gates: Tensor, c: Tensor, peephole: Tensor | None) -> tuple[Tensor, Tensor]:
    h, cell = c.new_empty(c.shape), c.new_empty(c.shape)
    call = getattr(library(), f"structnet_lstm_gates_{suffix}")
    call(*map(pointer, (gates, c, peephole)), I64(len(c)), I64(c.shape[1]), pointer(h), pointer(cell))
    return h, cell


def backward(
    suffix: str, dh: Tensor, dcell: Tensor, gates: Tensor, c: Tensor, cell: Tensor, peephole: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    dgates, dc, dpeephole = gates.new_empty(gates.shape), c.new_empty(c.shape), c.new_empty(3, c.shape[1])
    call = getattr(library(), f"structnet_lstm_gates_backward_{suffix}")
    given = map(pointer, (dh, dcell, gates, c, cell, peephole))
    call(*given, I64(len(c)), I64(c.shape[1]), *map(pointer, (dgates, dc, dpeephole)))
    return dgates, dc, dpeephole
