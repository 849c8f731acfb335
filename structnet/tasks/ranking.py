"""Ranks of true edges among all pairs or among drawn ones, in blocks of rows: no N x N matrix is ever held."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from structnet.structures.pair_history import PairHistory


class PairScores(Protocol):
    """What a link predictor, learned or not, says about one step: higher is likelier."""

    def rows(self, source: Tensor) -> Tensor:
        """Scores of every node as the target of each source, `[R, N]`."""
        ...

    def pairs(self, source: Tensor, target: Tensor) -> Tensor:
        """Scores of single pairs `[P]`."""
        ...


def expected_reciprocal(greater: Tensor, equal: Tensor) -> Tensor:
    """The expectation of 1 / rank with ties in random order: `greater` entries lie above, `equal` (itself included)
    tie.

    The mean of 1 / (greater + 1) ... 1 / (greater + equal), by the harmonic numbers."""
    top = int((greater + equal).max()) if greater.numel() else 0
    harmonic = torch.cat([torch.zeros(1), torch.arange(1, top + 1).double().reciprocal().cumsum(0)]).to(greater.device)
    return (harmonic[greater + equal] - harmonic[greater]) / equal


def all_pairs(
    scores: PairScores, source: Tensor, target: Tensor, num_nodes: int, precision: bool = True, block: int = 256
) -> dict[str, Tensor]:
    """The protocol of EvolveGCN (Pareja et al. 2020, released code) for the true pairs `[P]` of one step.

    `mrr`: mean over the sources that have a true pair of the mean over its true pairs of 1 / rank among all N targets,
    unfiltered. `map`: average precision of all N^2 pairs (only with `precision`; it needs every row).

    Differs from the released code in ties, which stand in expectation here and in the order of a sort there.
    Cost O(N^2) scores, block x N of them at a time.
    """
    order = source.argsort(stable=True)
    source, target = source[order], target[order]
    wanted = torch.arange(num_nodes, device=source.device) if precision else source.unique()
    true = scores.pairs(source, target).double()
    levels, hits = true.unique(return_counts=True)
    above = torch.zeros(len(levels) + 1, dtype=torch.int64, device=source.device)
    parts = []
    for rows in wanted.split(block):
        said = scores.rows(rows).double()
        if precision:  # above[k]: how many scores lie at levels[k - 1] or higher, but below levels[k]
            above += torch.bincount(torch.searchsorted(levels, said.flatten(), right=True), minlength=len(levels) + 1)
        first, last = torch.searchsorted(source, rows[0]), torch.searchsorted(source, rows[-1], right=True)
        mine = torch.arange(int(first), int(last), device=source.device)
        line = said[torch.searchsorted(rows, source[mine])]
        own = line.gather(1, target[mine, None])  # of the same block: bit for bit the score that is ranked
        parts.append(expected_reciprocal((line > own).sum(1), (line == own).sum(1)))
    found = {"mrr": _mean_of_means(torch.cat(parts), source)}
    if precision:
        at_least = above.flip(0).cumsum(0).flip(0)[1:]  # pairs with a score of this level or more
        right = hits.flip(0).cumsum(0).flip(0)
        found["map"] = (hits.double() * right / at_least.clamp(min=1)).sum() / len(true)
    return found


def best_of_negatives(
    scores: PairScores, source: Tensor, target: Tensor, num_nodes: int, negatives: int = 1000, seed: int = 0
) -> Tensor:
    """The protocol of ROLAND (You et al. 2022, `mrr_method: max`): per source, 1 / rank of its best true pair among
    `negatives` random targets that are not true ones; the mean over sources. Easier than `all_pairs`, not comparable.

    The draws are a function of `seed`; with fewer false targets than `negatives`, all are taken once.
    """
    generator = torch.Generator().manual_seed(seed)
    order = source.argsort(stable=True)
    source, target = source[order], target[order]
    sources, counts = source.unique(return_counts=True)
    best = torch.full((len(sources),), -torch.inf, dtype=torch.float64, device=source.device)
    row = torch.repeat_interleave(torch.arange(len(sources), device=source.device), counts)
    best = best.scatter_reduce(0, row, scores.pairs(source, target).double(), "amax")
    said = torch.empty(len(sources))
    for at, (one, mine) in enumerate(zip(sources, target.split(counts.tolist()))):
        false = torch.ones(num_nodes, dtype=torch.bool)
        false[mine.cpu()] = False
        false = false.nonzero().flatten()
        drawn = false[torch.randperm(len(false), generator=generator)[:negatives]].to(source.device)
        rivals = scores.pairs(one.expand(len(drawn)), drawn).double()
        tied = (rivals == best[at]).sum()
        said[at] = expected_reciprocal((rivals > best[at]).sum()[None], tied[None] + 1)[0]
    return said.mean()


def _mean_of_means(values: Tensor, groups: Tensor) -> Tensor:
    _, place, counts = groups.unique(return_inverse=True, return_counts=True)
    total = torch.zeros(len(counts), dtype=torch.float64, device=values.device).index_add(0, place, values)
    return (total / counts).mean()


class HistoryScores:
    """Scores that depend on the history alone: `seen` `[P]` for its pairs on top of `node` `[N]` for every target."""

    def __init__(self, history: PairHistory, seen: Tensor, node: Tensor):
        self.history, self.seen, self.node = history, seen.double(), node.double()

    def rows(self, source: Tensor) -> Tensor:
        row, column, place = self.history.rows(source)
        scores = self.node.repeat(len(source), 1)
        scores[row, column] += self.seen[place]
        return scores

    def pairs(self, source: Tensor, target: Tensor) -> Tensor:
        scores = self.node[target].clone()
        given, place = self.history.find(source, target)
        scores[given] += self.seen[place]
        return scores
