"""CRvNN: a recursive network whose nodes exist by degrees."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from structnet.cells import GatedRecursiveCell
from structnet.kernels.segment_scan import segment_scan
from structnet.models.shell import TokenClassifier, TokenRows, require_rows
from structnet.structures import Segments


class Neighbours:
    """Nearest existing neighbours, by degrees: row i has mass e_i in [0, 1], and its right neighbour is the average of
    the rows after it up to a total mass of 1, its left neighbour that of the rows before it.

    With the rows laid end to end on a line, row i from `end_i - e_i` to `end_i`, these are integrals of the row at each
    point, from `end_i` to `end_i + 1` and from `start_i - 1` to `start_i`: differences of a running sum, so linear in
    the number of rows where retrieval matrices are quadratic.
    """

    def __init__(self, mass: Tensor, segments: Segments):
        self.mass, self.segments = mass.unsqueeze(1), segments
        exact = self.mass.double()  # places on the line, up to the number of rows
        self.end = segment_scan(torch.ones_like(exact), exact, segments)
        self.start = self.end - exact
        self.after, self.before = self._locate(self.end + 1), self._locate(self.start - 1)

    def right(self, x: Tensor) -> Tensor:
        upto = self._integral(x)
        return self._at(self.after, x, upto) - upto

    def left(self, x: Tensor) -> Tensor:
        upto = self._integral(x)
        return upto - self.mass * x - self._at(self.before, x, upto)

    def _integral(self, x: Tensor) -> Tensor:
        return segment_scan(torch.ones_like(self.mass), self.mass * x, self.segments)

    def _locate(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """The row that holds each point of the line, and how much of that row lies before the point."""
        segments, index = self.segments, self.segments.index
        first = segments.ptr[:-1][index]  # masses are at most 1: lines of different samples do not overlap
        line = (self.end.detach().squeeze(1) + first).contiguous()
        row = torch.searchsorted(line, (point.detach().squeeze(1) + first).contiguous())
        row = row.minimum(segments.ptr[1:][index] - 1).maximum(first)
        part = (point - self.start[row]).clamp(min=0).minimum(self.end[row] - self.start[row])
        return row, part.to(self.mass.dtype)

    def _at(self, place: tuple[Tensor, Tensor], x: Tensor, upto: Tensor) -> Tensor:
        row, part = place
        before = upto - self.mass * x
        return before.index_select(0, row) + part * x.index_select(0, row)


class ContinuousRvNN(nn.Module):
    """Rows of each sample, composed in parallel by degrees -> the last row of each.

    Ray Chowdhury and Caragea, "Modeling Hierarchical Structures with Continuous Recursive Neural Networks", ICML 2021,
    sections 3 and 4. A sample is framed by a start and an end; e_i is how far row i still exists, L and R are left and
    right neighbours (`Neighbours`). Every round, for all rows but the frame and the last:

        s_i = v . GELU(W [LL x_i; L x_i; x_i; R x_i; RR x_i])
        c_i = exp s_i / (exp s_i + 1 + L exp s_i + R exp s_i)         row i merges into its right neighbour
        x_i = (L c)_i cell(L x_i, x_i) + (1 - (L c)_i) x_i
        e_i = e_i (1 - c_i)

    until at most one row has e_i above `threshold`, at most n rounds.

    Args:
        width: size D of a state.
        threshold: of existence, for halting.
        dropout: inside the cell.

    Shapes: x `[N, D]`, segments with S members, none empty -> `[S, D]`. Cost of a round: n - 1 cell rows, n + 2 scorer
    rows and O(n D) for the neighbours (the authors' retrieval matrices: O(n^2 D)); samples that have halted leave.

    Differs from the authors' code in: neighbours by running sums (same values; where a sum of masses is exactly 1 and
    the derivative jumps, one side is taken instead of the mean of both); no 1e-8 in the denominator of c, since the 1
    is there; a sample halts as it would alone (theirs may go on one round longer beside a longer one).

    Raises:
        StructureError: an empty segment.
    """

    WINDOW = 5

    def __init__(self, width: int, threshold: float = 0.1, dropout: float = 0.0):
        super().__init__()
        self.threshold = threshold
        self.frame = nn.Parameter(torch.randn(2, width))
        self.project, self.norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.window, self.score = nn.Linear(self.WINDOW * width, width), nn.Linear(width, 1)
        self.cell = GatedRecursiveCell(width, dropout=dropout)

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        require_rows(segments)
        segments, x = self._framed(x, segments)
        mass, alive = x.new_ones(len(x)), torch.arange(len(segments), device=x.device)
        values, order, rounds = [x[:0]], [alive[:0]], 0
        while len(alive):
            x, mass = self._round(x, mass, segments)
            rounds += 1
            count = torch.zeros_like(alive).index_add(0, segments.index, (mass > self.threshold).long())
            done = (count - 2 <= 1) | (segments.lengths - 2 <= rounds)
            if bool(done.any()):
                values.append(x[segments.ptr[1:][done] - 2])
                order.append(alive[done])
                rows = ~done[segments.index]
                x, mass, alive = x[rows], mass[rows], alive[~done]
                segments = Segments.from_lengths(segments.lengths[~done])
        return torch.cat(values)[torch.cat(order).argsort()]

    def _framed(self, x: Tensor, segments: Segments) -> tuple[Segments, Tensor]:
        """All rows, each sample between the start and the end, after the leaf map."""
        framed = Segments.from_lengths(segments.lengths + 2)
        row = torch.arange(segments.num_rows, device=x.device) + 2 * segments.index + 1
        rows = x.new_empty(framed.num_rows, x.shape[1]).index_copy(0, row, x)
        for frame, at in zip(self.frame, (framed.ptr[:-1], framed.ptr[1:] - 1)):
            rows = rows.index_copy(0, at, frame.to(x.dtype).expand(len(at), -1))
        return framed, self.norm(self.project(rows))

    def _round(self, x: Tensor, mass: Tensor, segments: Segments) -> tuple[Tensor, Tensor]:
        near = Neighbours(mass, segments)
        left, right = near.left(x), near.right(x)
        window = torch.cat([near.left(left), left, x, right, near.right(right)], -1)
        place = torch.arange(len(x), device=x.device) - segments.ptr[segments.index]
        behind = segments.lengths[segments.index] - 1 - place  # rows after this one
        scores = self.score(F.gelu(self.window(window))).squeeze(1)
        scores = scores.masked_fill((place == 0) | (behind <= 1), -torch.inf)
        index, high = segments.index, scores.new_zeros(len(segments))
        high = high.scatter_reduce(0, index, scores.detach(), "amax")[index]
        merge = (scores - high).exp()
        beside = near.left(merge.unsqueeze(1)) + near.right(merge.unsqueeze(1))
        merge = merge / (merge + (-high).exp() + beside.squeeze(1))
        joins = ((place > 1) & (behind > 0)).nonzero().flatten()  # rows with something to their left to take in
        share, old = near.left(merge.unsqueeze(1))[joins], x[joins]
        made = self.cell(left[joins], old)
        return x.index_copy(0, joins, share * made + (1 - share) * old), mass * (1 - merge)


class ContinuousRvNNClassifier(TokenClassifier):
    """Tokens -> `ContinuousRvNN` -> classes; embeddings and head as for every other encoder here."""

    def __init__(
        self,
        num_tokens: int = 15,
        num_classes: int = 10,
        width: int = 128,
        threshold: float = 0.1,
        dropout: float = 0.1,
    ):
        encoder = ContinuousRvNN(width, threshold, dropout)
        super().__init__(TokenRows(num_tokens, width, dropout), encoder, width, num_classes, dropout)
