"""Monoids that are exactly associative and commutative whatever their weights: sorted lists, logsumexp, attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structnet.aggr.base import SetAggregation, Sets
from structnet.errors import StructureError


class TopKAggregation(SetAggregation):
    """The k largest (smallest) values per channel, sorted: lists of length k, merged.

    Contains maximum and minimum (k = 1), second minimum, k-th minimum; piecewise linear in its input, gradient to the
    chosen rows. Equal values count as often as they occur.

    Args:
        channels: width F of a row.
        k: length of the list.
        largest: largest first, or smallest first.

    Shapes: x `[N, F]` -> `[sets, k F]`, all first values, then all second ones. A place that a set is too small to fill
    holds -inf (inf) in the monoid and is read out as the learned `missing` `[k, F]`; an empty set gives just that.
    Cost: two sorts, O(N log N) per channel.
    """

    def __init__(self, channels: int, k: int = 2, largest: bool = False):
        super().__init__()
        if k < 1:
            raise StructureError("k >= 1", str(k), "k=2")
        self.channels, self.k, self.largest = channels, k, largest
        self.missing = nn.Parameter(torch.zeros(k, channels))

    def reset_parameters(self):
        nn.init.zeros_(self.missing)

    def aggregate(self, x: Tensor, sets: Sets) -> Tensor:
        rows, by_channel = sets.rows(x.shape[0]), x.detach().T.contiguous()
        by_value = by_channel.argsort(dim=1, descending=self.largest, stable=True)
        order = by_value.gather(1, rows[by_value].argsort(dim=1, stable=True)).T  # by set, then by value
        lengths = counts(rows, sets.size)
        place = torch.arange(self.k, device=x.device)[None, :] + (lengths.cumsum(0) - lengths)[:, None]
        there = torch.arange(self.k, device=x.device)[None, :] < lengths[:, None]
        order = torch.cat([order, order.new_zeros(1, self.channels)])  # a row to point at if there is none
        padded = torch.cat([x, x.new_zeros(1, self.channels)])
        chosen = padded.gather(0, order[place.clamp(max=x.shape[0]).flatten()]).unflatten(0, place.shape)
        return torch.where(there[:, :, None], chosen, self.missing).flatten(1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, k={self.k}, largest={self.largest})"


class LogSumExpAggregation(SetAggregation):
    """Between sum and maximum, per channel:  log(sum_i exp(t x_i)) / t,  with a learned temperature t > 0.

    Args:
        channels: width F of a row.
        temperature: t to begin with; large is near the maximum.

    Shapes: x `[N, F]` -> `[sets, F]`. An empty set is -inf in the monoid and read out as the learned `empty`. Cost: one
    maximum and one sum per set, linear in N.
    """

    def __init__(self, channels: int, temperature: float = 1.0):
        super().__init__()
        self.channels, self.start = channels, temperature
        self.log_temperature = nn.Parameter(torch.empty(channels))
        self.empty = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.constant_(self.log_temperature, torch.tensor(self.start).log().item())
        nn.init.zeros_(self.empty)

    def aggregate(self, x: Tensor, sets: Sets) -> Tensor:
        rows, temperature = sets.rows(x.shape[0]), self.log_temperature.exp()
        scaled = x * temperature
        top = finite(segment_max(scaled, rows, sets.size))
        total = scaled.new_zeros(top.shape).index_add(0, rows, (scaled - top[rows]).exp())
        filled = counts(rows, sets.size)[:, None] > 0
        return torch.where(filled, (total.where(filled, 1.0).log() + top) / temperature, self.empty)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, temperature={self.start})"


class AttentionAggregation(SetAggregation):
    """Softmax attention as a monoid: (m, s, v) with largest score m, sum s of exp(score - m) and weighted values v.

        out = sum_i softmax(w x_i)_i W x_i   per head

    Args:
        in_channels, out_channels: width of a row and of a value; `heads` must divide out_channels.
        heads: scores per row.

    Shapes: x `[N, in_channels]` -> `[sets, out_channels]`. An empty set (-inf, 0, 0) is read out as the learned
    `empty`. Cost: linear in N.
    """

    def __init__(self, in_channels: int, out_channels: int, heads: int = 1):
        super().__init__()
        if out_channels % heads:
            raise StructureError("heads that divide out_channels", f"{heads} heads, {out_channels} channels", "heads=1")
        self.in_channels, self.out_channels, self.heads = in_channels, out_channels, heads
        self.score, self.value = nn.Linear(in_channels, heads), nn.Linear(in_channels, out_channels)
        self.empty = nn.Parameter(torch.zeros(out_channels))

    def reset_parameters(self):
        self.score.reset_parameters()
        self.value.reset_parameters()
        nn.init.zeros_(self.empty)

    def aggregate(self, x: Tensor, sets: Sets) -> Tensor:
        rows, score = sets.rows(x.shape[0]), self.score(x)
        weight = (score - finite(segment_max(score, rows, sets.size))[rows]).exp()
        value = (self.value(x).unflatten(-1, (self.heads, -1)) * weight[..., None]).flatten(1)
        total = weight.new_zeros(sets.size, self.heads).index_add(0, rows, weight)
        mixed = value.new_zeros(sets.size, self.out_channels).index_add(0, rows, value)
        filled = counts(rows, sets.size)[:, None] > 0
        share = total.where(filled, 1.0).repeat_interleave(self.out_channels // self.heads, 1)
        return torch.where(filled, mixed / share, self.empty)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, heads={self.heads})"


def segment_max(x: Tensor, rows: Tensor, size: int) -> Tensor:
    """Largest value per set and channel, 0 for an empty set; a constant to autograd (shifts cancel in a softmax)."""
    x = x.detach()
    at = rows[:, None].expand_as(x)
    return x.new_zeros(size, x.shape[1]).scatter_reduce(0, at, x, "amax", include_self=False)


def finite(top: Tensor) -> Tensor:
    """What exponents are shifted by: the maximum, but 0 if that is infinite or NaN, so that the sum is, too."""
    return top.where(top.isfinite(), 0.0)


def counts(rows: Tensor, size: int) -> Tensor:
    """Rows of each set, int64 `[size]`; also inside `torch.compile`."""
    return torch.zeros(size, dtype=torch.long, device=rows.device).index_add(0, rows, torch.ones_like(rows))
