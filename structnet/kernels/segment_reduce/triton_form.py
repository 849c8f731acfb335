# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# (Triton annotates compile-time arguments with a type that no plain value has, and hides launch options)
"""The Triton forms: programs walk chunks of rows of equal size (`kernels/chunks.py`) in tiles that are loaded at once
and reduced by a scan in which first rows start anew; a segment's last row holds its value. What a chunk has of one
that is cut goes to scratch, and one small program per cut segment puts the parts together in their order. So giant
segments and tiny ones take the same time, and the bits are the same every time (no atomics).

Softmax and its gradient reduce first and then visit the rows once more: 3 N D and 5 N D numbers.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from structnet.kernels import chunks

KINDS = {"sum": 0, "mean": 1, "max": 2, "min": 3}
LOGSUMEXP, DOT = 4, 5  # the first as maximum and sum; the other: sum of products of two tensors
WIDE = {torch.float32: tl.float32, torch.float64: tl.float64}


@triton.jit
def _add(value, fresh, value_after, fresh_after):
    return tl.where(fresh_after != 0, value_after, value + value_after), fresh | fresh_after


@triton.jit
def _larger(value, row, fresh, value_after, row_after, fresh_after):
    """The first row of the largest value; NaN is larger than all; no row: -1."""
    better = (value_after > value) | ((value_after != value_after) & (value == value))
    better = (fresh_after != 0) | ((row_after >= 0) & (better | (row < 0)))
    return tl.where(better, value_after, value), tl.where(better, row_after, row), fresh | fresh_after


@triton.jit
def _log_add(top, total, fresh, top_after, total_after, fresh_after):
    """Maximum, and sum of exponentials below it."""
    higher = tl.where((top_after > top) | (top_after != top_after), top_after, top)
    base = tl.where(higher == float("-inf"), 0.0, higher)
    both = total * tl.exp(top - base) + total_after * tl.exp(top_after - base)
    start = fresh_after != 0
    return tl.where(start, top_after, higher), tl.where(start, total_after, both), fresh | fresh_after


@triton.jit
def _scan(value, second, fresh, state, state_2, KIND: tl.constexpr):
    """Values up to each row of a tile that continues `state`, and the state behind its last row."""
    state, state_2 = state[None, :], state_2[None, :]
    if KIND == 2 or KIND == 3:
        value, second, fresh = tl.associative_scan((value, second, fresh), 0, _larger)
        value, second, fresh = _larger(state, state_2, fresh * 0, value, second, fresh)
    elif KIND == 4:
        value, second, fresh = tl.associative_scan((value, second, fresh), 0, _log_add)
        value, second, fresh = _log_add(state, state_2, fresh * 0, value, second, fresh)
    else:
        value, fresh = tl.associative_scan((value, fresh), 0, _add)
        value, fresh = _add(state, fresh * 0, value, fresh)
    last = tl.arange(0, value.shape[0])[:, None] == value.shape[0] - 1
    state = tl.sum(tl.where(last, value, 0.0), axis=0)
    return value, second, state, tl.sum(tl.where(last, second, 0), axis=0).to(second.dtype)


@triton.jit
def _first_of_largest(value, row, value_after, row_after):
    """In any order, as `tl.reduce` takes them."""
    better = (value_after > value) | ((value_after != value_after) & (value == value))
    equal = (value_after == value) | ((value_after != value_after) & (value != value))
    better = (row_after >= 0) & (better | (equal & (row_after < row)) | (row < 0))
    return tl.where(better, value_after, value), tl.where(better, row_after, row)


@triton.jit
def _join(value, second, state, state_2, KIND: tl.constexpr):
    """The state behind a tile inside of one segment: no scan, a fraction of the instructions."""
    none = tl.zeros(state.shape, tl.int32)
    if KIND == 2 or KIND == 3:
        value, second = tl.reduce((value, second), 0, _first_of_largest)
        state, state_2, none = _larger(state, state_2, none, value, second, none)
    elif KIND == 4:
        top = tl.max(value, axis=0)
        base = tl.where(top == float("-inf"), 0.0, top)
        total = tl.sum(second * tl.exp(value - base[None, :]), axis=0)
        state, state_2, none = _log_add(state, state_2, none, top, total, none)
    else:
        state += tl.sum(value, axis=0)
    return state, state_2


@triton.jit
def _nothing(KIND: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    """The state before a first row."""
    state = tl.full([BLOCK], float("-inf") if KIND == 4 else 0.0, WIDE)
    if KIND == 2 or KIND == 3:
        return state, tl.full([BLOCK], -1, tl.int32)
    else:
        return state, tl.zeros([BLOCK], WIDE)


@triton.jit
def _reduce_kernel(x, other, ptr, bounds, cut, end, out, out_2, part, part_2, boundaries, channels,
                   KIND: tl.constexpr, WIDE: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """`end`: the segment that ends at a row, or -1. `part[0]`, by boundary: what the chunk before it has of the segment
    that it cuts; `part[1]`: what the last chunk of such a segment has of it."""
    chunk = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (channel < channels)[None, :]
    first, last, entry = tl.load(bounds + chunk), tl.load(bounds + chunk + 1), tl.load(cut + chunk)
    offset = tl.arange(0, TILE)[:, None]
    at = offset * channels + channel[None, :]
    state, state_2 = _nothing(KIND, WIDE, BLOCK)
    for row in range(first, last, TILE):
        in_rows = offset < last - row
        there = in_rows & inside
        value = tl.load(x + row * channels + at, mask=there, other=float("-inf") if KIND == 4 else 0.0).to(WIDE)
        second = tl.where(there, 1.0, tl.zeros([TILE, BLOCK], WIDE))
        if KIND == 5:
            value = value * tl.load(other + row * channels + at, mask=there, other=0.0).to(WIDE)
        if KIND == 3:
            value = -value
        if KIND == 2 or KIND == 3:
            second = tl.where(there, (row - first + offset).to(tl.int32), -1)
        owner = tl.load(end + row + offset, mask=in_rows, other=-1)
        known = in_rows & (row + offset > 0)
        fresh = tl.load(end + row + offset - 1, mask=known, other=-1) >= 0
        fresh = (in_rows & fresh).to(tl.int32)
        if tl.max(tl.max(fresh | (owner >= 0).to(tl.int32), axis=1), axis=0) == 0:
            state, state_2 = _join(value, second, state, state_2, KIND)
        else:
            marks = tl.broadcast_to(fresh, [TILE, BLOCK])
            so_far, so_far_2, state, state_2 = _scan(value, second, marks, state, state_2, KIND)
            final = so_far
            if KIND == 1:
                begin = tl.load(ptr + owner, mask=owner >= 0, other=0)
                final = so_far / (tl.load(ptr + owner + 1, mask=owner >= 0, other=1) - begin).to(WIDE)
            if KIND == 3:
                final = -so_far
            whole, rest = there & (owner >= 0) & (owner != entry), there & (owner >= 0) & (owner == entry)
            place = owner.to(tl.int64) * channels + channel[None, :]
            behind = (boundaries + chunk) * channels + channel[None, :] + offset * 0
            tl.store(out + place, final, mask=whole)
            tl.store(part + behind, so_far, mask=rest)
            if KIND == 2 or KIND == 3:
                tl.store(out_2 + place, so_far_2 + first, mask=whole)
                tl.store(part_2 + behind, so_far_2 + first, mask=rest)
            if KIND == 4:
                tl.store(out_2 + place, so_far_2, mask=whole)
                tl.store(part_2 + behind, so_far_2, mask=rest)
    limit = tl.where(tl.load(cut + chunk + 1) < 0, 0, channels)
    ahead = (chunk + 1) * channels + channel
    tl.store(part + ahead, state, mask=channel < limit)
    if KIND == 2 or KIND == 3:
        tl.store(part_2 + ahead, state_2 + first, mask=channel < limit)
    if KIND == 4:
        tl.store(part_2 + ahead, state_2, mask=channel < limit)


@triton.jit
def _finish_kernel(ptr, cut, out, out_2, part, part_2, boundaries, segments, channels, length, KIND: tl.constexpr,
                   WIDE: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Values of segments that are empty, and of the one that is cut here first."""
    boundary = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (channel < channels)[None, :]
    offset = tl.arange(0, TILE)[:, None]
    state, state_2 = _nothing(KIND, WIDE, BLOCK)
    if KIND == 2 or KIND == 3:
        state_2 = state_2.to(tl.int64)
    owner = boundary * TILE + offset
    known = owner < segments
    empty = known & (tl.load(ptr + owner, mask=known, other=0) == tl.load(ptr + owner + 1, mask=known, other=1))
    place = owner * channels + channel[None, :]
    tl.store(out + place, tl.broadcast_to(state[None, :], [TILE, BLOCK]), mask=empty & inside)
    if KIND >= 2 and KIND <= 4:
        tl.store(out_2 + place, tl.broadcast_to(state_2[None, :], [TILE, BLOCK]), mask=empty & inside)
    segment = tl.load(cut + boundary, mask=boundary < boundaries, other=-1).to(tl.int64)
    before = tl.load(cut + boundary - 1, mask=segment >= 0, other=-1)
    if (segment >= 0) & (before != segment):
        begin, end = tl.load(ptr + segment), tl.load(ptr + segment + 1)
        count = end // length - boundary  # boundaries; behind the last one lies one more part
        for done in range(0, count + 1, TILE):
            i = done + offset
            row = tl.where(i < count, boundary + i, boundaries + boundary + count - 1)
            there, at = (i <= count) & inside, row * channels + channel[None, :]
            value = tl.load(part + at, mask=there, other=float("-inf") if KIND == 4 else 0.0)
            second = tl.zeros([TILE, BLOCK], WIDE)
            if KIND == 2 or KIND == 3:
                second = tl.load(part_2 + at, mask=there, other=-1)
            if KIND == 4:
                second = tl.load(part_2 + at, mask=there, other=0.0)
            fresh = tl.zeros([TILE, BLOCK], tl.int32)
            _, _, state, state_2 = _scan(value, second, fresh, state, state_2, KIND)
        if KIND == 1:
            state = state / (end - begin).to(WIDE)
        if KIND == 3:
            state = -state
        tl.store(out + segment * channels + channel, state, mask=channel < channels)
        if KIND >= 2 and KIND <= 4:
            tl.store(out_2 + segment * channels + channel, state_2, mask=channel < channels)


@triton.jit
def _later(one, other):
    return tl.maximum(one, other)


@triton.jit
def _rows_kernel(x, other, values, second, bounds, cut, head, out, channels, KIND: tl.constexpr, WIDE: tl.constexpr,
                 TILE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Rows from the values of their segments: these (KIND 0), only in the rows `second` (2), the softmax of x from its
    maximum and sum (4), its gradient (5, x the softmax and `other` what arrives at it)."""
    chunk = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (channel < channels)[None, :]
    first, last, entry = tl.load(bounds + chunk), tl.load(bounds + chunk + 1), tl.load(cut + chunk)
    offset = tl.arange(0, TILE)[:, None]
    at = offset * channels + channel[None, :]
    for row in range(first, last, TILE):
        in_rows = offset < last - row
        there = in_rows & inside
        owner = tl.load(head + row + offset, mask=in_rows, other=-1)
        owner = tl.maximum(tl.associative_scan(owner, 0, _later), entry)
        entry = tl.max(tl.max(owner, axis=1), axis=0)
        place = owner.to(tl.int64) * channels + channel[None, :]
        value = tl.load(values + place, mask=there, other=0.0)
        if KIND == 2:
            chosen = tl.load(second + place, mask=there, other=-1) == row + offset
            value = tl.where(chosen, value, tl.zeros_like(value))
        if KIND == 4:
            base = tl.where(value == float("-inf"), 0.0, value)
            value = tl.load(x + row * channels + at, mask=there, other=0.0).to(WIDE)
            value = tl.exp(value - base) / tl.load(second + place, mask=there, other=1.0)
        if KIND == 5:
            arrived = tl.load(other + row * channels + at, mask=there, other=0.0).to(WIDE)
            value = tl.load(x + row * channels + at, mask=there, other=0.0).to(WIDE) * (arrived - value)
        tl.store(out + row * channels + at, value, mask=there)


def _reduced(x: Tensor, ptr: Tensor, kind: int, other: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Values `[S, D]`, and the rows of extremes or the sums beside maxima."""
    (rows, channels), segments = x.shape, len(ptr) - 1
    wide = torch.promote_types(x.dtype, torch.float32)
    out = x.new_empty(segments, channels, dtype=x.dtype if kind < LOGSUMEXP else wide)
    beside = {2: torch.int64, 3: torch.int64, LOGSUMEXP: wide}.get(kind)
    out_2 = x.new_empty(out.shape if beside else (0,), dtype=beside or torch.int64)
    if not out.numel():
        return out, out_2
    size = chunks.sizes(rows, channels)
    cuts = chunks.plan(ptr, rows, size.length, True)
    part, part_2 = (t.new_empty(2, cuts.count + 1, channels, dtype=d) for t, d in ((x, wide), (out_2, out_2.dtype)))
    columns, kinds = triton.cdiv(channels, size.block), (kind, WIDE[wide], size.tile, size.block)
    if rows:
        _reduce_kernel[cuts.count, columns](
            x, x if other is None else other, ptr, *cuts, out, out_2, part, part_2, cuts.count + 1, channels, *kinds,
            num_warps=1,
        )  # fmt: skip
    grid = max(cuts.count, triton.cdiv(segments, size.tile)), columns
    _finish_kernel[grid](ptr, cuts.cut, out, out_2, part, part_2, cuts.count + 1, segments, channels, size.length,
                         *kinds, num_warps=1)  # fmt: skip
    return out, out_2


def _rows(
    values: Tensor, second: Tensor, ptr: Tensor, kind: int, out: Tensor, x: Tensor, other: Tensor | None = None
) -> Tensor:
    if out.numel():
        rows, channels = out.shape
        size = chunks.sizes(rows, channels)
        cuts = chunks.plan(ptr, rows, size.length, False)
        wide = WIDE[torch.promote_types(x.dtype, torch.float32)]
        _rows_kernel[cuts.count, triton.cdiv(channels, size.block)](
            x, x if other is None else other, values, second, *cuts, out, channels, kind, wide, size.tile, size.block,
            num_warps=1,
        )  # fmt: skip
    return out


def reduce(x: Tensor, ptr: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    return _reduced(x, ptr, KINDS[kind])


def softmax(x: Tensor, ptr: Tensor, rows: bool) -> Tensor:
    top, total = _reduced(x, ptr, LOGSUMEXP)
    return _rows(top, total, ptr, LOGSUMEXP, torch.empty_like(x), x) if rows else (top + total.log()).to(x.dtype)


def softmax_backward(grad: Tensor, y: Tensor, ptr: Tensor) -> Tensor:
    dot, none = _reduced(y, ptr, DOT, grad)
    return _rows(dot, none, ptr, DOT, torch.empty_like(y), y, grad)


def gather(values: Tensor, ptr: Tensor, arg: Tensor | None, rows: int) -> Tensor:
    out = values.new_empty(rows, values.shape[1])
    return _rows(values, values if arg is None else arg, ptr, 0 if arg is None else 2, out, values)
