"""The order of work on ragged sequences: time step by time step, longest sequences first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from structnet.structures import Segments


@dataclass(frozen=True, eq=False)
class StepSchedule:
    """Rows of all segments in time order. With the longest segments first, those still running are always a prefix.

    Attributes:
        rows: `[N]`, row of each scheduled position; step t holds `sizes[t]` of them.
        back: `[N]`, its inverse.
        sizes, counts: segments still running at each step, as a list and as a tensor (int64, on the CPU).
        segment_order, segment_rank: segments by falling length (stable), and the inverse.
    """

    rows: Tensor
    back: Tensor
    sizes: list[int]
    counts: Tensor
    segment_order: Tensor
    segment_rank: Tensor


def step_schedule(segments: Segments, reverse: bool = False) -> StepSchedule:
    """The schedule of `segments`, built once and kept on them. O(N + S log S), vectorised."""
    key = ("steps", reverse)
    if key not in segments.cache:
        segments.cache[key] = _build(segments, reverse)
    return segments.cache[key]


def _build(segments: Segments, reverse: bool) -> StepSchedule:
    lengths = segments.lengths
    segment_order = lengths.argsort(descending=True, stable=True)
    segment_rank = _inverse(segment_order)
    rows = torch.arange(segments.num_rows, device=segments.device)
    step = rows - segments.ptr[segments.index]
    if reverse:
        step = lengths[segments.index] - 1 - step
    counts = torch.bincount(step, minlength=segments.max_length)
    back = (counts.cumsum(0) - counts)[step] + segment_rank[segments.index]  # running segments have the lowest ranks
    sizes = counts.cpu()
    return StepSchedule(_inverse(back), back, sizes.tolist(), sizes, segment_order, segment_rank)


def _inverse(order: Tensor) -> Tensor:
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(order.numel(), device=order.device)
    return inverse
