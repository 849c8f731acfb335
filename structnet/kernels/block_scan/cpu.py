"""The compiled form (cpu.cpp), called through ctypes."""

from __future__ import annotations

import ctypes

from torch import Tensor

from structnet.native import library, pointer

I64, I32 = ctypes.c_int64, ctypes.c_int32


def forward(suffix: str, transition: Tensor, x: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool) -> Tensor:
    h = x.new_empty(x.shape)
    getattr(library(), f"structnet_block_scan_{suffix}")(
        pointer(transition), pointer(x), pointer(ptr), pointer(initial), I64(len(ptr) - 1), I64(x.shape[1]),
        I64(x.shape[2]), I32(reverse), pointer(h),
    )  # fmt: skip
    return h


def backward(
    suffix: str, grad: Tensor, transition: Tensor, h: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    made, dx = transition.new_empty(transition.shape), h.new_empty(h.shape)
    dinitial = h.new_empty((0, *h.shape[1:]) if initial is None else initial.shape)
    getattr(library(), f"structnet_block_scan_backward_{suffix}")(
        pointer(grad), pointer(transition), pointer(h), pointer(ptr), pointer(initial), I64(len(ptr) - 1),
        I64(h.shape[1]), I64(h.shape[2]), I32(reverse), pointer(made), pointer(dx),
        pointer(None if initial is None else dinitial),
    )  # fmt: skip
    return made, dx, dinitial
