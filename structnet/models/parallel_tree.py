"""Latent trees in few rounds: every pair that beats its neighbours merges, all at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structnet.cells import GatedRecursiveCell
from structnet.errors import StructureError
from structnet.models.beam_tree import ChildScorer, mixture
from structnet.models.shell import TokenClassifier, TokenLeaves, require_rows
from structnet.structures import Segments


class ParallelTreeEncoder(nn.Module):
    """Leaves of each sample -> one vector, by rounds that merge all pairs whose score is a local maximum.

    A variant of BT-Cell (Ray Chowdhury and Caragea, 2023) of our own. A round scores all pairs of neighbours by their
    children (as EBT-GRC does) and merges every pair with a higher score than the two pairs that overlap it; such pairs
    never overlap. A hypothesis collects the log-probability of each merge against the pairs that it excludes,

        log p_j = s_j - log(exp s_{j-1} + exp s_j + exp s_{j+1}),

    n - 1 terms whatever the rounds, so hypotheses compare. In training K hypotheses run side by side, the first on the
    scores, the others on scores with Gumbel noise; value = sum of softmax(log p)_b root_b, the only way for gradients
    to the scorer. In evaluation there is one, without noise. Orders of independent merges cannot differ, so no two
    hypotheses are the same tree in another order.

    Args:
        width: size D of a state.
        beam: hypotheses K in training.
        slice: leading features that the scorer reads.
        dropout: inside the cell.

    Shapes: x `[N, D]`, segments with S members, none empty -> `[S, D]`. Cost: n - 1 cell rows per hypothesis, in as
    many calls as there are rounds: about log n where scores are uneven, n - 1 at worst (scores that only rise).

    Raises:
        StructureError: an empty segment, or beam < 1.
    """

    def __init__(self, width: int, beam: int = 5, slice: int = 64, dropout: float = 0.0):
        super().__init__()
        if beam < 1:
            raise StructureError("beam >= 1", f"{beam}", "beam=5")
        self.beam = beam
        self.cell = GatedRecursiveCell(width, dropout=dropout)
        self.scorer = ChildScorer(min(slice, width))

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        require_rows(segments)
        copies = self.beam if self.training else 1
        rows = x.repeat(copies, 1)  # hypotheses one after the other, each with all samples
        lists = Segments.from_lengths(segments.lengths.repeat(copies))
        noisy = torch.arange(len(lists), device=x.device) >= len(segments)
        score = x.new_zeros(len(lists))
        while lists.max_length > 1:
            rows, lists, gained = self._round(rows, lists, noisy)
            score = score + gained
        beams = Segments.from_lengths(torch.full_like(segments.lengths, copies))
        order = torch.arange(len(lists), device=x.device).view(copies, -1).T.flatten()
        return mixture(rows[order], score[order], beams)

    def _round(self, rows: Tensor, lists: Segments, noisy: Tensor) -> tuple[Tensor, Segments, Tensor]:
        """All rows after the merges of one round, and what each list's log-probability gains."""
        row = torch.arange(len(rows), device=rows.device)
        left = row[row + 1 < lists.ptr[1:][lists.index]]
        pairs = Segments.from_lengths((lists.lengths - 1).clamp(min=0))
        scores = self.scorer(rows.index_select(0, left), rows.index_select(0, left + 1))
        key = scores.detach()
        if bool(noisy.any()):
            key = torch.where(noisy[pairs.index], key - torch.empty_like(key).exponential_().log(), key)
        (low, high), (before, after) = _beside(key, pairs), _beside(scores, pairs)
        best = ((key > low) & (key >= high)).nonzero().flatten()  # of equal ones the first
        log_p = (scores - torch.stack([before, scores, after]).logsumexp(0)).index_select(0, best)
        owner, at = pairs.index[best], left[best]
        made = self.cell(rows.index_select(0, at), rows.index_select(0, at + 1))
        stays = torch.ones_like(row, dtype=torch.bool)
        stays[at + 1] = False
        fewer = Segments.from_lengths(lists.lengths - torch.bincount(owner, minlength=len(lists)))
        rows = rows.index_copy(0, at, made.to(rows.dtype)).index_select(0, stays.nonzero().flatten())
        return rows, fewer, log_p.new_zeros(len(lists)).index_add(0, owner, log_p)


def _beside(x: Tensor, pairs: Segments) -> tuple[Tensor, Tensor]:
    """The entries before and after each, minus infinity at the ends of a segment."""
    edge = x.new_full((1,), -torch.inf)
    where = torch.arange(len(x), device=x.device)
    first, last = where == pairs.ptr[:-1][pairs.index], where == pairs.ptr[1:][pairs.index] - 1
    return (
        torch.cat([edge, x[:-1]]).masked_fill(first, -torch.inf),
        torch.cat([x[1:], edge]).masked_fill(last, -torch.inf),
    )


class ParallelTreeClassifier(TokenClassifier):
    """Tokens -> leaves -> `ParallelTreeEncoder` -> classes; leaves and head as in `BeamTreeClassifier`."""

    def __init__(
        self,
        num_tokens: int = 15,
        num_classes: int = 10,
        width: int = 128,
        beam: int = 5,
        slice: int = 64,
        dropout: float = 0.1,
    ):
        encoder = ParallelTreeEncoder(width, beam, slice, dropout)
        super().__init__(TokenLeaves(num_tokens, width, dropout), encoder, width, num_classes, dropout)
