"""The compiled form (cpu.cpp), called through ctypes."""

from __future__ import annotations

import ctypes

from torch import Tensor

from structnet.native import library, pointer

I64, I32 = ctypes.c_int64, ctypes.c_int32


def forward(
    suffix: str,
    gate: Tensor,
    x: Tensor,
    ptr: Tensor,
    initial: Tensor | None,
    reverse: bool,
    log_gate: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """h, into `out` where one is given."""
    h = x.new_empty(x.shape) if out is None else out
    channels = x.shape[1]
    getattr(library(), f"structnet_scan_{suffix}")(
        pointer(gate), pointer(x), pointer(ptr), pointer(initial), I64(len(ptr) - 1), I64(channels),
        I64(channels // gate.shape[1]), I32(reverse), I32(log_gate), pointer(h),
    )  # fmt: skip
    return h


def backward(
    suffix: str,
    grad: Tensor,
    gate: Tensor,
    h: Tensor,
    ptr: Tensor,
    initial: Tensor | None,
    reverse: bool,
    log_gate: bool = False,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """dgate and dx (into `out` where two are given), dinitial."""
    dgate, dx = (gate.new_empty(gate.shape), h.new_empty(h.shape)) if out is None else out
    dinitial = h.new_empty((0, h.shape[1]) if initial is None else initial.shape)
    channels = h.shape[1]
    getattr(library(), f"structnet_scan_backward_{suffix}")(
        pointer(grad), pointer(gate), pointer(h), pointer(ptr), pointer(initial), I64(len(ptr) - 1), I64(channels),
        I64(channels // gate.shape[1]), I32(reverse), I32(log_gate), pointer(dgate), pointer(dx),
        pointer(None if initial is None else dinitial),
    )  # fmt: skip
    return dgate, dx, dinitial
