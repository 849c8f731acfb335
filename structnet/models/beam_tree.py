"""BT-Cell: the tree is found by beam search and learned from the answer alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from structnet.cells import GatedRecursiveCell, KeptRows
from structnet.errors import StructureError
from structnet.models.shell import ClassifierHead, TokenLeaves
from structnet.recursion import Cell, fold_tree
from structnet.search import Found, Options, Starts, beam_trees, logsumexp, replay, search_trees, soft_value
from structnet.structures import Segments, Tree
from structnet.structures.topology import ranges

RELAXATIONS = ("hard", "one_soft", "straight_through")
NOISE = ("none", "within", "both")
ACTIVATIONS = ("search", "replay", "none")


class ParentScorer(nn.Linear):
    """BT-GRC: the score of a pair is a linear map of the composed parent, `[pairs, D]` -> `[pairs]`."""

    def __init__(self, width: int):
        super().__init__(width, 1)

    def forward(self, parent: Tensor) -> Tensor:
        return super().forward(parent).squeeze(-1)


class ChildScorer(nn.Sequential):
    """EBT-GRC: the score of a pair is an MLP of the first `size` features of its children."""

    def __init__(self, size: int):
        super().__init__(nn.Linear(2 * size, size), nn.GELU(), nn.Linear(size, 1))
        self.size = size

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return super().forward(torch.cat([left[:, : self.size], right[:, : self.size]], -1)).squeeze(-1)


@dataclass(frozen=True)
class Encoded:
    """Value `[S, D]`, beams of each sample (segments), their roots and log-probabilities, what the search found."""

    value: Tensor
    beams: Segments
    roots: Tensor
    scores: Tensor
    found: Found

    def trees(self, segments: Segments) -> Tree:
        """The tree of each beam over the rows of `segments`; needs gradients or `record`."""
        return beam_trees(self.found, segments)


@dataclass(frozen=True)
class Parse:
    """Trees of all beams, their log-probabilities, logits at every node of them, and the search behind them."""

    trees: Tree
    scores: Tensor
    logits: Tensor
    found: Found

    def steps(self, beam: int = 0) -> tuple[list[list[tuple[int, float]]], list[dict[int, int]]]:
        """For each merge of a beam of a single sample: (gap, probability) of every candidate, and for the gaps that
        were taken, by how many surviving beams. Gap g lies between leaves g and g + 1."""
        found, leaves = self.found, (self.trees.num_nodes // max(len(self.trees), 1) + 1) // 2
        start = list(range(leaves))
        for left in found.left.tolist():
            start.append(start[left])
        gap = torch.tensor([start[right] - 1 for right in found.right.tolist()])
        rows, taken = [], []
        for choice in found.choice[found.merges.ptr[beam] : found.merges.ptr[beam + 1]].tolist():
            member = found.member[found.choices.ptr[choice] : found.choices.ptr[choice + 1]] - leaves
            rows.append(list(zip(gap[member].tolist(), found.pair_score[member].softmax(0).tolist())))
            merged = gap[found.pair[found.choice == choice] - leaves].tolist()
            taken.append({g: merged.count(g) for g in merged})
        return rows, taken


def mixture(roots: Tensor, scores: Tensor, beams: Segments) -> Tensor:
    """`sum_b softmax(score)_b root_b` over the beams of each sample, `[S, D]`."""
    weight = (scores - logsumexp(scores, beams)[beams.index]).exp()
    value = roots.new_zeros(beams.num_segments, roots.shape[1])
    return value.index_add(0, beams.index, weight[:, None] * roots)


class BeamTreeEncoder(nn.Module):
    """Leaves of each sample -> one vector, composed along its K most probable trees.

    Ray Chowdhury and Caragea, "Beam Tree Recursive Cells", ICML 2023, section 4 (BT-GRC: `scorer="parent"`), and
    "Efficient Beam Tree Recursion", NeurIPS 2023 (EBT-GRC: `scorer="children"`).

        value = sum over beams b of softmax(score)_b * root_b

    Args:
        width: size D of a state.
        beam: hypotheses K kept.
        scorer: "parent" or "children".
        slice: leading features that the scorer of children reads.
        noise: Gumbel noise in training on the choice of places ("within"), also between beams ("both"), or "none".
        distinct: keep one beam of those that differ only in the order of the same merges, the best.
        marginal: keep one, with the sum of the probabilities of all these orders (logsumexp).
        dropout: inside the cell.
        relaxation: of the choice of beams, in training only. "hard"; "one_soft" (BT-Cell, section 4.2: the K - 1 best
            candidates stay, the rest become one, their convex combination); "straight_through" with `beam=1`: with
            `noise="within"` this is the Gumbel-Tree.
        activations: where the gradient's intermediate values come from. "search": kept by the search, so that the
            replay composes nothing (without dropout and autocast; else as "replay"); "replay": composed again, kept by
            autograd; "none": composed again, and once more in the backward pass.

    Shapes: x `[N, D]`, segments with S members, none empty -> value `[S, D]`; `encode` also gives the beams. Cost: see
    `search_trees` and `replay`, in relaxed training `soft_value`.

    Differs from the paper in: impossible places are masked before the softmax, no 1e-20 inside the logarithm, no
    surplus beams where a sample has fewer than K trees; dropout is drawn once per pair, and not in the search.
    """

    def __init__(
        self,
        width: int,
        beam: int = 5,
        scorer: str = "parent",
        slice: int = 64,
        noise: str = "none",
        distinct: bool = False,
        dropout: float = 0.0,
        relaxation: str = "hard",
        activations: str = "search",
        marginal: bool = False,
    ):
        super().__init__()
        if relaxation not in RELAXATIONS:
            raise StructureError(f"a relaxation out of {', '.join(RELAXATIONS)}", repr(relaxation), 'relaxation="hard"')
        if relaxation == "straight_through" and beam != 1:
            raise StructureError("beam=1 for straight_through", f"beam={beam}", 'relaxation="one_soft"')
        if relaxation != "hard" and (scorer != "parent" or distinct or marginal):
            expected = f'scorer="parent", no distinct or marginal beams for {relaxation}'
            raise StructureError(expected, scorer, 'relaxation="hard"')
        if relaxation == "one_soft" and noise == "both":
            raise StructureError('noise="none" or "within" for one_soft', repr(noise), 'relaxation="hard"')
        self.relaxation = relaxation
        if scorer not in ("parent", "children"):
            raise StructureError('scorer "parent" or "children"', repr(scorer), 'scorer="parent"')
        if noise not in NOISE:
            raise StructureError(f"noise out of {', '.join(NOISE)}", repr(noise), 'noise="none"')
        if activations not in ACTIVATIONS:
            got = repr(activations)
            raise StructureError(f"activations out of {', '.join(ACTIVATIONS)}", got, 'activations="search"')
        self.activations = activations
        self.beam, self.lazy, self.noise, self.distinct = beam, scorer == "children", noise, distinct
        self.marginal = marginal
        self.cell = GatedRecursiveCell(width, dropout=dropout)
        self.scorer = ChildScorer(min(slice, width)) if self.lazy else ParentScorer(width)

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        if self.relaxation == "hard" or not self.training:
            return self.encode(x, segments).value
        straight, noise = self.relaxation == "straight_through", self.noise != "none"
        return soft_value(self.cell, self.scorer, x, segments, self.beam, straight, noise)

    def encode(self, x: Tensor, segments: Segments, record: bool = False) -> Encoded:
        """Value, beams and their trees, by hard choices. `record` keeps the softmaxes of the search also where no
        gradient is wanted, to look at them."""
        roots, scores, found = self.beams(x, segments, record)
        return Encoded(mixture(roots, scores, found.beams), found.beams, roots, scores, found)

    def beams(self, x: Tensor, starts: Segments | Starts, record: bool = False) -> tuple[Tensor, Tensor, Found]:
        """Roots and log-probabilities (of the merges alone, start scores left out) of the beams of all samples, best
        first in each, and the search."""
        gradient = torch.is_grad_enabled()
        within, between = self._seeds()
        options = Options(self.beam, self.lazy, self.distinct, self.marginal, gradient or record, within, between)
        keep = KeptRows(self.cell) if gradient and self._may_keep(x) else None
        found, states = self._search(keep or self.cell, x, starts, options)
        if gradient:
            again = keep.recall(cast(Tensor, states)[len(x) :]) if keep else self._again
            rows, scores = replay(again, self.scorer, x, found, self.lazy, keep is not None, self.marginal)
            return cast(Tensor, rows), scores, found
        row = torch.cat([torch.arange(len(x), device=x.device), found.row])
        scores = found.score if isinstance(starts, Segments) else found.score - starts.score[found.start]
        return states[row[found.root]], scores.to(x.dtype), found

    def _search(self, cell: Cell, x: Tensor, starts: Segments | Starts, options: Options):
        dropout, self.cell.dropout = self.cell.dropout, 0.0
        try:
            return search_trees(cell, self.scorer, x, starts, options)
        finally:
            self.cell.dropout = dropout

    def _may_keep(self, x: Tensor) -> bool:
        """Whether the replay would compute just what the search did: no dropout, one precision."""
        drops = self.training and self.cell.dropout > 0
        return self.activations == "search" and not drops and not torch.is_autocast_enabled(x.device.type)

    def _again(self, left: Tensor, right: Tensor) -> Tensor:
        if self.activations == "none":
            return checkpoint(self.cell, left, right, use_reentrant=False)
        return self.cell(left, right)

    def _seeds(self) -> tuple[int, int]:
        if not self.training or self.noise == "none":
            return 0, 0
        within, between = torch.randint(1, 2**62, (2,)).tolist()
        return within, between if self.noise == "both" else 0


class BeamTreeClassifier(nn.Module):
    """Tokens -> leaves -> `BeamTreeEncoder` -> classes; leaves and head as in `TreeClassifier`.

    `encoder`: further arguments of `BeamTreeEncoder`.

    Shapes: tokens `[N]`, segments with S members -> logits `[S, classes]`. A tree is accepted and not looked at.
    """

    def __init__(
        self,
        num_tokens: int = 15,
        num_classes: int = 10,
        width: int = 128,
        dropout: float = 0.1,
        **encoder: Any,
    ):
        super().__init__()
        self.leaves = TokenLeaves(num_tokens, width, dropout)
        self.encoder = BeamTreeEncoder(width, dropout=dropout, **encoder)
        self.head = ClassifierHead(width, num_classes, dropout)

    def forward(self, tokens: Tensor, segments: Segments, tree: Tree | None = None) -> Tensor:
        return self.head(self.encoder(self.leaves(tokens), segments))

    @torch.no_grad()
    def parse(self, tokens: Tensor, segments: Segments) -> Parse:
        """The trees of all beams, what the head says at each of their nodes, and the softmaxes that led to them."""
        x = self.leaves(tokens)
        out = self.encoder.encode(x, segments, record=True)
        trees = out.trees(segments)
        sample = out.beams.index.cpu()
        ptr = segments.ptr.cpu()
        rows = torch.from_numpy(ranges(ptr[sample].numpy(), ptr[sample + 1].numpy())).to(x.device)
        logits = self.head(fold_tree(self.encoder.cell, x[rows], trees, return_all=True))
        return Parse(trees, out.scores, logits, out.found)
