# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# (Triton annotates compile-time arguments with a type that no plain value has, and hides launch options)
"""Rows of all segments cut into chunks of nearly equal size, for the Triton forms: equal work, whatever the segments.

Boundary k lies at row k L, moved on to the next start of a segment if one follows within L rows. So a chunk has fewer
than 2 L rows, holds whole segments where these are short, and only segments of more than L rows are ever cut. The
boundaries of one segment that is cut are consecutive. All of it is found on the device, without waiting for it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor


class Sizes(NamedTuple):
    """Rows of a chunk; rows and channels of a tile; boundaries that a carry is handed over in one go."""

    length: int
    tile: int
    block: int
    hop: int


class Chunks(NamedTuple):
    """`bounds [C + 1]`: rows; `cut [C + 1]`: the segment that a boundary cuts, or -1; `head [N]`: the segment that
    starts at a row (ends there, for a reversed scan), or -1."""

    bounds: Tensor
    cut: Tensor
    head: Tensor

    @property
    def count(self) -> int:
        return len(self.bounds) - 1


def sizes(rows: int, channels: int) -> Sizes:
    """A warp holds a tile of 512 numbers of each tensor in registers (twice as many would spill). About 2,048 programs
    keep the memory of every multiprocessor busy; longer chunks cut fewer segments."""
    block = min(64, triton.next_power_of_2(channels))
    rows = max(rows, 1)
    length = triton.next_power_of_2(triton.cdiv(rows * triton.cdiv(channels, block), 2048))
    length = min(max(length, 64), 1024)
    return Sizes(length, min(512 // block, length, triton.next_power_of_2(rows)), block, 128)


@triton.jit
def _plan_kernel(ptr, bounds, cut, head, rows, segments, chunks, length, steps, REVERSE: tl.constexpr,
                 BLOCK: tl.constexpr):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    first = tl.load(ptr + i, mask=i < segments, other=0)
    last = tl.load(ptr + i + 1, mask=i < segments, other=0)
    tl.store(head + (last - 1 if REVERSE else first), i.to(tl.int32), mask=last > first)
    if tl.program_id(0) * BLOCK <= chunks:
        row = tl.minimum(i * length, rows)
        low, high = i * 0, i * 0 + segments
        for _ in range(steps):  # the last segment that starts at or before the row
            middle = (low + high + 1) // 2
            before = tl.load(ptr + middle) <= row
            low = tl.where(before, middle, low)
            high = tl.where(before, high, middle - 1)
        inside = (i <= chunks) & (row < rows)
        first = tl.load(ptr + low, mask=inside, other=0)
        last = tl.load(ptr + low + 1, mask=inside, other=0)
        whole = (first == row) | (last - row < length)
        tl.store(bounds + i, tl.where((first == row) | ~whole | ~inside, row, last), mask=i <= chunks)
        tl.store(cut + i, tl.where(whole | ~inside, -1, low).to(tl.int32), mask=i <= chunks)


def plan(ptr: Tensor, rows: int, length: int, reverse: bool) -> Chunks:
    segments, chunks = len(ptr) - 1, triton.cdiv(rows, length)
    bounds = ptr.new_empty(chunks + 1)
    cut = torch.empty_like(bounds, dtype=torch.int32)
    head = torch.full((rows,), -1, dtype=torch.int32, device=ptr.device)
    grid = (triton.cdiv(max(segments, chunks + 1), 256),)
    _plan_kernel[grid](ptr, bounds, cut, head, rows, segments, chunks, length, segments.bit_length(), reverse,
                       BLOCK=256, num_warps=2)  # fmt: skip
    return Chunks(bounds, cut, head)
