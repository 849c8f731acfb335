"""The compiled form (cpu.cpp), called through ctypes."""

from __future__ import annotations

import ctypes

from torch import Tensor

from structnet.native import library, pointer

I64 = ctypes.c_int64


def forward(
    suffix: str, source: Tensor, target: Tensor, edge: Tensor | None, sender: Tensor, ptr: Tensor
) -> Tensor:
    out = target.new_empty(target.shape)
    given = map(pointer, (source, target, edge, sender, ptr))
    getattr(library(), f"structnet_edge_relu_sum_{suffix}")(*given, *map(I64, target.shape), pointer(out))
    return out


def backward(
    suffix: str, grad: Tensor, source: Tensor, target: Tensor, edge: Tensor | None, sender: Tensor, ptr: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    dsource, dtarget = source.new_empty(source.shape), target.new_empty(target.shape)
    dedge = grad.new_empty((0, grad.shape[1]) if edge is None else edge.shape)
    given = map(pointer, (grad, source, target, edge, sender, ptr))
    sizes = map(I64, (len(source), *target.shape))
    made = map(pointer, (dsource, dtarget, dedge))
    getattr(library(), f"structnet_edge_relu_sum_backward_{suffix}")(*given, *sizes, *made)
    return dsource, dtarget, dedge
