"""Heights of forests and DAGs: compiled, or vectorised in numpy; no Python loop over nodes, no recursion."""

from __future__ import annotations

import ctypes

import numpy as np

from structnet.errors import StructureError
from structnet.native import library

Array = np.ndarray


def parents_of(child_ptr: Array, child_index: Array) -> Array | None:
    """Parent of each node (`N` for a root), or None if some node has several parents (a DAG)."""
    num_nodes = len(child_ptr) - 1
    parent = np.full(num_nodes, num_nodes, dtype=np.int64)
    source = np.repeat(np.arange(num_nodes), np.diff(child_ptr))
    parent[child_index] = source
    shared = len(child_index) and np.bincount(child_index, minlength=num_nodes).max() > 1
    return None if shared else parent


def heights(child_ptr: Array, child_index: Array) -> Array:
    """Longest way down from each node, int64 `[N]`: 0 for leaves, 1 + the highest child otherwise.

    With the compiled library O(N + E), any shape. In numpy forests (and forests upside down) by pointer doubling,
    O(N log height) with log2(height) rounds; other DAGs by peeling off the finished nodes, one round per level.
    Raises StructureError on a cycle.
    """
    native = library()
    height = _plain(child_ptr, child_index) if native is None else _compiled(native, child_ptr, child_index)
    if len(height) and height.min() < 0:
        raise _cycle(child_ptr, child_index, height)
    return height


def _compiled(native: ctypes.CDLL, child_ptr: Array, child_index: Array) -> Array:
    height = np.empty(len(child_ptr) - 1, np.int64)
    flat = (np.ascontiguousarray(child_ptr, np.int64), np.ascontiguousarray(child_index, np.int64))
    down_ptr, down, out = (ctypes.c_void_p(array.ctypes.data) for array in (*flat, height))
    native.structnet_heights(down_ptr, down, ctypes.c_int64(len(height)), out)
    return height


def _plain(child_ptr: Array, child_index: Array) -> Array:
    """As `heights`; some nodes above or below a cycle have -1."""
    parent = parents_of(child_ptr, child_index)
    if parent is not None:
        return _double(parent)
    if np.diff(child_ptr).max() <= 1:  # upside down: the only child leads the way to the end
        only = np.full(len(child_ptr) - 1, len(child_ptr) - 1)
        only[np.diff(child_ptr) == 1] = child_index
        return _distance(only)
    return _peel(child_ptr, child_index)


def _double(parent: Array) -> Array:
    """After round k, height[v] is the longest way down of at most 2**k - 1 steps; jump[v] the 2**k-th ancestor."""
    num_nodes = len(parent)
    height, step = np.zeros(num_nodes, np.int64), 1
    jump = np.append(parent, num_nodes)  # the extra last entry: above a root there is only "above"
    alive = np.flatnonzero(parent < num_nodes)
    while len(alive):
        if step > num_nodes:
            height[alive] = -1
            break
        np.maximum.at(height, jump[alive], height[alive] + step)
        jump[alive] = jump[jump[alive]]
        alive = alive[jump[alive] < num_nodes]
        step *= 2
    return height


def _distance(ahead: Array) -> Array:
    """Steps from each node to the end of its chain; after round k, `jump` is 2**k steps ahead."""
    num_nodes = len(ahead)
    jump, distance = np.append(ahead, num_nodes), np.append((ahead < num_nodes).astype(np.int64), 0)
    for _ in range(num_nodes.bit_length() + 1):
        if (jump == num_nodes).all():
            return distance[:-1]
        distance, jump = distance + distance[jump], jump[jump]
    return np.where(jump < num_nodes, -1, distance)[:-1]


def _peel(child_ptr: Array, child_index: Array) -> Array:
    num_nodes = len(child_ptr) - 1
    waiting = np.diff(child_ptr)
    source = np.repeat(np.arange(num_nodes), waiting)
    by_child = np.argsort(child_index, kind="stable")
    up_ptr = np.concatenate([[0], np.cumsum(np.bincount(child_index, minlength=num_nodes))])
    up = source[by_child]
    height, level, ready = np.full(num_nodes, -1), 0, np.flatnonzero(waiting == 0)
    while len(ready):
        height[ready] = level
        above = up[ranges(up_ptr[ready], up_ptr[ready + 1])]
        np.subtract.at(waiting, above, 1)
        above = np.unique(above)
        ready, level = above[waiting[above] == 0], level + 1
    return height


def ranges(start: Array, stop: Array) -> Array:
    """The concatenation of arange(start[i], stop[i])."""
    lengths = stop - start
    offset = np.repeat(start - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    return offset + np.arange(len(offset))


def _cycle(child_ptr: Array, child_index: Array, height: Array) -> StructureError:
    # every unfinished node has an unfinished child: after N steps down the walk goes round a cycle
    unfinished = set(np.flatnonzero(_peel(child_ptr, child_index) < 0).tolist())
    node = next(iter(unfinished))
    for _ in range(len(height)):
        node = next(c for c in child_index[child_ptr[node] : child_ptr[node + 1]].tolist() if c in unfinished)
    got, advice = f"node {node} among its own descendants", "to drop the edge that closes the cycle"
    return StructureError("a structure without cycles", got, advice)
