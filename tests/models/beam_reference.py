"""The published beam search, word by word, one sample at a time: lists, loops, gradients through everything.

Ray Chowdhury and Caragea, "Beam Tree Recursive Cells", 2023, and "Efficient Beam Tree Recursion", 2023. No dropout.
Gumbel noise is an argument, a function of (step, beam, place), one inside a beam and one between beams.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Beam:
    nodes: list[Tensor]
    score: Tensor
    trees: list  # nested tuples of leaf numbers, one per node


def no_noise(step: int, beam: int, place: int) -> float:
    return 0.0


def beam_tree(
    cell, scorer, leaves: Tensor, beam: int, children: bool, within=no_noise, between=no_noise, marginal: bool = False
) -> list[Beam]:
    """All surviving beams of one sample `[n, D]`, best first."""
    start = [Beam(list(leaves), leaves.new_zeros(()), list(range(len(leaves))))]
    return search(cell, scorer, start, beam, children, within, between, marginal)


def search(
    cell, scorer, beams: list[Beam], beam: int, children: bool, within=no_noise, between=no_noise, marginal=False
) -> list[Beam]:
    """From any beams with equally many nodes. `marginal`: candidates with the same trees become one, with the sum of
    their probabilities."""
    for step in range(len(beams[0].nodes) - 1):
        candidates = []  # (score, key, beam, place, composed parent)
        for b, one in enumerate(beams):
            parents, scores = score_places(cell, scorer, one.nodes, children)
            log_p = scores.log_softmax(0)
            noisy = [scores[j].item() + within(step, b, j) for j in range(len(scores))]
            best = sorted(range(len(scores)), key=lambda j: -noisy[j])[:beam]  # ties: the first place
            for j in best:
                total = one.score + log_p[j]
                candidates.append((total, total.item() + between(step, b, j), b, j, parents[j]))
        candidates.sort(key=lambda c: -c[1])  # ties: the first candidate
        if marginal:
            equal: dict[str, list] = {}
            for c in candidates:
                equal.setdefault(str(merge(beams[c[2]], c[3], c[4], c[0]).trees), []).append(c)
            sums = [torch.stack([c[0] for c in group]).logsumexp(0) for group in equal.values()]
            candidates = [(total, total.item(), *group[0][2:]) for total, group in zip(sums, equal.values())]
            candidates.sort(key=lambda c: -c[1])
        beams = [merge(beams[b], place, parent, total) for total, _, b, place, parent in candidates[:beam]]
    return beams


def score_places(cell, scorer, nodes: list[Tensor], children: bool) -> tuple[list[Tensor], Tensor]:
    """The parent and the score of every two neighbours."""
    pairs = list(zip(nodes, nodes[1:]))
    parents = [cell(left[None], right[None])[0] for left, right in pairs]
    if children:
        return parents, torch.stack([scorer(left[None], right[None])[0] for left, right in pairs])
    return parents, torch.stack([scorer(parent[None])[0] for parent in parents])


def merge(beam: Beam, place: int, parent: Tensor, score: Tensor) -> Beam:
    nodes = [*beam.nodes[:place], parent, *beam.nodes[place + 2 :]]
    trees = [*beam.trees[:place], (beam.trees[place], beam.trees[place + 1]), *beam.trees[place + 2 :]]
    return Beam(nodes, score, trees)


def value(beams: list[Beam]) -> Tensor:
    """sum over beams of softmax(score) * root."""
    weights = torch.stack([b.score for b in beams]).softmax(0)
    return sum(w * b.nodes[0] for w, b in zip(weights, beams))


def rir(cell, scorer, leaves: Tensor, beam: int, chunk: int, pick) -> Tensor:
    """Recursion in recursion (Ray Chowdhury and Caragea, 2023): chunk by chunk, level by level. The beam that a chunk
    gives to list b of the next level is `pick(scores, b, draws)`."""
    lists = [[(leaf, leaf.new_zeros(())) for leaf in leaves]]
    while True:
        n = len(lists[0])
        size = chunk if n >= chunk + chunk // 2 else n
        ends = []
        for at in range(0, n, size):
            parts = [one[at : at + size] for one in lists]
            starts = [Beam([s for s, _ in part], sum(x for _, x in part), list(range(len(part)))) for part in parts]
            ends.append(search(cell, scorer, starts, beam, True))
        if len(ends) == 1:
            return value(ends[0])
        count = max(len(end) for end in ends)
        lists = []
        for b in range(count):
            taken = [end[pick(torch.stack([x.score for x in end]), b, count - 1) if b else 0] for end in ends]
            lists.append([(x.nodes[0], x.score) for x in taken])


def shift(select: Tensor, parents: Tensor, nodes: Tensor) -> Tensor:
    """Fractional merge: s_j parent_j + (1 - s_1 - .. - s_j) node_j + (s_1 + .. + s_{j-1}) node_{j+1} at place j."""
    kept = 1 - select.cumsum(0)
    moved = select.cumsum(0) - select
    return select[:, None] * parents + kept[:, None] * nodes[:-1] + moved[:, None] * nodes[1:]


def one_soft(cell, scorer, leaves: Tensor, beam: int, within=no_noise) -> Tensor:
    """OneSoft: of all candidates the best K - 1 stay, the rest become one by the softmax of their log p, which
    averages selections, parents, nodes and log p."""
    beams = [(leaves, leaves.new_zeros(()))]
    for step in range(len(leaves) - 1):
        candidates = []  # (log p, selection, parents, nodes)
        for b, (nodes, log_p) in enumerate(beams):
            parents = torch.stack([cell(a[None], b[None])[0] for a, b in zip(nodes, nodes[1:])])
            scores = scorer(parents)
            total = log_p + scores.log_softmax(0)
            for j in sorted(range(len(scores)), key=lambda j: -scores[j].item() - within(step, b, j))[:beam]:
                select = torch.zeros_like(scores)
                select[j] = 1.0
                candidates.append((total[j], select, parents, nodes))
        candidates.sort(key=lambda c: -c[0].item())
        if len(candidates) > beam:
            rest = candidates[beam - 1 :]
            weight = torch.stack([c[0] for c in rest]).softmax(0)
            soft = tuple(sum(w * c[i] for w, c in zip(weight, rest)) for i in range(4))
            candidates = [*candidates[: beam - 1], soft]
        beams = [(shift(select, parents, nodes), log_p) for log_p, select, parents, nodes in candidates]
    weights = torch.stack([log_p for _, log_p in beams]).softmax(0)
    return sum(w * nodes[0] for w, (nodes, _) in zip(weights, beams))


def straight_through(cell, scorer, nodes: Tensor) -> Tensor:
    """Gumbel-Tree without noise (Choi et al., 2018, section 3.2): one-hot forward, softmax backward."""
    while len(nodes) > 1:
        parents = torch.stack([cell(a[None], b[None])[0] for a, b in zip(nodes, nodes[1:])])
        p = scorer(parents).softmax(0)
        hard = torch.zeros_like(p)
        hard[p.argmax()] = 1.0
        nodes = shift(hard + p - p.detach(), parents, nodes)
    return nodes[0]
