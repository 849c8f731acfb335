"""The compiled form (cpu.cpp), called through ctypes."""

from __future__ import annotations

import ctypes

from torch import Tensor

from structnet.kernels.ragged import NATIVE_DTYPES
from structnet.native import library, pointer

I64, I32 = ctypes.c_int64, ctypes.c_int32


def tree_scan(
    weight: Tensor, x: Tensor, links: list[Tensor], layout: list[Tensor], marks: list[int], downwards: bool,
    h: Tensor | None = None, out: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """`links`: parent, child_ptr, child_index. `layout`: order and cuts of `SubtreeOrder`. `out`: to write into."""
    weight, x, h = weight.contiguous(), x.contiguous(), None if h is None else h.contiguous()
    out = x.new_empty(x.shape) if out is None else out
    dweight = None if h is None else weight.new_empty(weight.shape)
    getattr(library(), f"structnet_tree_scan_{NATIVE_DTYPES[x.dtype]}")(
        pointer(weight), pointer(x), *map(pointer, links), *map(pointer, layout), I64(len(layout[1]) - 2),
        I64(x.shape[1]), I64(x.shape[1] // weight.shape[1]), I32(downwards), pointer(out), pointer(h), pointer(dweight),
    )  # fmt: skip
    return out, dweight
