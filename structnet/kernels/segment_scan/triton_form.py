# pyright: reportArgumentType=false
# (Triton annotates compile-time arguments with a type that no plain value has)
"""The Triton form: one program per (segment, block of channels), a loop over the segment's rows in registers.

Each row is read and written once, forward and backward; many segments fill the GPU. A few giant segments do not: their
programs are as long as they are (the torch form has logarithmic depth). Runs on the CPU through Triton's interpreter.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _forward_kernel(gate, x, ptr, initial, h, channels, group, HAS_INITIAL: tl.constexpr, REVERSE: tl.constexpr,
                    LOG: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    segment = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    gates = channels // group
    first, last = tl.load(ptr + segment), tl.load(ptr + segment + 1)
    state = tl.zeros([BLOCK], tl.float32)
    if x.dtype.element_ty == tl.float64:
        state = state.to(tl.float64)
    if HAS_INITIAL:
        state = tl.load(initial + segment * channels + channel, mask=inside, other=0.0).to(state.dtype)
    for i in range(last - first):
        row = last - 1 - i if REVERSE else first + i
        value = tl.load(x + row * channels + channel, mask=inside, other=0.0).to(state.dtype)
        a = tl.load(gate + row * gates + channel // group, mask=inside, other=0.0).to(state.dtype)
        if LOG:
            a = tl.exp(a)
        if HAS_INITIAL:
            state = a * state + value
        else:  # the gate of a first row acts on nothing: 0 * inf must not become NaN
            state = tl.where(i == 0, value, a * state + value)
        tl.store(h + row * channels + channel, state, mask=inside)


@triton.jit
def _backward_kernel(grad, gate, h, ptr, initial, product, dx, dinitial, channels, group, HAS_INITIAL: tl.constexpr,
                     REVERSE: tl.constexpr, LOG: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    segment = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    gates = channels // group
    first, last = tl.load(ptr + segment), tl.load(ptr + segment + 1)
    carried = tl.zeros([BLOCK], tl.float32)
    if h.dtype.element_ty == tl.float64:
        carried = carried.to(tl.float64)
    for i in range(last - first):  # from the end of the scan back to its start
        row = first + i if REVERSE else last - 1 - i
        before = row + 1 if REVERSE else row - 1
        at_start = i == last - first - 1
        total = carried + tl.load(grad + row * channels + channel, mask=inside, other=0.0).to(carried.dtype)
        tl.store(dx + row * channels + channel, total, mask=inside)
        limit = channels * tl.minimum(last - first - 1 - i, 1)  # nothing comes before the start
        previous = tl.load(h + before * channels + channel, mask=channel < limit, other=0.0).to(carried.dtype)
        if HAS_INITIAL:
            start = tl.load(initial + segment * channels + channel, mask=inside, other=0.0).to(carried.dtype)
            previous = tl.where(at_start, start, previous)
        a = tl.load(gate + row * gates + channel // group, mask=inside, other=0.0).to(carried.dtype)
        if LOG:
            a = tl.exp(a)
            previous = a * previous
        tl.store(product + row * channels + channel, total * previous, mask=inside)
        if HAS_INITIAL:
            carried = a * total
        else:
            carried = tl.where(at_start, 0.0, a * total)
    if HAS_INITIAL:
        tl.store(dinitial + segment * channels + channel, carried, mask=inside)


def _grid(ptr: Tensor, channels: int) -> tuple[tuple[int, int], int]:
    block = min(128, triton.next_power_of_2(channels))
    return (max(len(ptr) - 1, 1), triton.cdiv(channels, block)), block


def forward(
    gate: Tensor, x: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool, log_gate: bool = False
) -> Tensor:
    h = torch.empty_like(x)
    if len(ptr) > 1:
        grid, block = _grid(ptr, x.shape[1])
        start = x if initial is None else initial
        _forward_kernel[grid](gate, x, ptr, start, h, x.shape[1], x.shape[1] // gate.shape[1], initial is not None,
                              reverse, log_gate, BLOCK=block)  # fmt: skip
    return h


def backward(
    grad: Tensor, gate: Tensor, h: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool, log_gate: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    product, dx = torch.empty_like(h), torch.empty_like(h)
    dinitial = h.new_empty((0, h.shape[1]) if initial is None else initial.shape)
    if len(ptr) > 1:
        grid, block = _grid(ptr, h.shape[1])
        start = h if initial is None else initial
        _backward_kernel[grid](grad, gate, h, ptr, start, product, dx, h if initial is None else dinitial, h.shape[1],
                               h.shape[1] // gate.shape[1], initial is not None, reverse, log_gate,
                               BLOCK=block)  # fmt: skip
    return product.unflatten(1, (gate.shape[1], -1)).sum(-1), dx, dinitial
