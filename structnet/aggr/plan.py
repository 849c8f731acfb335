"""The order of work of a fold: binary trees over the rows of sets, as two index lists per level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from structnet.structures import Segments, Tree

PIECE = 1024  # operations in one call of the operator: at width 64 their projections fill 3 MB


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """All values of a fold live in one buffer: N rows, then what the levels make, then (last) the identity.

    Attributes:
        left, right: buffer rows of the two operands of each of the N - (non-empty sets) operations, level by level.
        starts: operations of level i are `starts[i] .. starts[i + 1] - 1`; operation j makes buffer row N + j.
        results: buffer row of each set's value, `[S]`.
    """

    left: Tensor
    right: Tensor
    starts: list[int]
    results: Tensor
    num_rows: int

    @property
    def size(self) -> int:
        """Rows of the buffer: a bound that the number of rows alone gives, so that shapes do not hang on the data."""
        return 2 * self.num_rows + 1

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """Levels; on a CPU cut so that the projections of one piece stay in its cache: two thirds of the time."""
        step = PIECE if self.left.device.type == "cpu" else self.size
        return [
            (at, min(at + step, last))
            for first, last in zip(self.starts, self.starts[1:])
            for at in range(first, last, step)
        ]


def fold_plan(segments: Segments, tree_seed: int = -1) -> FoldPlan:
    """Halving (neighbours pair up, an odd last row waits), or with `tree_seed >= 0` a random tree on every set.

    Built once per structure and kept on it, O(N log N), vectorised.
    """
    kept = segments.cache.get("fold")
    if kept is None or kept[0] != tree_seed:
        kept = segments.cache["fold"] = (tree_seed, _build(segments, tree_seed))
    return kept[1]


def _build(segments: Segments, tree_seed: int) -> FoldPlan:
    if tree_seed < 0:
        tree = Tree.balanced(segments)
    else:
        tree = Tree.random(segments, torch.Generator().manual_seed(tree_seed))
    device, num_rows = segments.device, segments.num_rows
    height = torch.from_numpy(tree.heights).to(device)
    order = height.argsort(stable=True)  # leaves first, in the order of the rows
    rank = torch.empty_like(order)
    rank[order] = torch.arange(order.numel(), device=device)
    inner = order[num_rows:]
    children = tree.child_ptr[inner]
    starts = torch.bincount(height)[1:].cumsum(0).tolist() if order.numel() else []
    results = torch.full((segments.num_segments,), 2 * num_rows, device=device)
    results[segments.lengths > 0] = rank[tree.ptr[1:][segments.lengths > 0] - 1]
    return FoldPlan(
        rank[tree.child_index[children]],
        rank[tree.child_index[children + 1]],
        [0, *starts],
        results,
        num_rows,
    )
