"""What a search found, computed again with gradients: only the nodes that matter, level by level."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.recursion import Cell, fold_tree
from structnet.search.beams import Found
from structnet.search.driver import Scorer
from structnet.states import State, num_rows, select
from structnet.structures import Segments, Tree


def replay(
    cell: Cell,
    scorer: Scorer,
    leaves: State,
    found: Found,
    lazy: bool = False,
    recall: bool = False,
    marginal: bool = False,
) -> tuple[State, Tensor]:
    """Roots `[K, ...]` and log-probabilities `[K]` of all beams, with the gradients of the search that found them.

    Hard choices pass no gradient, so given the choices the search is a DAG of cells, shared by beams, and the sums

        log p(beam) = sum over its merges of (score of the merged pair - logsumexp of all scores at that moment).

    or with `marginal` the logsumexp of this sum over all orders of its merges that the search kept (`_over_orders`).
    Composed are the nodes of surviving beams and, where the scorer reads composed pairs, the members of their
    softmaxes: `fold_tree` over that DAG. With `recall` the cell is called with `x=`, the number of each row among those
    that the search composed, to take it from there (`KeptRows`). Cost: those cell rows in as many calls as the DAG is
    high; the logsumexps read n^2 / 2 scores per line of descent.
    """
    first, pairs = num_rows(leaves), found.left.numel()
    wanted = torch.zeros(first + pairs, dtype=torch.bool, device=found.left.device)
    wanted[found.pair if lazy else found.member] = True
    made = wanted[first:].nonzero().flatten()
    row = torch.arange(first + pairs, device=wanted.device)
    row[first + made] = first + torch.arange(made.numel(), device=wanted.device)
    children = row[torch.stack([found.left[made], found.right[made]], 1)]
    inputs = torch.cat([row[:first], found.row[made]]) - first if recall else None
    states = fold_tree(cell, leaves, _dag(first, children), inputs, return_all=True)

    scored = torch.zeros_like(wanted)
    scored[found.member] = True
    scored = scored[first:].nonzero().flatten()
    place = torch.zeros(pairs, dtype=torch.int64, device=wanted.device)
    place[scored] = torch.arange(scored.numel(), device=wanted.device)
    parts = (found.left[scored], found.right[scored]) if lazy else (first + scored,)
    scores = scorer(*(select(states, row[ids]) for ids in parts))

    total = logsumexp(scores[place[found.member - first]], found.choices)
    if marginal:
        score = _over_orders(scores[place[found.arc_pair - first]] - total[found.arc_choice], found)
    else:
        log_p = scores[place[found.pair - first]] - total[found.choice]
        score = log_p.new_zeros(found.root.numel()).index_add(0, found.merges.index, log_p)
    return select(states, row[found.root]), score


def _over_orders(log_p: Tensor, found: Found) -> Tensor:
    """Log-probability of each beam, summed over all orders: `value(state) = logsumexp over its arcs of (value(tail) +
    log_p(arc))`, a fold of the DAG of lists, arcs (one child, its tail) and states (children: its arcs)."""
    lists, arcs, states = int((-found.tail).max()) if len(found.tail) else 0, len(log_p), found.arcs.num_segments
    lists = max(lists, int((-found.state).max()) if len(found.state) else 0)
    before = torch.where(found.tail < 0, -1 - found.tail, lists + arcs + found.tail)
    none = before.new_zeros(lists)
    arity = torch.cat([none, torch.ones_like(before), found.arcs.lengths])
    children = torch.cat([before, lists + torch.arange(arcs, device=before.device)])
    rows = lists + arcs + states
    dag = Tree.trusted(Segments.from_lengths(arity).ptr, children, arity.new_tensor([0, rows]))
    gain = torch.cat([log_p.new_zeros(lists), log_p, log_p.new_zeros(states)])
    value = fold_tree(_Add(), log_p.new_zeros(int((arity == 0).sum())), dag, gain, return_all=True)
    assert isinstance(value, Tensor)
    return value[torch.where(found.state < 0, -1 - found.state, lists + arcs + found.state)]


class _Add:
    """The logsumexp of the children and what the node itself adds."""

    arity = None

    def __call__(self, children: Tensor, segments: Segments, x: Tensor) -> Tensor:
        return logsumexp(children, segments) + x


def _dag(leaves: int, children: Tensor) -> Tree:
    """Leaves first, then one row per pair of children `[pairs, 2]`."""
    inner = 2 * torch.arange(len(children) + 1, device=children.device)
    child_ptr = torch.cat([inner.new_zeros(leaves), inner])
    return Tree.trusted(child_ptr, children.flatten(), inner.new_tensor([0, leaves + len(children)]))


def logsumexp(x: Tensor, segments: Segments) -> Tensor:
    """`log sum exp` of each segment of `[N]`, none empty."""
    index = segments.index
    high = torch.full_like(segments.ptr[1:], -torch.inf, dtype=x.dtype).scatter_reduce(0, index, x.detach(), "amax")
    return high + x.new_zeros(len(high)).index_add(0, index, (x - high[index]).exp()).log()
