"""Gold trees, values and shapes of ListOps expressions, for all rows of a split at once.

Everything follows from bracket depths: brackets of one depth open and close in turn, so sorting by (depth, position)
pairs each with its partner, and the list around a token is the last bracket opened one level up. At most 64 rounds
(one per depth), no loop over tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from structnet.datasets.listops.sampler import CLOSE, DIGITS

Array = np.ndarray


@dataclass(frozen=True)
class Brackets:
    """Of flat tokens `[N]` (several rows, each balanced): nesting of each token, partner of each bracket, list around
    each token (position of its opening bracket, -1 outside all)."""

    depth: Array
    partner: Array
    around: Array


def brackets(tokens: Array) -> Brackets:
    opens, closes = (tokens >= DIGITS) & (tokens < CLOSE), tokens == CLOSE
    inside = np.cumsum(opens.astype(np.int32) - closes)
    depth = inside - opens  # brackets around a token; a bracket belongs to the outside of its own list
    size = len(tokens) + 1
    first, last = np.flatnonzero(opens), np.flatnonzero(closes)
    first = first[np.argsort(depth[first], kind="stable")]
    last = last[np.argsort(depth[last], kind="stable")]
    partner = np.full(len(tokens), -1)
    partner[first], partner[last] = last, first
    # the list around: the last opening bracket one level up, found among openings sorted by (depth, position)
    key = depth[first].astype(np.int64) * size + first
    place = np.searchsorted(key, (depth.astype(np.int64) - 1) * size + np.arange(len(tokens))) - 1
    around = np.where(depth > 0, first[np.maximum(place, 0)] if len(first) else -1, -1)
    return Brackets(depth, partner, around)


def values(tokens: Array, shape: Brackets) -> Array:
    """Value of each digit and of each list (at its opening bracket); -1 at closing brackets.

    Lists from the deepest out, each reduced to a histogram of its ten possible arguments.
    """
    value = np.where(tokens < DIGITS, tokens.astype(np.int64), -1)
    opens = np.flatnonzero((tokens >= DIGITS) & (tokens < CLOSE))
    argument = np.flatnonzero((tokens != CLOSE) & (shape.around >= 0))
    for depth in range(int(shape.depth.max(initial=0)), -1, -1):
        lists = opens[shape.depth[opens] == depth]
        inner = argument[shape.depth[argument] == depth + 1]
        slot = np.searchsorted(lists, shape.around[inner])
        counts = np.bincount(slot * DIGITS + value[inner], minlength=len(lists) * DIGITS).reshape(-1, DIGITS)
        value[lists] = _reduce(tokens[lists], counts)
    return value


def _reduce(operator: Array, counts: Array) -> Array:
    """MIN, MAX, MED (floor of the mean of the two middle ones) and SM (sum modulo 10) of histograms `[lists, 10]`."""
    total, below = counts.sum(1, keepdims=True), np.cumsum(counts, 1)
    smallest = (counts > 0).argmax(1)
    largest = DIGITS - 1 - (counts[:, ::-1] > 0).argmax(1)
    low = (below > (total - 1) // 2).argmax(1)
    high = (below > total // 2).argmax(1)
    sums = (counts * np.arange(DIGITS)).sum(1) % 10
    return np.choose(operator - DIGITS, [smallest, largest, (low + high) // 2, sums])


def binary_tree(tokens: Array, ptr: Array, shape: Brackets) -> Array:
    """Left-branching inside every list, all tokens as leaves: `((([OP a) b) ])`.

    Returns the children of the inner nodes, int32 `[N - rows, 2]`, row after row, children before parents, as node
    numbers inside their row: tokens 0 .. n - 1, then inner nodes n .. 2 n - 2 (the root last).
    """
    row = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
    close = np.flatnonzero(tokens == CLOSE)
    digit = np.flatnonzero((tokens < DIGITS) & (shape.around >= 0))
    inner = close[shape.around[close] >= 0]  # lists that are arguments of another list
    # one inner node per element of a list after its operator: it ends where the element ends
    owner = np.concatenate([shape.around[digit], shape.partner[close], shape.around[shape.partner[inner]]])
    end = np.concatenate([digit, close, inner])
    is_list = np.repeat([0, 0, 1], [len(digit), len(close), len(inner)])
    order = np.lexsort((is_list, end))  # at one "]" the list is finished before it is taken as an argument
    owner, end, is_list = owner[order], end[order], is_list[order]
    inner_row = row[end]
    first_inner = np.searchsorted(inner_row, np.arange(len(ptr) - 1))
    number = (np.diff(ptr) - first_inner)[inner_row] + np.arange(len(end))
    made_at_close = np.full(len(tokens), -1)  # the finished list, at its "]"
    finished = (is_list == 0) & (tokens[end] == CLOSE)
    made_at_close[end[finished]] = number[finished]
    local = end - ptr[inner_row]
    right = np.where(is_list == 1, made_at_close[end], local)
    by_list = np.argsort(owner, kind="stable")  # elements of one list in order
    first = np.ones(len(end), bool)
    first[1:] = owner[by_list][1:] != owner[by_list][:-1]
    left = np.empty(len(end), np.int64)
    before = np.concatenate([[0], number[by_list][:-1]])
    left[by_list] = np.where(first, (owner - ptr[inner_row])[by_list], before)
    return np.stack([left, right], 1).astype(np.int32)


def argument_edges(tokens: Array, ptr: Array, shape: Brackets) -> tuple[Array, Array, Array]:
    """The n-ary tree: nodes are operators and digits, children the arguments in order.

    Returns the token of each node, the node pointer per row, and the parent of each node counted inside its row (a root
    is its own parent).
    """
    node = np.flatnonzero(tokens != CLOSE)
    number = np.cumsum(tokens != CLOSE) - 1
    node_ptr = np.concatenate([[0], np.cumsum(tokens != CLOSE)])[ptr]
    parent = np.where(shape.around[node] >= 0, number[shape.around[node]], np.arange(len(node)))
    offset = np.repeat(node_ptr[:-1], np.diff(node_ptr))
    return tokens[node], node_ptr, parent - offset


def argument_children(parent: Array, node_ptr: Array) -> tuple[Array, Array]:
    """Those arguments as lists of children: local node numbers in order, int32 `[nodes - rows, 1]`, row after row, and
    how many each node has, `[nodes]`."""
    offset = np.repeat(node_ptr[:-1], np.diff(node_ptr))
    local = np.arange(len(parent)) - offset
    child = np.flatnonzero(parent != local)
    above = (parent + offset)[child]
    children = local[child[np.argsort(above, kind="stable")]].astype(np.int32)
    return children[:, None], np.bincount(above, minlength=len(parent))


def row_keys(tokens: Array, ptr: Array, shape: Brackets) -> dict[str, Array]:
    """Per row: length in tokens, nesting depth, most arguments of one operator, operator at the root (-1: a digit)."""
    opens = np.flatnonzero((tokens >= DIGITS) & (tokens < CLOSE))
    inner = np.flatnonzero((tokens != CLOSE) & (shape.around >= 0))
    arguments = np.zeros(len(tokens), np.int64)
    np.add.at(arguments, shape.around[inner], 1)
    nested = np.zeros(len(tokens), np.int64)
    nested[opens] = shape.depth[opens] + 1
    first = tokens[ptr[:-1]].astype(np.int64)
    return {
        "length": np.diff(ptr),
        "depth": np.maximum.reduceat(nested, ptr[:-1]),
        "arguments": np.maximum.reduceat(arguments, ptr[:-1]),
        "operator": np.where(first >= DIGITS, first - DIGITS, -1),
    }
