"""The order of work on trees and DAGs: level by level, every row handed on once.

A level holds the nodes whose children are all done. Between the level that makes a row and the level that uses it
nothing touches the row: rows are ordered by (level made, level of use), so one `split` (views) sends each to its place,
and one gather per level puts what has arrived in the order (node, child). In one fold a row is written once,
concatenated once and gathered once, and the same again backwards: linear time and memory, chains included, with nothing
but differentiable tensor operations.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from structnet.structures import Segments, Tree


@dataclass(frozen=True, eq=False)
class LevelSchedule:
    """All levels of one structure, as flat arrays; level i makes the rows `rows[i] .. rows[i + 1] - 1`.

    Attributes:
        order, rank: node of each scheduled row, and its inverse.
        arity: children per node of each level, -1 where they differ.
        child_ptr: `[N + 1]`, children of each scheduled row.
        pull: place of each child among the rows that arrived at its level, ordered by (row, child).
        push: the rows of a level to hand on, counted inside the level.
        plain: whether a level hands on each row once and in order, so that `push` need not be gathered.
        targets, sizes: levels that use the rows of level i and how many each gets, at `pairs[i] .. pairs[i + 1] - 1`.
        roots: place of each root among the rows sent beyond the last level, in row order of the roots.
    """

    order: Tensor
    rank: Tensor
    rows: list[int]
    edges: list[int]
    uses: list[int]
    pairs: list[int]
    arity: list[int]
    plain: list[bool]
    targets: list[int]
    sizes: list[int]
    child_ptr: Tensor
    pull: Tensor
    push: Tensor
    roots: Tensor
    cache: dict[int, Segments] = field(default_factory=dict)

    @property
    def num_levels(self) -> int:
        return len(self.rows) - 1

    def segments(self, level: int) -> Segments:
        """The children of one level's nodes as segments, made once."""
        if level not in self.cache:
            first, last = self.rows[level], self.rows[level + 1]
            self.cache[level] = Segments.trusted(self.child_ptr[first : last + 1] - self.edges[level])
        return self.cache[level]


def level_schedule(tree: Tree, downwards: bool = False) -> LevelSchedule:
    """The schedule of `tree`, leaves to roots (or roots to leaves), built once and kept on the tree.

    Vectorised over nodes, O(N log N): 100,000 nodes in tens of milliseconds, whatever their shape.
    """
    key = ("levels", downwards)
    if key not in tree.cache:
        tree.cache[key] = _build(reversed_tree(tree) if downwards else tree)
    return tree.cache[key]


def reversed_tree(tree: Tree) -> Tree:
    """The same edges, child and parent exchanged: folding it runs from the roots to the leaves."""
    order = tree.child_index.argsort(stable=True)
    child_ptr = Segments.from_lengths(torch.bincount(tree.child_index, minlength=tree.num_nodes)).ptr
    return Tree.trusted(child_ptr, tree.source[order], tree.ptr)


def _build(tree: Tree) -> LevelSchedule:
    child_ptr, child_index = tree.child_ptr.cpu().numpy(), tree.child_index.cpu().numpy()
    num_nodes, height = len(child_ptr) - 1, tree.heights
    beyond = int(height.max()) + 1 if num_nodes else 0  # the user of the roots
    arity = np.diff(child_ptr)
    edge_parent = np.repeat(np.arange(num_nodes), arity)
    roots = np.flatnonzero(np.bincount(child_index, minlength=num_nodes) == 0)

    # a use: a row (of a child, or of a root) and the level that needs it
    used = np.concatenate([child_index, roots])
    user = np.concatenate([height[edge_parent], np.full(len(roots), beyond)])
    first_use = np.empty(num_nodes, np.int64)
    first_use[used] = user
    order = np.argsort(height * (beyond + 1) + first_use, kind="stable")
    rank = np.empty(num_nodes, np.int64)
    rank[order] = np.arange(num_nodes)

    made, row = height[used], rank[used]
    sent, place = _traffic(made, row, user, num_nodes, beyond)
    by_parent = np.argsort(rank[edge_parent], kind="stable")

    rows, arity = _ptr(height, beyond), arity[order]
    edge_ptr = np.concatenate([[0], np.cumsum(arity)])
    low, high = (f.reduceat(arity, rows[:-1]) if num_nodes else arity for f in (np.minimum, np.maximum))
    made, push, user = made[sent], row[sent] - rows[made[sent]], user[sent]
    pair_at = np.flatnonzero(np.diff(made * (beyond + 1) + user, prepend=-1))
    flat = (order, rank, edge_ptr, place[: len(child_index)][by_parent], push, place[len(child_index) :])
    order_t, rank_t, child_ptr_t, pull_t, push_t, roots_t = (torch.from_numpy(a).to(tree.device) for a in flat)
    return LevelSchedule(
        order=order_t, rank=rank_t, rows=rows.tolist(), edges=edge_ptr[rows].tolist(),
        uses=_ptr(made, beyond).tolist(), pairs=_ptr(made[pair_at], beyond).tolist(),
        arity=np.where(low == high, low, -1).tolist(), plain=_plain(made, push, rows).tolist(),
        targets=user[pair_at].tolist(), sizes=np.diff(np.append(pair_at, len(used))).tolist(),
        child_ptr=child_ptr_t, pull=pull_t, push=push_t, roots=roots_t,
    )  # fmt: skip


def _traffic(made: np.ndarray, row: np.ndarray, user: np.ndarray, num_nodes: int, beyond: int):
    """In which order the uses are sent (by level made, level of use, row), and the place of each among those that
    arrive at its level."""
    forest = len(row) == num_nodes  # then the order of rows is already the order of (level made, level of use)
    sent = np.argsort(row) if forest else np.lexsort((row, user, made))
    arrived = np.argsort(user * num_nodes + row, kind="stable")
    place = np.empty(len(row), np.int64)
    place[arrived] = np.arange(len(row)) - _ptr(user, beyond + 1)[user[arrived]]
    return sent, place


def _ptr(index: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(index, minlength=size))])


def _plain(made: np.ndarray, push: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Levels whose rows are each handed on once, in order."""
    if len(push) == rows[-1]:  # as many uses as rows, and every row has a use
        return np.ones(len(rows) - 1, bool)
    counts = np.bincount(made, minlength=len(rows) - 1)
    in_order = push == np.arange(len(push)) - np.repeat(np.cumsum(counts) - counts, counts)
    broken = np.bincount(made[~in_order], minlength=len(rows) - 1)
    return (counts == np.diff(rows)) & (broken == 0)
