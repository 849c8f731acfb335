"""Beam search with gradients through the selection: OneSoft, and straight-through for a single beam.

The merges of the last beam are fractional, so all of its pairs are composed anew at every step; the other beams
choose hard and keep their pairs. Everything is flat: `R` nodes of all samples A that are not done, and `P = R - A`
pairs, which are the node rows of the next step. B is the number of beams, at most K.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from structnet.search.driver import Scorer, check_leaves
from structnet.search.replay import logsumexp
from structnet.structures import Segments


@dataclass(frozen=True)
class Places:
    """Pairs of neighbours as segments (one per sample), and the position of each in its sample. Pair p lies between
    the node rows `left[p]` and `left[p] + 1`."""

    pairs: Segments
    left: Tensor
    position: Tensor

    @classmethod
    def of(cls, nodes: Tensor) -> Places:
        """From the number of nodes of each sample, all at least 2."""
        pairs = Segments.from_lengths(nodes - 1)
        row = torch.arange(pairs.num_rows, device=nodes.device)
        return cls(pairs, row + pairs.index, row - pairs.ptr[pairs.index])


@dataclass(frozen=True)
class Choice:
    """Of each sample: beam and place of its hard choices `[A, H]`; for the soft beam the weight of each old beam
    `[A, B]` and of each place `[A, longest]`, None where there is no soft beam; log p of the new beams `[A, B']`."""

    beam: Tensor
    place: Tensor
    mix: Tensor | None
    share: Tensor | None
    log_p: Tensor


def soft_value(
    cell: Callable[..., Tensor],
    scorer: Scorer,
    leaves: Tensor,
    segments: Segments,
    beam: int,
    straight: bool,
    noise: bool,
) -> Tensor:
    """The value `[S, D]` of each sample: its beams' roots, weighted by the softmax of log p.

    Args:
        straight: straight-through (a beam of 1): the hard choice forward, the gradient of the softmax backward.
            Otherwise OneSoft: the K - 1 best candidates stay hard, all others become one, their convex combination.
        noise: Gumbel noise on the choice of places inside a beam.

    Cost for a sample of n leaves: n^2 / 2 + 2 (K - 1) n cell rows; the published order of work takes K n^2 / 2.

    Raises:
        StructureError: rows do not fit, an empty segment.
    """
    check_leaves(leaves, segments)
    alone = segments.lengths == 1
    alive, nodes = (~alone).nonzero().flatten(), segments.lengths[~alone]
    values, order = [leaves[segments.ptr[:-1][alone]]], [alone.nonzero().flatten()]
    x, log_p = leaves[(~alone)[segments.index]].unsqueeze(1), leaves.new_zeros(len(alive), 1)
    at = Places.of(nodes)
    pairs = cell(x[at.left], x[at.left + 1])
    while len(alive):
        scores = scorer(pairs.flatten(0, 1)).view(pairs.shape[:2])
        choice = _straight(scores, at, noise) if straight else _one_soft(scores, log_p, at, beam, noise)
        x, log_p, nodes = _move(x, pairs, at, choice), choice.log_p, nodes - 1
        last = nodes == 1
        going = ~last[at.pairs.index]
        values.append((log_p[last].softmax(-1).unsqueeze(-1) * x[~going]).sum(1))
        order.append(alive[last])
        x, pairs, log_p, nodes, alive = x[going], pairs[going], log_p[~last], nodes[~last], alive[~last]
        at = Places.of(nodes)
        pairs = _compose(cell, x, pairs, at, choice.beam[~last], choice.place[~last])
    return torch.cat(values)[torch.cat(order).argsort()]


def _one_soft(scores: Tensor, log_p: Tensor, at: Places, beam: int, noise: bool) -> Choice:
    """The K - 1 best of all candidates, and the softmax over the log p of the rest."""
    samples, beams = log_p.shape
    table = _noisy(_table(scores.detach(), at, -torch.inf), noise)  # [A, B, longest]
    raw, place = table.sort(dim=-1, descending=True, stable=True)
    raw, place = raw[..., :beam], place[..., :beam].minimum((at.pairs.lengths - 1)[:, None, None])
    step = scores - torch.stack([logsumexp(column, at.pairs) for column in scores.unbind(1)], 1)[at.pairs.index]
    row = at.pairs.ptr[:-1][:, None, None] + place
    column = torch.arange(beams, device=scores.device)[:, None]
    candidates = (log_p[:, :, None] + step[row, column]).masked_fill(raw == -torch.inf, -torch.inf).flatten(1)
    rank = candidates.detach().sort(dim=-1, descending=True, stable=True).indices
    best, rest = rank[:, : beam - 1], rank[:, beam - 1 :]
    place, width = place.flatten(1), raw.shape[2]
    hard = candidates.gather(1, best)
    if not rest.shape[1]:
        return Choice(best // width, place.gather(1, best), None, None, hard)
    loose = candidates.gather(1, rest)
    real = loose > -torch.inf
    some = real.any(1, keepdim=True)
    weight = loose.where(some, torch.zeros_like(loose)).softmax(-1)
    soft = (weight * loose.where(real, torch.zeros_like(loose))).sum(1, keepdim=True).masked_fill(~some, -torch.inf)
    mix = scores.new_zeros(samples, beams).scatter_add(1, rest // width, weight)
    share = scores.new_zeros(samples, table.shape[2]).scatter_add(1, place.gather(1, rest), weight)
    return Choice(best // width, place.gather(1, best), mix, share, torch.cat([hard, soft], 1))


def _straight(scores: Tensor, at: Places, noise: bool) -> Choice:
    """The best place, one-hot, with the gradient of the softmax."""
    table = _noisy(_table(scores, at, -torch.inf)[:, 0], noise)
    p = table.softmax(-1)
    hard = torch.zeros_like(p).scatter(1, table.argmax(-1, keepdim=True), 1.0)
    none = at.position.new_zeros(len(p), 0)
    ones = torch.ones_like(p[:, :1])
    return Choice(none, none, ones, hard + p - p.detach(), ones - 1)


def _noisy(table: Tensor, noise: bool) -> Tensor:
    """With Gumbel(0, 1) noise on every entry."""
    return table - torch.empty_like(table).exponential_().log() if noise else table


def _move(x: Tensor, pairs: Tensor, at: Places, choice: Choice) -> Tensor:
    """The node rows `[P, B', D]` after the merges."""
    sample, left, position = at.pairs.index, at.left, at.position
    (nodes, beams, width), count = x.shape, len(left)
    beam, place = choice.beam[sample], choice.place[sample] - position[:, None]
    row = torch.arange(count, device=x.device)[:, None]
    moved = torch.where(place > 0, left[:, None], left[:, None] + 1)
    source = torch.where(place == 0, nodes + row, moved) * beams + beam
    rows = torch.cat([x, pairs]).flatten(0, 1)
    if choice.mix is not None and choice.share is not None:
        rows = torch.cat([rows, _soft_nodes(x, pairs, at, choice.mix, choice.share)])
        source = torch.cat([source, (nodes + count) * beams + row], 1)
    return rows.index_select(0, source.flatten()).view(*source.shape, width)


def _soft_nodes(x: Tensor, pairs: Tensor, at: Places, mix: Tensor, share: Tensor) -> Tensor:
    """The soft beam's node rows `[P, D]`: the mix of all beams, partly merged at every place."""
    sample, left = at.pairs.index, at.left
    here, behind = share[sample, at.position, None], share.cumsum(1)[sample, at.position, None]
    owner = torch.arange(len(mix), device=x.device).repeat_interleave(at.pairs.lengths + 1)
    nodes = (mix[owner].unsqueeze(-1) * x).sum(1)
    merged = (mix[sample].unsqueeze(-1) * pairs).sum(1)
    before, after = nodes.index_select(0, left), nodes.index_select(0, left + 1)
    return here * merged + (1 - behind) * before + (behind - here) * after


def _compose(cell: Callable[..., Tensor], x: Tensor, old: Tensor, at: Places, beam: Tensor, place: Tensor) -> Tensor:
    """Pairs of the new nodes `[P, B', D]`: hard beams keep all but the two beside their merge, the soft beam none.
    `old` are the pairs before the merge; place q of them lies left of place q + 1 as the node rows do."""
    if not len(x):
        return x
    beam, offset = beam[at.pairs.index], at.position[:, None] - place[at.pairs.index]
    stale = (offset == 0) | (offset == -1)
    every = torch.ones(len(stale), x.shape[1] - beam.shape[1], dtype=torch.bool, device=x.device)
    row, column = torch.cat([stale, every], 1).nonzero(as_tuple=True)
    nodes, left = x.flatten(0, 1), at.left[row] * x.shape[1] + column
    fresh = cell(nodes.index_select(0, left), nodes.index_select(0, left + x.shape[1]))
    kept = torch.where(offset < 0, at.left[:, None], at.left[:, None] + 1) * old.shape[1] + beam
    source = torch.cat([kept, kept.new_zeros(every.shape)], 1)
    source[row, column] = old.shape[0] * old.shape[1] + torch.arange(len(row), device=x.device)
    return torch.cat([old.flatten(0, 1), fresh]).index_select(0, source.flatten()).view(*source.shape, x.shape[2])


def _table(scores: Tensor, at: Places, fill: float) -> Tensor:
    """`[P, B]` as `[A, B, longest]`, filled up."""
    table = scores.new_full((at.pairs.num_segments, scores.shape[1], max(at.pairs.max_length, 1)), fill)
    return table.transpose(1, 2).index_put((at.pairs.index, at.position), scores).transpose(1, 2)
