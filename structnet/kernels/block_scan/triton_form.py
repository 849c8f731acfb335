# pyright: reportArgumentType=false
# (Triton annotates compile-time arguments with a type that no plain value has)
"""The Triton form: one program per (segment, head), a loop over the segment's rows with the state in registers. Blocks
are held as powers of two, the rest masked. Runs on the CPU through Triton's interpreter."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _forward_kernel(transition, x, ptr, initial, h, heads, SIZE: tl.constexpr, HAS_INITIAL: tl.constexpr,
                    REVERSE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    segment = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    i, j = tl.arange(0, BLOCK), tl.arange(0, BLOCK)
    square = (i[:, None] < SIZE) & (j[None, :] < SIZE)
    first, last = tl.load(ptr + segment), tl.load(ptr + segment + 1)
    state = tl.zeros([BLOCK], tl.float32)
    if x.dtype.element_ty == tl.float64:
        state = state.to(tl.float64)
    if HAS_INITIAL:
        state = tl.load(initial + (segment * heads + head) * SIZE + j, mask=j < SIZE, other=0.0).to(state.dtype)
    for step in range(last - first):
        row = last - 1 - step if REVERSE else first + step
        at = (row * heads + head) * SIZE
        value = tl.load(x + at + i, mask=i < SIZE, other=0.0).to(state.dtype)
        block = tl.load(transition + at * SIZE + i[:, None] * SIZE + j[None, :], mask=square, other=0.0)
        moved = tl.sum(block.to(state.dtype) * state[None, :], axis=1) + value
        if HAS_INITIAL:
            state = moved
        else:  # the block of a first row acts on nothing: 0 * inf must not become NaN
            state = tl.where(step == 0, value, moved)
        tl.store(h + at + i, state, mask=i < SIZE)


@triton.jit
def _backward_kernel(grad, transition, h, ptr, initial, product, dx, dinitial, heads, SIZE: tl.constexpr,
                     HAS_INITIAL: tl.constexpr, REVERSE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    segment = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    i, j = tl.arange(0, BLOCK), tl.arange(0, BLOCK)
    square = (i[:, None] < SIZE) & (j[None, :] < SIZE)
    first, last = tl.load(ptr + segment), tl.load(ptr + segment + 1)
    carried = tl.zeros([BLOCK], tl.float32)
    if h.dtype.element_ty == tl.float64:
        carried = carried.to(tl.float64)
    for step in range(last - first):  # from the end of the scan back to its start
        row = first + step if REVERSE else last - 1 - step
        before = row + 1 if REVERSE else row - 1
        at_start = step == last - first - 1
        at = (row * heads + head) * SIZE
        total = carried + tl.load(grad + at + i, mask=i < SIZE, other=0.0).to(carried.dtype)
        tl.store(dx + at + i, total, mask=i < SIZE)
        limit = SIZE * tl.minimum(last - first - 1 - step, 1)  # nothing comes before the start
        previous = tl.load(h + (before * heads + head) * SIZE + j, mask=j < limit, other=0.0).to(carried.dtype)
        if HAS_INITIAL:
            start = tl.load(initial + (segment * heads + head) * SIZE + j, mask=j < SIZE, other=0.0).to(carried.dtype)
            previous = tl.where(at_start, start, previous)
        place = at * SIZE + i[:, None] * SIZE + j[None, :]
        tl.store(product + place, total[:, None] * previous[None, :], mask=square)
        block = tl.load(transition + place, mask=square, other=0.0).to(carried.dtype)
        carried = tl.sum(block * total[:, None], axis=0)
    if HAS_INITIAL:
        tl.store(dinitial + (segment * heads + head) * SIZE + j, carried, mask=j < SIZE)


def forward(transition: Tensor, x: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool) -> Tensor:
    h = torch.empty_like(x)
    if x.numel():
        _forward_kernel[len(ptr) - 1, x.shape[1]](
            transition, x, ptr, x if initial is None else initial, h, x.shape[1], x.shape[2], initial is not None,
            reverse, BLOCK=triton.next_power_of_2(x.shape[2]),
        )  # fmt: skip
    return h


def backward(
    grad: Tensor, transition: Tensor, h: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    product, dx = torch.empty_like(transition), torch.empty_like(h)
    dinitial = h.new_empty((0, *h.shape[1:]) if initial is None else initial.shape)
    if dinitial.numel() or h.numel():
        _backward_kernel[len(ptr) - 1, h.shape[1]](
            grad, transition, h, ptr, h if initial is None else initial, product, dx,
            h if initial is None else dinitial, h.shape[1], h.shape[2], initial is not None, reverse,
            BLOCK=triton.next_power_of_2(h.shape[2]),
        )  # fmt: skip
    return product, dx, dinitial
