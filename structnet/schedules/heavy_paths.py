"""Orders of work for linear recursion on forests of any shape.

A node's *heavy* child is the one with most nodes below it; heavy edges make paths, and on the way to a root the subtree
at least doubles at every edge that is not heavy, so there are at most log2 N of those: all paths that lie equally many
light edges below a root make one *round*, and a recursion over the forest is at most log2 N + 1 rounds of scans along
paths, whatever its height (Sleator and Tarjan, "A Data Structure for Dynamic Trees", 1983).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from structnet.native import library, pointer
from structnet.structures import Tree

I64 = ctypes.c_int64


@dataclass(frozen=True, eq=False)
class HeavyPaths:
    """Rows path by path, each path from the bottom up, rounds one after the other, the deepest first, roots last.

    Attributes:
        rows, place: `[N]`, the row at each position, and its inverse.
        ptr: `[P + 1]`, positions of each path.
        fan: `[N + 1]`, the paths whose tops are light children of the row at a position: they are neighbours.
        rounds, starts: R + 1 ints, the first path and the first position of each round.
        longest, widest: rows of the longest path, and light children of the node that has most.
    """

    rows: Tensor
    place: Tensor
    ptr: Tensor
    fan: Tensor
    rounds: list[int]
    starts: list[int]
    longest: int
    widest: int


@dataclass(frozen=True, eq=False)
class SubtreeOrder:
    """All rows, children before parents: whole subtrees in tasks `cuts[i] .. cuts[i + 1] - 1` that need nothing of each
    other, and after `cuts[-2]` what is above them."""

    order: Tensor
    cuts: Tensor


def heavy_paths(tree: Tree) -> HeavyPaths:
    """The paths of `tree`, built once and kept on it: O(N) compiled (200,000 nodes in 5 - 20 ms), else numpy,
    O(N log height). StructureError for a DAG or a cycle."""
    if "heavy_paths" not in tree.cache:
        tree.cache["heavy_paths"] = _finish(tree, *(_numpy(tree) if library() is None else _compiled(tree)))
    return tree.cache["heavy_paths"]


def subtree_order(tree: Tree, threads: int) -> SubtreeOrder:
    """The order of rows for `threads` threads (compiled only), built once and kept on the tree: about eight tasks a
    thread; one thread takes all rows in one go."""
    key = ("subtrees", threads)
    if key not in tree.cache:
        nodes = tree.num_nodes
        grain = max(nodes // (8 * threads), 1024) if threads > 1 else max(nodes, 1)
        order, cuts = _empty(nodes), _empty(nodes // grain + 3)
        tasks = _call("structnet_subtree_order", tree, I64(grain), pointer(order), pointer(cuts))
        tree.cache[key] = SubtreeOrder(order, cuts[: tasks + 2])
    return tree.cache[key]


def _call(name: str, tree: Tree, *rest: ctypes._SimpleCData) -> int:
    arrays = [t.cpu() for t in (tree.child_ptr, tree.child_index, tree.parent)]
    function = getattr(library(), name)
    function.restype = I64
    count = function(*map(pointer, arrays), I64(tree.num_nodes), *rest)
    if count < 0:
        _ = tree.heights  # says which node is on the cycle
    return count


def _empty(size: int) -> Tensor:
    return torch.from_numpy(np.empty(size, np.int64))


def _compiled(tree: Tree) -> tuple[Tensor, Tensor, list[int]]:
    rows, ptr, rounds = _empty(tree.num_nodes), _empty(tree.num_nodes + 1), _empty(66)
    count = _call("structnet_heavy_paths", tree, pointer(rows), pointer(ptr), pointer(rounds))
    marks = rounds[: count + 1].tolist()
    return rows, ptr[: marks[-1] + 1].clone(), marks


def _finish(tree: Tree, rows: Tensor, ptr: Tensor, rounds: list[int]) -> HeavyPaths:
    """What follows from the order: inverse, and where each path is attached."""
    nodes = tree.num_nodes
    place = torch.empty_like(rows)
    place[rows] = torch.arange(nodes)
    tops = rows[ptr[1:] - 1][: rounds[-2] if len(rounds) > 1 else 0]  # the last round are the roots
    hanging = torch.bincount(place[tree.parent.cpu()[tops]], minlength=nodes)
    fan = torch.cat([hanging.new_zeros(1), hanging.cumsum(0)])
    longest, widest = (int(t.max()) if nodes else 0 for t in (ptr.diff(), hanging))
    starts = ptr[rounds].tolist()
    rows, place, ptr, fan = (t.to(tree.device) for t in (rows, place, ptr, fan))
    return HeavyPaths(rows, place, ptr, fan, rounds, starts, longest, widest)


def _numpy(tree: Tree) -> tuple[Tensor, Tensor, list[int]]:
    """The same by pointer doubling, without a loop over nodes or levels."""
    nodes, parent = tree.num_nodes, tree.parent.cpu().numpy()
    child = tree.child_index.cpu().numpy()
    _ = tree.heights  # refuses cycles
    size = _sizes(parent)
    heavy, owner = np.full(nodes + 1, nodes), parent[child]  # the extra entry: below a leaf there is only "below"
    by_size = np.lexsort((-size[child], owner))  # stable: the first of equals
    first = by_size[np.flatnonzero(np.diff(owner[by_size], prepend=-1))]
    heavy[owner[first]] = child[first]
    is_top = np.ones(nodes, bool)
    is_top[child[first]] = False
    top = np.where(is_top, np.arange(nodes), parent)
    below, jump = (heavy[:-1] < nodes).astype(np.int64), heavy
    below = np.append(below, 0)
    while (jump < nodes).any():  # nodes below on the path; after round k, `jump` is 2**k down and `top` as far up
        below, jump, top = below + below[jump], jump[jump], top[top]
    tops, rounds = np.flatnonzero(is_top & (parent == np.arange(nodes))), []
    waiting = child[is_top[child]]
    start = np.zeros(nodes, np.int64)  # by top: position of the bottom inside its round
    while len(tops):
        rounds.append(tops)
        lengths = below[tops] + 1
        start[tops] = np.cumsum(lengths) - lengths
        here = np.zeros(nodes, bool)
        here[tops] = True
        ready = here[top[parent[waiting]]]
        tops, waiting = waiting[ready], waiting[~ready]
        above = parent[tops]
        tops = tops[np.argsort(start[top[above]] + below[above], kind="stable")]
    rounds.reverse()
    tops = np.concatenate([*rounds, np.empty(0, np.int64)])
    lengths = below[tops] + 1
    ptr = np.concatenate([[0], np.cumsum(lengths)])
    start[tops] = ptr[:-1]
    rows = np.empty(nodes, np.int64)
    rows[start[top] + below[:-1]] = np.arange(nodes)
    marks = np.cumsum([0, *map(len, rounds)]).tolist()
    return torch.from_numpy(rows), torch.from_numpy(ptr), marks


def _sizes(parent: np.ndarray) -> np.ndarray:
    """Nodes of each subtree; after round k those at most 2**k - 1 below."""
    nodes = len(parent)
    size, jump = np.ones(nodes, np.int64), np.where(parent == np.arange(nodes), nodes, parent)
    jump = np.append(jump, nodes)
    alive = np.flatnonzero(jump[:-1] < nodes)
    while len(alive):
        size += np.bincount(jump[alive], weights=size[alive], minlength=nodes).astype(np.int64)[:nodes]
        jump[alive] = jump[jump[alive]]
        alive = alive[jump[alive] < nodes]
    return size


