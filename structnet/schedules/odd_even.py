"""The order of work of a parallel scan: pair up, scan the pairs, fill in. Inside segments only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from structnet.structures import Segments
from structnet.structures.topology import ranges


@dataclass(frozen=True, eq=False)
class OddEvenLevel:
    """One level. Its rows lie in segment order; `left`, `right`: those paired, a row each of the next level.

    The prefixes of a level are made as `cat([prefixes of the next level, filled, first rows])` and stay in that order,
    which saves a move of all rows a level. `before`: where the prefix of the next level lies that comes before an even
    row, `even`: that row (not the first of its segment); `first`: the first row of each segment, its own prefix.
    """

    left: Tensor
    right: Tensor
    before: Tensor
    even: Tensor
    first: Tensor


def odd_even_levels(segments: Segments) -> tuple[list[OddEvenLevel], Tensor]:
    """All levels, and the place of each row's prefix in what the first level makes; built once, kept on the segments.

    floor(log2(longest)) levels. One of a segment of n rows combines floor(n / 2) pairs up and ceil(n / 2) - 1 rows
    down, n - 1 together, and the next has floor(n / 2) rows: fewer than 2 (N - S) rows in all.
    """
    if "odd_even" not in segments.cache:
        lengths, sizes = segments.lengths.cpu().numpy(), []
        while lengths.size and lengths.max() > 1:
            sizes.append(lengths)
            lengths = lengths // 2
        levels, place = [], np.arange(lengths.sum())  # the last rows are prefixes already
        for lengths in reversed(sizes):
            level, place = _level(lengths, place)
            levels.insert(0, OddEvenLevel(*(torch.from_numpy(rows).to(segments.device) for rows in level)))
        segments.cache["odd_even"] = levels, torch.from_numpy(place).to(segments.device)
    return segments.cache["odd_even"]


def _level(n: np.ndarray, place: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Left, right, before, even and first rows of a level, and where its prefixes lie; `place`: the next level's."""
    start, pairs, fill = n.cumsum() - n, n // 2, (n + 1) // 2 - (n > 0)
    left = start.repeat(pairs) + 2 * ranges(0 * pairs, pairs)
    j = ranges(0 * fill, fill)  # the pair before the even row 2 (j + 1)
    before, even = place[(pairs.cumsum() - pairs).repeat(fill) + j], start.repeat(fill) + 2 * (j + 1)
    first = start[n > 0]
    mine = np.empty(n.sum(), np.int64)
    mine[left + 1] = place  # an odd row is the end of its pair
    mine[even] = len(place) + np.arange(len(even))
    mine[first] = len(place) + len(even) + np.arange(len(first))
    return [left, left + 1, before, even, first], mine
