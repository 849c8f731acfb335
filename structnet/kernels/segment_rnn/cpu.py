"""The compiled gates (cpu.cpp), called through ctypes; and the tail, where one call runs many narrow steps."""

from __future__ import annotations

import ctypes

from torch import Tensor

from structnet.kernels.ragged import NATIVE_DTYPES
from structnet.native import library, pointer

I64 = ctypes.c_int64
NARROW = 16  # sequences: below, a call of a matrix product and one of gates cost more than their arithmetic


def empty(like: Tensor, rows: int, columns: int) -> Tensor:
    """A buffer whose pages are asked for in one piece: many megabytes cost more in page faults than in arithmetic."""
    made = like.new_empty(rows, columns)
    library().structnet_rnn_prepare(pointer(made), I64(made.nbytes))  # type: ignore[union-attr]
    return made


def step(gates: Tensor, h_before: Tensor, c_before: Tensor | None, h: Tensor, c: Tensor | None) -> None:
    getattr(library(), f"structnet_rnn_step_{NATIVE_DTYPES[h.dtype]}")(
        pointer(gates), pointer(h_before), pointer(c_before), I64(h.shape[0]), I64(h.shape[1]), pointer(h), pointer(c)
    )


def step_back(
    dh: Tensor,
    dc: Tensor | None,
    gates: Tensor,
    h_before: Tensor,
    c_before: Tensor | None,
    c: Tensor | None,
    carry_h: Tensor,
    carry_c: Tensor | None,
    out: Tensor,
) -> None:
    getattr(library(), f"structnet_rnn_step_back_{NATIVE_DTYPES[dh.dtype]}")(
        pointer(dh), pointer(dc), pointer(gates), pointer(h_before), pointer(c_before), pointer(c), I64(dh.shape[0]),
        I64(dh.shape[1]), pointer(carry_h), pointer(carry_c), pointer(out),
    )  # fmt: skip


def tail(sizes: Tensor, before: int, w: Tensor, gates: Tensor, h: Tensor, c: Tensor | None) -> None:
    """All steps of `sizes`. `h` (and `c`): the `before` rows of the step before, then the rows of the tail; `gates`:
    the input side of these. `w` `[D, hidden gates]`."""
    getattr(library(), f"structnet_rnn_tail_{NATIVE_DTYPES[h.dtype]}")(
        pointer(sizes), I64(len(sizes)), I64(before), pointer(w), I64(h.shape[1]), pointer(gates), pointer(h),
        pointer(c),
    )  # fmt: skip


def tail_back(
    sizes: Tensor,
    before: int,
    w: Tensor,
    dh: Tensor,
    dc: Tensor | None,
    gates: Tensor,
    h: Tensor,
    c: Tensor | None,
    carry_h: Tensor,
    carry_c: Tensor | None,
    out: Tensor,
) -> None:
    """`w` `[hidden gates, D]`; the carries come as zeros or as what the steps after left."""
    getattr(library(), f"structnet_rnn_tail_back_{NATIVE_DTYPES[h.dtype]}")(
        pointer(sizes), I64(len(sizes)), I64(before), pointer(w), I64(h.shape[1]), pointer(dh), pointer(dc),
        pointer(gates), pointer(h), pointer(c), pointer(carry_h), pointer(carry_c), pointer(out),
    )  # fmt: skip
