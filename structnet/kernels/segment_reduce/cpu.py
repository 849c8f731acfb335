"""The compiled forms (cpu.cpp), called through ctypes."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from structnet.native import library, pointer

I64, I32 = ctypes.c_int64, ctypes.c_int32
KINDS = {"sum": 0, "mean": 1, "max": 2, "min": 3}


def reduce(suffix: str, x: Tensor, ptr: Tensor, kind: str, winners: bool) -> tuple[Tensor, Tensor]:
    """The reduction `[S, D]`, and with `winners` the row that each maximum or minimum came from (-1: empty)."""
    segments, channels = len(ptr) - 1, x.shape[1]
    out = x.new_empty(segments, channels)
    arg = torch.empty((segments, channels) if winners else (0,), dtype=torch.int64)
    rows = pointer(arg if winners else None)
    getattr(library(), f"structnet_reduce_{suffix}")(
        pointer(x), pointer(ptr), I64(segments), I64(channels), I32(KINDS[kind]), pointer(out), rows
    )
    return out, arg


def softmax(suffix: str, x: Tensor, ptr: Tensor, rows: bool) -> Tensor:
    """The softmax `[N, D]` if `rows`, else the logsumexp `[S, D]`."""
    out = x.new_empty(x.shape[0] if rows else len(ptr) - 1, x.shape[1])
    getattr(library(), f"structnet_softmax_{suffix}")(
        pointer(x), pointer(ptr), I64(len(ptr) - 1), I64(x.shape[1]), I32(rows), pointer(out)
    )
    return out


def softmax_backward(suffix: str, grad: Tensor, y: Tensor, ptr: Tensor) -> Tensor:
    dx = grad.new_empty(grad.shape)
    getattr(library(), f"structnet_softmax_backward_{suffix}")(
        pointer(grad), pointer(y), pointer(ptr), I64(len(ptr) - 1), I64(y.shape[1]), pointer(dx)
    )
    return dx


def gather(suffix: str, values: Tensor, ptr: Tensor, arg: Tensor | None, rows: int) -> Tensor:
    """`[rows, D]`: the value of each row's segment; with `arg`, only in the row that it names, 0 elsewhere."""
    out = values.new_empty(rows, values.shape[1])
    getattr(library(), f"structnet_gather_{suffix}")(
        pointer(values), pointer(ptr), pointer(arg), I64(len(ptr) - 1), I64(values.shape[1]), pointer(out)
    )
    return out
