"""The same in torch's own operations, for devices and types without a form of their own."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.structures import Segments


def reduce(x: Tensor, ptr: Tensor, kind: str, winners: bool = True) -> tuple[Tensor, Tensor]:
    segments = Segments.trusted(ptr)
    if kind in ("sum", "mean"):
        wide = torch.promote_types(x.dtype, torch.float32) if x.is_floating_point() else x.dtype  # at least float32
        total = x.new_zeros(len(segments), x.shape[1], dtype=wide).index_add(0, segments.index, x.to(wide))
        if kind == "mean":
            total = total / segments.lengths.clamp(min=1)[:, None]
        return total.to(x.dtype), ptr.new_empty(0)
    return extreme(x, segments, kind, winners)


def extreme(x: Tensor, segments: Segments, kind: str, winners: bool) -> tuple[Tensor, Tensor]:
    """Largest or smallest (NaN wins), and the first row that holds it: the smallest row among those equal to it."""
    index = segments.index[:, None].expand_as(x)
    start = x.new_zeros(len(segments), x.shape[1])
    best = start.scatter_reduce(0, index, x, "amax" if kind == "max" else "amin", include_self=False)
    if not winners:
        return best, segments.ptr.new_empty(0)
    spread = best.index_select(0, segments.index)
    hit = (x == spread) | (x.isnan() & spread.isnan())
    rows = torch.arange(len(x), device=x.device)[:, None].expand_as(x)
    none = len(x)
    rows = torch.where(hit, rows, none)
    arg = torch.full(start.shape, none, device=x.device).scatter_reduce(0, index, rows, "amin")
    return best, torch.where(arg == none, -1, arg)


def softmax(x: Tensor, ptr: Tensor, rows: bool) -> Tensor:
    """The softmax if `rows`, else the logsumexp."""
    segments = Segments.trusted(ptr)
    index = segments.index[:, None].expand_as(x)
    top = x.new_full((len(segments), x.shape[1]), -torch.inf).scatter_reduce(0, index, x, "amax")
    safe = top.masked_fill(top == -torch.inf, 0.0)
    e = (x - safe.index_select(0, segments.index)).exp()
    wide = torch.promote_types(x.dtype, torch.float32)
    total = e.new_zeros(top.shape, dtype=wide).index_add(0, segments.index, e.to(wide))
    out = e.to(wide) / total.index_select(0, segments.index) if rows else safe.to(wide) + total.log()
    return out.to(x.dtype)


def softmax_backward(grad: Tensor, y: Tensor, ptr: Tensor) -> Tensor:
    segments = Segments.trusted(ptr)
    dot = reduce(grad * y, ptr, "sum")[0].index_select(0, segments.index)
    return y * (grad - dot)


def gather(values: Tensor, ptr: Tensor, arg: Tensor | None, rows: int) -> Tensor:
    if arg is None:
        return torch.repeat_interleave(values, ptr.diff(), 0, output_size=rows)
    if not rows:
        return values.new_zeros(0, values.shape[1])
    # an empty segment (arg -1) adds its zero to row 0
    hit = torch.where(arg >= 0, values, 0.0)
    return values.new_zeros(rows, values.shape[1]).scatter_add(0, arg.clamp(min=0), hit)
