"""The k best rows of a set by a learned key: a sorted list that carries its rows along."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structnet.aggr.base import SetAggregation, Sets
from structnet.aggr.exact import counts, segment_max
from structnet.errors import StructureError


class TopRowsAggregation(SetAggregation):
    """The k rows with the largest keys, key = sharpness w.x, best first: lists of (key, row) of length k, merged.

    `TopKAggregation` sorts every channel by itself; here one learned order decides for whole rows, so what is read out
    is what an element said of itself, however long the set. The value is hard in training and in evaluation. A choice
    has no gradient, so the key gets that of a relaxed one (Plötz and Roth, "Neural Nearest Neighbors Networks", 2018,
    section 3.2, without replacement):

        out_j = x_(j),   d out_j = d x_(j) + sum_i x_i d p_ij
        p_ij  = softmax_i(key_i + sum_{l < j} log(1 - p_il)),  the rows chosen before j left out

    Exactly associative, and commutative where keys differ (of equal keys the earlier row comes first).

    Args:
        channels: width F of a row.
        k: length of the list.
        sharpness: factor on the key; keys that start spread out are told apart sooner.

    Shapes: x `[N, F]` -> `[sets, k F]`. A place that a set is too small to fill is read out as the learned `missing`
    `[k, F]`; an empty set gives just that. Cost: one sort, O(N log N), and in training k softmaxes over N keys.
    """

    def __init__(self, channels: int, k: int = 2, sharpness: float = 3.0):
        super().__init__()
        if k < 1:
            raise StructureError("k >= 1", str(k), "k=2")
        self.channels, self.k, self.sharpness = channels, k, sharpness
        self.key = nn.Linear(channels, 1, bias=False)
        self.missing = nn.Parameter(torch.zeros(k, channels))

    def reset_parameters(self):
        self.key.reset_parameters()
        nn.init.zeros_(self.missing)

    def aggregate(self, x: Tensor, sets: Sets) -> Tensor:
        rows, key = sets.rows(x.shape[0]), self.sharpness * self.key(x).to(x.dtype)  # shares near 1 need all digits
        lengths = counts(rows, sets.size)
        order = key.detach().flatten().argsort(descending=True, stable=True)
        order = order[rows[order].argsort(stable=True)]  # by set, then by key
        order, first = torch.cat([order, order.new_zeros(1)]), lengths.cumsum(0) - lengths
        padded = torch.cat([x, x.new_zeros(1, x.shape[1])])  # a row to point at if there is none
        parts = []
        for place in range(self.k):
            there = place < lengths
            at = torch.where(there, order[(first + place).clamp(max=x.shape[0])], x.shape[0])
            value = padded.index_select(0, at)
            if self.training:
                share = _softmax(key, rows, sets.size)
                mean = x.new_zeros(value.shape).index_add(0, rows, share * x.detach())
                value = value + mean - mean.detach()
                gone = x.new_zeros(len(padded), 1).index_fill(0, at, 1.0)[:-1] > 0
                key = key + torch.log1p(-share.clamp(max=1 - torch.finfo(x.dtype).eps))
                key = key.masked_fill(gone, torch.finfo(x.dtype).min / 4)
            parts.append(torch.where(there[:, None], value, self.missing[place]))
        return torch.cat(parts, 1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, k={self.k}, sharpness={self.sharpness})"


def _softmax(key: Tensor, rows: Tensor, size: int) -> Tensor:
    """Share of each row in its set, `[N, 1]`."""
    weight = (key - segment_max(key, rows, size)[rows]).exp()
    return weight / weight.new_zeros(size, 1).index_add(0, rows, weight)[rows]
