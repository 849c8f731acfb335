"""Ordered Memory: a stack whose top is found by attention, composed slot by slot."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from structnet.cells import GatedRecursiveCell
from structnet.models.shell import TokenClassifier, TokenRows, require_rows
from structnet.recursion import scan_segments
from structnet.structures import Segments

Memory = tuple[Tensor, Tensor, Tensor]


class OrderedMemory(nn.Module):
    """Rows of each sample, read from left to right -> the last output of each.

    Shen, Tan, Hosseini, Lin, Sordoni and Courville, "Ordered Memory", NeurIPS 2019, sections 3.1 to 3.3. With the token
    x_t, slots i = 1 .. M, memory m, candidate memory c and the distribution p over slots:

        score_i  = v . GELU(query(x_t) + key(c_i)) / sqrt(D)
        p_i      = exp(score_i) open_i / sum_j exp(score_j) open_j,  open_i = p_1 + .. + p_{i+1} of the step before
        m_i      = m_i (1 - (p_i + .. + p_M)) + c_i (p_i + .. + p_M)
        c_i      = x_t (1 - (p_1 + .. + p_i)) + cell(c_{i-1}, m_i) (p_1 + .. + p_i),  c_0 = x_t

    and the output of the step is c_M. Sums below 1e-5 count as closed; the last slot is always open.

    Args:
        width: size D of a state.
        slots: M.
        dropout: inside the cell and before the maps of query, key and score.

    Shapes: x `[N, D]`, segments with S members, none empty -> `[S, D]`. Cost: one cell row per token and slot that its
    distribution reaches (at most M N in M calls a step); slots before that hold x_t whatever the cell says, forward and
    backward, so they are not composed. State in, state out: `step(x, memory)`.

    Raises:
        StructureError: an empty segment.

    Differs from the authors' code in nothing but that; the slots are not doubled in evaluation (their code does not
    get there either). One layer norm serves the projection and the cell, as theirs does.
    """

    def __init__(self, width: int, slots: int = 21, dropout: float = 0.0):
        super().__init__()
        self.slots = slots
        self.project = nn.Linear(width, width)
        self.query = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width), nn.LayerNorm(width))
        self.key = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width), nn.LayerNorm(width))
        self.score = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(width, 1))
        self.cell = GatedRecursiveCell(width, dropout=dropout, drop_input=True)

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        require_rows(segments)
        if not len(segments):
            return x[:0]
        rows = self.cell.norm(self.project(x))
        _, (_, candidates, _) = scan_segments(self.step, rows, segments)  # type: ignore[misc]
        return candidates[:, -1]

    def step(self, x: Tensor, memory: Memory | None = None) -> Memory:
        """Memory, candidates `[S, M, D]` and distribution `[S, M]` after one token `[S, D]` of each sample."""
        if memory is None:
            kept = x.new_zeros(len(x), self.slots, x.shape[-1])
            return kept, x.unsqueeze(1).expand_as(kept), kept[..., 0]
        kept, candidates, p = memory
        p = self._attend(x, candidates, p)
        above, below = p.cumsum(1), p.flip(1).cumsum(1).flip(1).unsqueeze(-1)
        kept = kept * (1 - below) + candidates * below
        return kept, self._compose(x, kept, above), p

    def _attend(self, x: Tensor, candidates: Tensor, before: Tensor) -> Tensor:
        scores = self.score(self.query(x).unsqueeze(1) + self.key(candidates)).squeeze(-1) / math.sqrt(x.shape[-1])
        opened = before.cumsum(1)[:, 1:]
        opened = F.pad(opened.masked_fill(opened < 1e-5, 0.0), (0, 1), value=1.0)
        return F.normalize((scores - scores.detach().amax(-1, keepdim=True)).exp() * opened, p=1)

    def _compose(self, x: Tensor, kept: Tensor, above: Tensor) -> Tensor:
        """The candidates: a chain of cells through the slots, in each row from the first slot that p reaches."""
        reached, state, candidates = above.detach() > 0, x, []
        for slot in range(self.slots):
            on = reached[:, slot].nonzero().flatten()
            if on.numel():
                share = above[on, slot].unsqueeze(-1)
                made = self.cell(state.index_select(0, on), kept[:, slot].index_select(0, on))
                mixed = x.index_select(0, on) * (1 - share) + made * share
                state = mixed if len(on) == len(x) else x.index_copy(0, on, mixed)
            candidates.append(state)
        return torch.stack(candidates, 1)


class OrderedMemoryClassifier(TokenClassifier):
    """Tokens -> `OrderedMemory` -> classes; embeddings and head as for every other encoder here."""

    def __init__(
        self, num_tokens: int = 15, num_classes: int = 10, width: int = 128, slots: int = 21, dropout: float = 0.1
    ):
        encoder = OrderedMemory(width, slots, dropout)
        super().__init__(TokenRows(num_tokens, width, dropout), encoder, width, num_classes, dropout)
