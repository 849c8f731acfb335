"""RIR: a balanced tree of beam searches, each over one chunk."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from structnet.models.beam_tree import BeamTreeEncoder, mixture
from structnet.models.shell import TokenClassifier, TokenLeaves, require_rows
from structnet.search import Starts
from structnet.structures import Segments


@dataclass(frozen=True)
class Level:
    """What one level merges: B_s lists of n_s entries for each sample, laid out as [sample][list][place].

    Attributes:
        lists, sizes: B_s and n_s of each sample.
        row, score: of each entry, its state's row and its log-probability.
    """

    lists: Tensor
    sizes: Tensor
    row: Tensor
    score: Tensor

    def entries(self) -> tuple[Tensor, Tensor, Tensor]:
        """Sample, list and place of each entry."""
        samples = Segments.from_lengths(self.lists * self.sizes)
        at = torch.arange(len(self.row), device=self.row.device) - samples.ptr[samples.index]
        size = self.sizes[samples.index]
        return samples.index, at // size, at % size


class RecursionInRecursion(nn.Module):
    """Leaves of each sample -> one vector: chunks of c leaves are merged by beam search (`BeamTreeEncoder`), their
    roots are the leaves of the next level.

    Ray Chowdhury and Caragea, "Recursion in Recursion: Two-Level Nested Recursion for Length Generalization with
    Scalability", NeurIPS 2023, section 4 (RIR-EBT-GRC). A sample of n >= 1.5 c entries is cut into chunks of c, the
    last one shorter; a smaller one is one chunk. Every chunk ends with up to K beams. Beam b of the next level is made
    of one beam of every chunk, its start score the sum of theirs: the best ones for b = 1 ("beam alignment"), draws
    from the softmax of the chunk's scores for the others.

    Args:
        width: size D of a state.
        beam: hypotheses K.
        chunk: c.
        slice: leading features that the scorer of children reads.
        noise: Gumbel noise in training, see `BeamTreeEncoder`.
        deterministic: in evaluation take, instead of K - 1 draws, the K - 1 middles of equal shares of the softmax, so
            that a sample gives the same output at any time and in any batch. False: draws, as published.
        chunked: False to search whole samples in evaluation.
        dropout: inside the cell.

    Shapes: x `[N, D]`, segments with S members, none empty -> `[S, D]`. Cost: K (n - 1) c / (c - 1) cell rows at most,
    about c log n / log c steps one after the other.

    Differs from the paper in: `deterministic` is on; a sample is cut by its own length, not by the longest of its
    batch; no S4D layer before the leaves (the authors' ablation without it); see also `BeamTreeEncoder`.

    Raises:
        StructureError: an empty segment.
    """

    def __init__(
        self,
        width: int,
        beam: int = 7,
        chunk: int = 30,
        slice: int = 64,
        noise: str = "both",
        deterministic: bool = True,
        chunked: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.inner = BeamTreeEncoder(width, beam, "children", slice, noise, dropout=dropout)
        self.chunk, self.deterministic, self.chunked = chunk, deterministic, chunked

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        require_rows(segments)
        if not self.chunked and not self.training:
            return self.inner(x, segments)
        every = torch.arange(len(x), device=x.device)
        level = Level(torch.ones_like(segments.lengths), segments.lengths, every, x.new_zeros(len(x)))
        rows = x
        while True:
            chunks, starts, begun = self._cut(level)
            roots, scores, found = self.inner.beams(rows, starts)
            scores = scores + begun[found.start]
            if chunks.max_length <= 1:
                return mixture(roots, scores, found.beams)
            rows, level = roots, self._align(chunks, found.beams, scores)

    def _cut(self, level: Level) -> tuple[Segments, Starts, Tensor]:
        """Chunks of each sample, the lists of each chunk, and what each list has to start with."""
        cut = level.sizes >= self.chunk + self.chunk // 2
        size = torch.where(cut, self.chunk, level.sizes)
        count = (level.sizes + size - 1) // size
        sample, which, place = level.entries()
        chunks = Segments.from_lengths(count)
        chunk = chunks.ptr[sample] + place // size[sample]
        key = (chunk * int(level.lists.max() if len(level.lists) else 1) + which) * len(level.row) + place
        order = key.argsort()  # [sample][chunk][list][place]
        chunk_of = torch.arange(chunks.num_rows, device=cut.device)
        lists = level.lists[chunks.index]
        last = level.sizes[chunks.index] - (chunk_of - chunks.ptr[chunks.index]) * size[chunks.index]
        members = Segments.from_lengths(last.minimum(size[chunks.index]).repeat_interleave(lists))
        begun = level.score.new_zeros(len(members)).index_add(0, members.index, level.score[order])
        starts = Starts(Segments.from_lengths(lists), members, level.row[order], begun.detach().double())
        return chunks, starts, begun

    def _align(self, chunks: Segments, beams: Segments, scores: Tensor) -> Level:
        """The next level: list b of a sample has for every chunk one of its beams."""
        single = chunks.lengths == 1  # done: its beams stay as they are
        lists = torch.zeros_like(chunks.ptr[1:]).scatter_reduce(0, chunks.index, beams.lengths, "amax")
        entries = Level(lists, chunks.lengths, torch.empty(int((lists * chunks.lengths).sum())), scores).entries()
        sample, which, place = entries
        chunk = chunks.ptr[sample] + place
        drawn = self._draw(beams, scores.detach(), chunk, which, lists[sample] - 1)
        slot = torch.where(single[sample] | (which == 0), which, drawn)
        row = beams.ptr[chunk] + slot
        return Level(lists, chunks.lengths, row, scores[row])

    def _draw(self, beams: Segments, scores: Tensor, chunk: Tensor, which: Tensor, draws: Tensor) -> Tensor:
        """For each entry one of its chunk's beams, by the softmax of their scores: as many draws per chunk, or the
        middles of as many equal shares."""
        if self.training or not self.deterministic:
            point = torch.rand(len(chunk), dtype=scores.dtype, device=scores.device)
        else:
            point = (which - 0.5) / draws.clamp(min=1)
        table = scores.new_full((len(beams), max(beams.max_length, 1)), -torch.inf)  # K numbers a chunk
        slot = torch.arange(len(scores), device=scores.device) - beams.ptr[beams.index]
        share = table.index_put((beams.index, slot), scores).softmax(-1).cumsum(-1)
        return (share[chunk] < point.to(share.dtype).unsqueeze(1)).sum(1).minimum(beams.lengths[chunk] - 1)


class RecursionInRecursionClassifier(TokenClassifier):
    """Tokens -> leaves -> `RecursionInRecursion` -> classes; leaves and head as in `BeamTreeClassifier`."""

    def __init__(
        self,
        num_tokens: int = 15,
        num_classes: int = 10,
        width: int = 128,
        beam: int = 7,
        chunk: int = 30,
        slice: int = 64,
        noise: str = "both",
        deterministic: bool = True,
        chunked: bool = True,
        dropout: float = 0.1,
    ):
        encoder = RecursionInRecursion(width, beam, chunk, slice, noise, deterministic, chunked, dropout)
        super().__init__(TokenLeaves(num_tokens, width, dropout), encoder, width, num_classes, dropout)
