# pyright: reportArgumentType=false
# (Triton annotates compile-time arguments with a type that no plain value has)
"""The Triton form: a launch per round, in it one program per (heavy path, block of channels), a loop over the path.

The state stays in registers along the path; light children were finished by the launch before. Every row is read and
written once where it lies, nothing is permuted. Runs on the CPU through Triton's interpreter.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _up_kernel(weight, x, parent, child_ptr, child, rows, ptr, out, h, product, path, channels, group,
               PRODUCT: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    path += tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    gates = channels // group
    first, last = tl.load(ptr + path), tl.load(ptr + path + 1)
    state = tl.zeros([BLOCK], tl.float32)
    if x.dtype.element_ty == tl.float64:
        state = state.to(tl.float64)
    heavy = tl.load(rows + first) * 0 - 1  # no child below a leaf
    for at in range(first, last):
        row = tl.load(rows + at)
        total = tl.load(x + row * channels + channel, mask=inside, other=0.0).to(state.dtype)
        if PRODUCT:
            there = tl.load(h + row * channels + channel, mask=inside, other=0.0).to(state.dtype)
        for e in range(tl.load(child_ptr + row), tl.load(child_ptr + row + 1)):
            c = tl.load(child + e)
            limit = tl.where(c == heavy, 0, channels)  # the heavy child's state is at hand
            below = tl.load(out + c * channels + channel, mask=channel < limit, other=0.0).to(state.dtype)
            below = tl.where(c == heavy, state, below)
            total += tl.load(weight + c * gates + channel // group, mask=inside, other=0.0).to(state.dtype) * below
            if PRODUCT:
                tl.store(product + c * channels + channel, below * there, mask=inside)
        tl.store(out + row * channels + channel, total, mask=inside)
        if PRODUCT:
            limit = tl.where(tl.load(parent + row) == row, channels, 0)
            tl.store(product + row * channels + channel, tl.zeros([BLOCK], tl.float32), mask=channel < limit)
        state, heavy = total, row


@triton.jit
def _down_kernel(weight, x, parent, child_ptr, child, rows, ptr, out, h, product, path, channels, group,
                 PRODUCT: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    path += tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    gates = channels // group
    first, last = tl.load(ptr + path), tl.load(ptr + path + 1)
    top = tl.load(rows + last - 1)
    above = tl.load(parent + top)
    limit = tl.where(above == top, 0, channels)
    state = tl.load(out + above * channels + channel, mask=channel < limit, other=0.0)
    if x.dtype.element_ty == tl.float64:
        state = state.to(tl.float64)
    else:
        state = state.to(tl.float32)
    for i in range(last - first):
        row = tl.load(rows + last - 1 - i)
        edge = tl.where(tl.load(parent + row) == row, 0, channels)  # no edge above a root: 0 * inf would be NaN
        value = tl.load(x + row * channels + channel, mask=inside, other=0.0).to(state.dtype)
        w = tl.load(weight + row * gates + channel // group, mask=channel < edge, other=0.0).to(state.dtype)
        if PRODUCT:
            here = tl.load(h + row * channels + channel, mask=channel < edge, other=0.0).to(state.dtype)
            tl.store(product + row * channels + channel, state * here, mask=inside)
        state = value + w * state
        tl.store(out + row * channels + channel, state, mask=inside)


def tree_scan(
    weight: Tensor, x: Tensor, links: list[Tensor], layout: list[Tensor], marks: list[int], downwards: bool,
    h: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """`layout`: rows and ptr of `HeavyPaths`; `marks`: its rounds."""
    weight, x, h = weight.contiguous(), x.contiguous(), None if h is None else h.contiguous()
    out, channels = torch.empty_like(x), x.shape[1]
    product = None if h is None else torch.empty_like(x)
    block = min(128, triton.next_power_of_2(channels))
    kernel = _down_kernel if downwards else _up_kernel
    pairs = list(zip(marks, marks[1:]))
    for first, last in reversed(pairs) if downwards else pairs:
        kernel[(last - first, triton.cdiv(channels, block))](
            weight, x, links[0], links[1], links[2], layout[0], layout[1], out, x if h is None else h,
            x if product is None else product, first, channels, channels // weight.shape[1], h is not None, BLOCK=block,
        )  # fmt: skip
    return out, None if product is None else product.unflatten(1, (weight.shape[1], -1)).sum(-1)
