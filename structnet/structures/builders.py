"""Binary trees over the rows of segments: plain index arithmetic, no loop over nodes.

Every builder returns `(child_ptr, child_index, ptr)` with the rows of each tree in the order: its n leaves, then its
n - 1 inner nodes, children before parents, root last.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from structnet.structures.segments import Segments
from structnet.structures.topology import ranges

Built = tuple[Tensor, Tensor, Tensor]


def _pack(segments: Segments, left: np.ndarray, right: np.ndarray) -> Built:
    """`left`, `right`: children (rows) of the inner nodes, tree after tree, in composition order."""
    lengths = segments.lengths.cpu().numpy()
    inner = np.maximum(lengths - 1, 0)
    arity = np.repeat(np.tile([0, 2], len(lengths)), np.stack([lengths, inner], 1).reshape(-1))
    child_ptr = np.concatenate([[0], np.cumsum(arity)])
    child_index = np.stack([left, right], 1).reshape(-1)
    ptr = np.concatenate([[0], np.cumsum(lengths + inner)])
    return tuple(torch.from_numpy(a.astype(np.int64)).to(segments.device) for a in (child_ptr, child_index, ptr))  # type: ignore[return-value]


def _layout(segments: Segments) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lengths, inner counts, first leaf row and first inner row of each tree."""
    lengths = segments.lengths.cpu().numpy()
    inner = np.maximum(lengths - 1, 0)
    first = np.concatenate([[0], np.cumsum(lengths + inner)[:-1]]) if len(lengths) else lengths
    return lengths, inner, first, first + lengths


def chain(segments: Segments, left: bool) -> Built:
    lengths, inner, leaf, node = _layout(segments)
    step = ranges(np.zeros_like(inner), inner)  # 0 .. n - 2 in every tree
    leaf, node, last = np.repeat(leaf, inner), np.repeat(node, inner), np.repeat(lengths, inner) - 1
    if left:
        return _pack(segments, np.where(step == 0, leaf, node + step - 1), leaf + step + 1)
    return _pack(segments, leaf + last - 1 - step, np.where(step == 0, leaf + last, node + step - 1))


def balanced(segments: Segments) -> Built:
    lengths, inner, leaf, node = _layout(segments)
    alive, count, made = ranges(leaf, leaf + lengths), lengths, np.zeros_like(inner)
    left, right, place = [], [], []
    while len(count) and count.max() > 1:
        pairs, start = count // 2, np.concatenate([[0], np.cumsum(count)[:-1]])
        first = ranges(np.zeros_like(pairs), pairs)
        at = np.repeat(start, pairs) + 2 * first
        new = np.repeat(node + made, pairs) + first
        left.append(alive[at])
        right.append(alive[at + 1])
        place.append(new)
        # the pairs' parents, then the odd one out, segment by segment
        kept = (count + 1) // 2
        ahead = np.empty(kept.sum(), np.int64)
        ahead_start = np.concatenate([[0], np.cumsum(kept)[:-1]])
        ahead[np.repeat(ahead_start, pairs) + first] = new
        odd = count % 2 == 1
        ahead[(ahead_start + pairs)[odd]] = alive[(start + count - 1)[odd]]
        alive, count, made = ahead, kept, made + pairs
    return _pack(segments, *_by_place(left, right, place))


def random(segments: Segments, generator: torch.Generator | None = None) -> Built:
    """Top-down: all open spans of one depth are split together; inner rows are numbered from the last split back."""
    lengths, inner, leaf, node = _layout(segments)
    low, high, tree = leaf, leaf + lengths, np.arange(len(lengths))
    parent_slot = np.full(len(lengths), -1)  # where the row of this span is to be written in `children`
    children, count = np.empty(2 * inner.sum(), np.int64), 0
    owner: list[np.ndarray] = []
    slots: list[np.ndarray] = []
    while len(low):
        single = high - low == 1
        children[parent_slot[single & (parent_slot >= 0)]] = low[single & (parent_slot >= 0)]
        wide = high - low > 1
        low, high, tree, parent_slot = low[wide], high[wide], tree[wide], parent_slot[wide]
        draw = torch.rand(len(low), generator=generator, dtype=torch.float64).numpy()
        cut = low + 1 + np.floor(draw * (high - low - 1)).astype(np.int64)
        owner.append(tree)
        slots.append(parent_slot)
        here = 2 * (count + np.arange(len(low)))
        count += len(low)
        low, high = np.concatenate([low, cut]), np.concatenate([cut, high])
        tree, parent_slot = np.concatenate([tree, tree]), np.concatenate([here, here + 1])
    trees, slot = np.concatenate([*owner, np.empty(0, np.int64)]), np.concatenate([*slots, np.empty(0, np.int64)])
    # number the inner nodes of each tree against the order of splitting: children before parents
    order = np.lexsort((-np.arange(len(trees)), trees))
    row = np.empty(len(trees), np.int64)
    row[order] = ranges(node, node + inner)
    children[slot[slot >= 0]] = row[slot >= 0]
    return _pack(segments, children[0::2][order], children[1::2][order])


def _by_place(left: list, right: list, place: list) -> tuple[np.ndarray, np.ndarray]:
    empty = np.empty(0, np.int64)
    order = np.argsort(np.concatenate([*place, empty]))
    return np.concatenate([*left, empty])[order], np.concatenate([*right, empty])[order]
