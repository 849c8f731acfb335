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
    cell: Cell, scorer: Scorer, leaves: State, found: Found, lazy: bool = False, recall: bool = False
) -> tuple[State, Tensor]:
    """Roots `[K, ...]` and log-probabilities `[K]` of all beams, with the gradients of the search that found them.

    Hard choices pass no gradient, so given the choices the search is a DAG of cells, shared by beams, and the sums

        log p(beam) = sum over its merges of (score of the merged pair - logsumexp of all scores at that moment).

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
    log_p = scores[place[found.pair - first]] - total[found.choice]
    score = log_p.new_zeros(found.root.numel()).index_add(0, found.merges.index, log_p)
    return select(states, row[found.root]), score


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
