"""The order of work of a parallel scan: pair up, scan the pairs, fill in. Inside segments only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from structnet.structures import Segments
from structnet.structures.topology import ranges


@dataclass(frozen=True, eq=False)
class OddEvenLevel:
    """One level over n rows.

    `left`, `right`: rows paired on the way up. `up`: for each row of the next level its place in
    `cat([pairs, rows])` (a pair, or an odd last row as it is).
    On the way down, with the scan `p` of the next level: `before`: place in `p` that comes before an even row, `even`:
    that row (not the first of its segment); `down`: for each row of this level its place in `cat([p, filled, rows])`.
    """

    left: Tensor
    right: Tensor
    up: Tensor
    before: Tensor
    even: Tensor
    down: Tensor


def odd_even_levels(segments: Segments) -> list[OddEvenLevel]:
    """All levels, built once and kept on the segments; ceil(log2(longest)) of them. A level of a segment of n rows
    combines floor(n / 2) pairs up and ceil(n / 2) - 1 rows down, n - 1 together, so at most 2 (N - S) rows in all."""
    if "odd_even" not in segments.cache:
        lengths = segments.lengths.cpu()
        levels = []
        while lengths.numel() and int(lengths.max()) > 1:
            levels.append(_level(lengths, segments.device))
            lengths = (lengths + 1) // 2
        segments.cache["odd_even"] = levels
    return segments.cache["odd_even"]


def _level(lengths: Tensor, device: torch.device) -> OddEvenLevel:
    n = lengths.numpy()
    start, pairs, kept = n.cumsum() - n, n // 2, (n + 1) // 2
    next_start = kept.cumsum() - kept
    zero = pairs * 0
    k = torch.from_numpy(ranges(zero, pairs))
    left = torch.from_numpy(start.repeat(pairs)) + 2 * k
    up_pair = torch.from_numpy(next_start.repeat(pairs)) + k
    up = torch.empty(int(kept.sum()), dtype=torch.int64)
    up[up_pair] = torch.arange(len(left))
    odd = n % 2 == 1
    up[torch.from_numpy((next_start + pairs)[odd])] = len(left) + torch.from_numpy((start + n - 1)[odd])

    fill = (kept - 1).clip(min=0)
    j = torch.from_numpy(ranges(zero, fill)) + 1  # pair before the even row 2 j
    even = torch.from_numpy(start.repeat(fill)) + 2 * j
    before = torch.from_numpy(next_start.repeat(fill)) + j - 1
    total = int(n.sum())
    down = len(up) + len(even) + torch.arange(total)  # the first row of a segment is itself
    down[even] = len(up) + torch.arange(len(even))
    down[left + 1] = up_pair  # an odd row is the end of its pair
    return OddEvenLevel(*(t.to(device) for t in (left, left + 1, up, before, even, down)))
