# pyright: reportArgumentType=false
# (Triton annotates compile-time arguments with a type that no plain value has)
"""The gates of one step as one launch: a program per (sequence, block of channels). The products are torch's. Runs on
the CPU through Triton's interpreter."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _tanh(x):
    e = tl.exp(-2 * tl.abs(x))  # never above 1
    return tl.where(x < 0, e - 1, 1 - e) / (1 + e)


@triton.jit
def _step_kernel(gates, h_before, c_before, h, c, d, LSTM: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < d
    first, state = gates + row * 4 * d + k, row * d + k
    a = tl.sigmoid(tl.load(first, mask=inside, other=0.0).to(WIDE))
    b = tl.sigmoid(tl.load(first + d, mask=inside, other=0.0).to(WIDE))
    third = tl.load(first + 2 * d, mask=inside, other=0.0).to(WIDE)
    fourth = tl.load(first + 3 * d, mask=inside, other=0.0).to(WIDE)
    if LSTM:
        third = _tanh(third)
        fourth = tl.sigmoid(fourth)
        cell = b * tl.load(c_before + state, mask=inside, other=0.0).to(WIDE) + a * third
        new = fourth * _tanh(cell)
        tl.store(c + state, cell, mask=inside)
        tl.store(first + 2 * d, third, mask=inside)
    else:
        fourth = _tanh(fourth + a * third)
        new = fourth + b * (tl.load(h_before + state, mask=inside, other=0.0).to(WIDE) - fourth)
    tl.store(first, a, mask=inside)
    tl.store(first + d, b, mask=inside)
    tl.store(first + 3 * d, fourth, mask=inside)
    tl.store(h + state, new, mask=inside)


@triton.jit
def _step_back_kernel(dh, dc, gates, h_before, c_before, c, carry_h, carry_c, out, d, LSTM: tl.constexpr,
                      WIDE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < d
    at, state = row * 4 * d + k, row * d + k
    first = tl.load(gates + at, mask=inside, other=0.0).to(WIDE)
    second = tl.load(gates + at + d, mask=inside, other=0.0).to(WIDE)
    third = tl.load(gates + at + 2 * d, mask=inside, other=0.0).to(WIDE)
    fourth = tl.load(gates + at + 3 * d, mask=inside, other=0.0).to(WIDE)
    total = tl.load(dh + state, mask=inside, other=0.0).to(WIDE) + tl.load(carry_h + state, mask=inside, other=0.0)
    if LSTM:
        squashed = _tanh(tl.load(c + state, mask=inside, other=0.0).to(WIDE))
        cell = tl.load(dc + state, mask=inside, other=0.0).to(WIDE) + tl.load(carry_c + state, mask=inside, other=0.0)
        cell += total * fourth * (1 - squashed * squashed)
        before = tl.load(c_before + state, mask=inside, other=0.0).to(WIDE)
        tl.store(out + at, cell * third * first * (1 - first), mask=inside)
        tl.store(out + at + d, cell * before * second * (1 - second), mask=inside)
        tl.store(out + at + 2 * d, cell * first * (1 - third * third), mask=inside)
        tl.store(out + at + 3 * d, total * squashed * fourth * (1 - fourth), mask=inside)
        tl.store(carry_h + state, tl.zeros([BLOCK], WIDE), mask=inside)
        tl.store(carry_c + state, cell * second, mask=inside)
    else:
        before = tl.load(h_before + state, mask=inside, other=0.0).to(WIDE)
        candidate = total * (1 - second) * (1 - fourth * fourth)
        tl.store(out + at, candidate * third * first * (1 - first), mask=inside)
        tl.store(out + at + d, total * (before - fourth) * second * (1 - second), mask=inside)
        tl.store(out + at + 2 * d, candidate * first, mask=inside)
        tl.store(out + at + 3 * d, candidate, mask=inside)
        tl.store(carry_h + state, total * second, mask=inside)


def _grid(h: Tensor) -> tuple[tuple[int, int], dict]:
    block = min(128, triton.next_power_of_2(h.shape[1]))
    wide = tl.float64 if h.element_size() == 8 else tl.float32
    return (h.shape[0], triton.cdiv(h.shape[1], block)), {"WIDE": wide, "BLOCK": block}


def empty(like: Tensor, rows: int, columns: int) -> Tensor:
    return like.new_empty(rows, columns)


def step(gates: Tensor, h_before: Tensor, c_before: Tensor | None, h: Tensor, c: Tensor | None) -> None:
    grid, sizes = _grid(h)
    _step_kernel[grid](gates, h_before, h if c_before is None else c_before, h, h if c is None else c, h.shape[1],
                       c is not None, **sizes)  # fmt: skip


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
    grid, sizes = _grid(dh)
    none = dh  # never read where there is no cell
    dc, c_before, made, carry = (none if t is None else t for t in (dc, c_before, c, carry_c))
    _step_back_kernel[grid](dh, dc, gates, h_before, c_before, made, carry_h, carry, out, dh.shape[1], c is not None,
                            **sizes)  # fmt: skip
