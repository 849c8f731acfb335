"""The specification: loops that can be checked by eye."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def segment_reduce(x: Tensor, ptr: Tensor, reduce: str) -> Tensor:
    """One value per segment and channel, or for "softmax" one per row."""
    parts = x.split(ptr.diff().tolist())
    if reduce == "softmax":
        return torch.cat([softmax(part) for part in parts]) if parts else x
    return torch.stack([REDUCTIONS[reduce](part) for part in parts]) if parts else x.new_zeros(0, *x.shape[1:])


def softmax(part: Tensor) -> Tensor:
    if not len(part):
        return part
    e = (part - part.max(0).values.detach()).exp()
    return e / e.sum(0)


def logsumexp(part: Tensor) -> Tensor:
    if not len(part):
        return part.new_full(part.shape[1:], -math.inf)
    top = part.max(0).values.detach()
    return top + (part - top).exp().sum(0).log()


def extreme(part: Tensor, sign: int) -> Tensor:
    """The first row that holds the extreme takes the gradient; empty segments are 0."""
    if not len(part):
        return part.new_zeros(part.shape[1:])
    best = part[0]
    for row in part[1:]:
        best = torch.where(sign * row > sign * best, row, best)
    return best


REDUCTIONS = {
    "sum": lambda part: part.sum(0),
    "mean": lambda part: part.sum(0) / max(len(part), 1),
    "max": lambda part: extreme(part, 1),
    "min": lambda part: extreme(part, -1),
    "logsumexp": logsumexp,
}
