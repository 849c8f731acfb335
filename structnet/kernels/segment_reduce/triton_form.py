# pyright: reportArgumentType=false
# (Triton annotates compile-time arguments with a type that no plain value has)
"""The Triton forms: one program per (segment, block of channels), a loop over the segment's rows in registers.
Sorted rows, no atomics: the same bits every time. Runs on the CPU through Triton's interpreter."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

KINDS = {"sum": 0, "mean": 1, "max": 2, "min": 3}


@triton.jit
def _reduce_kernel(x, ptr, out, arg, channels, KIND: tl.constexpr, BLOCK: tl.constexpr):
    segment = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    first, last = tl.load(ptr + segment), tl.load(ptr + segment + 1)
    best = tl.zeros([BLOCK], tl.float32)
    if x.dtype.element_ty == tl.float64:
        best = best.to(tl.float64)
    where = tl.full([BLOCK], -1, tl.int64)
    for row in range(first, last):
        value = tl.load(x + row * channels + channel, mask=inside, other=0.0).to(best.dtype)
        if KIND < 2:
            best += value
        else:
            better = value > best if KIND == 2 else value < best
            better = better | ((value != value) & (best == best)) | (where < 0)
            best = tl.where(better, value, best)
            where = tl.where(better, row, where)
    if KIND == 1:
        best = best / tl.maximum(last - first, 1).to(best.dtype)
    tl.store(out + segment * channels + channel, best, mask=inside)
    if KIND >= 2:
        tl.store(arg + segment * channels + channel, where, mask=inside)


@triton.jit
def _softmax_kernel(x, ptr, out, channels, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    segment = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    first, last = tl.load(ptr + segment), tl.load(ptr + segment + 1)
    top = tl.full([BLOCK], float("-inf"), tl.float32)
    if x.dtype.element_ty == tl.float64:
        top = top.to(tl.float64)
    total = tl.zeros([BLOCK], tl.float32).to(top.dtype)
    for row in range(first, last):  # running maximum and sum in one pass
        value = tl.load(x + row * channels + channel, mask=inside, other=0.0).to(top.dtype)
        higher = tl.where((value > top) | (value != value), value, top)
        base = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(top - base) + tl.exp(value - base)
        top = higher
    base = tl.where(top == float("-inf"), 0.0, top)
    if ROWS:
        for row in range(first, last):
            value = tl.load(x + row * channels + channel, mask=inside, other=0.0).to(top.dtype)
            tl.store(out + row * channels + channel, tl.exp(value - base) / total, mask=inside)
    else:
        value = tl.where(total == 0.0, float("-inf"), base + tl.log(tl.where(total == 0.0, 1.0, total)))
        tl.store(out + segment * channels + channel, value, mask=inside)


@triton.jit
def _softmax_backward_kernel(grad, y, ptr, dx, channels, BLOCK: tl.constexpr):
    segment = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    first, last = tl.load(ptr + segment), tl.load(ptr + segment + 1)
    dot = tl.zeros([BLOCK], tl.float32)
    if y.dtype.element_ty == tl.float64:
        dot = dot.to(tl.float64)
    for row in range(first, last):
        at = row * channels + channel
        g = tl.load(grad + at, mask=inside, other=0.0).to(dot.dtype)
        dot += g * tl.load(y + at, mask=inside, other=0.0).to(dot.dtype)
    for row in range(first, last):
        at = row * channels + channel
        g = tl.load(grad + at, mask=inside, other=0.0).to(dot.dtype)
        tl.store(dx + at, tl.load(y + at, mask=inside, other=0.0).to(dot.dtype) * (g - dot), mask=inside)


@triton.jit
def _gather_kernel(values, ptr, arg, out, channels, HAS_ARG: tl.constexpr, BLOCK: tl.constexpr):
    segment = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    value = tl.load(values + segment * channels + channel, mask=inside, other=0.0)
    if HAS_ARG:
        where = tl.load(arg + segment * channels + channel, mask=inside, other=-1)
    for row in range(tl.load(ptr + segment), tl.load(ptr + segment + 1)):
        here = tl.where(where == row, value, 0.0) if HAS_ARG else value
        tl.store(out + row * channels + channel, here, mask=inside)


def _grid(ptr: Tensor, channels: int) -> tuple[tuple[int, int], int]:
    block = min(128, triton.next_power_of_2(channels))
    return (len(ptr) - 1, triton.cdiv(channels, block)), block


def reduce(x: Tensor, ptr: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    shape = (len(ptr) - 1, x.shape[1])
    out = x.new_empty(shape)
    arg = ptr.new_empty(shape if kind in ("max", "min") else (0,))
    if out.numel():
        grid, block = _grid(ptr, x.shape[1])
        _reduce_kernel[grid](x, ptr, out, arg, x.shape[1], KIND=KINDS[kind], BLOCK=block)
    return out, arg


def softmax(x: Tensor, ptr: Tensor, rows: bool) -> Tensor:
    out = x.new_empty(x.shape[0] if rows else len(ptr) - 1, x.shape[1])
    if out.numel():
        grid, block = _grid(ptr, x.shape[1])
        _softmax_kernel[grid](x, ptr, out, x.shape[1], ROWS=rows, BLOCK=block)
    return out


def softmax_backward(grad: Tensor, y: Tensor, ptr: Tensor) -> Tensor:
    dx = y.new_empty(y.shape)
    if dx.numel():
        grid, block = _grid(ptr, y.shape[1])
        _softmax_backward_kernel[grid](grad, y, ptr, dx, y.shape[1], BLOCK=block)
    return dx


def gather(values: Tensor, ptr: Tensor, arg: Tensor | None, rows: int) -> Tensor:
    out = values.new_empty(rows, values.shape[1])
    if out.numel():
        grid, block = _grid(ptr, values.shape[1])
        start = ptr if arg is None else arg
        _gather_kernel[grid](values, ptr, start, out, values.shape[1], HAS_ARG=arg is not None, BLOCK=block)
    return out
