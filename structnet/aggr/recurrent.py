"""Recurrent aggregators: a GRU or an LSTM over the rows of each set, in their order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structnet.aggr.base import SetAggregation, Sets
from structnet.aggr.losses import open_losses
from structnet.recursion import scan_segments
from structnet.states import State, state_map
from structnet.structures import Segments


class RecurrentAggregation(SetAggregation):
    """The last state of a recurrent cell over the rows of each set; the initial state, zeros, for an empty one.

    Rows are taken in the order given. With edges sorted by sender this is node order, which the recurrent aggregator
    of Xu and Velickovic, "Recurrent Aggregators in Neural Algorithmic Reasoning", 2024, asks for; `shuffle=True` draws
    a new order in training where order must not matter.

    Inside `collect_losses()` it reports `swap` (see `swap_loss`).

    Shapes: x `[N, in_channels]` -> `[sets, out_channels]`. Cost: N cell rows in (largest set) steps, nothing padded.
    """

    cell: nn.GRUCell | nn.LSTMCell

    def __init__(self, in_channels: int, out_channels: int, shuffle: bool = False):
        super().__init__(shuffle)
        self.in_channels, self.out_channels = in_channels, out_channels

    def reset_parameters(self):
        self.cell.reset_parameters()

    def aggregate(self, x: Tensor, sets: Sets) -> Tensor:
        groups = sets.groups()
        x, segments = groups.sorted(x), groups.segments
        losses = open_losses()
        if losses is not None:
            losses.add("swap", swap_loss(self.cell, x, segments, self._initial(x, segments.num_segments)))
        return _value(scan_segments(self.cell, x, segments, self._initial(x, segments.num_segments))[1])

    def _initial(self, x: Tensor, size: int) -> State:
        zeros = x.new_zeros(size, self.out_channels)
        return (zeros, zeros) if isinstance(self.cell, nn.LSTMCell) else zeros

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, shuffle={self.shuffle})"


class GRUAggregation(RecurrentAggregation):
    """`RecurrentAggregation` with a GRU."""

    def __init__(self, in_channels: int, out_channels: int, shuffle: bool = False):
        super().__init__(in_channels, out_channels, shuffle)
        self.cell = nn.GRUCell(in_channels, out_channels)


class LSTMAggregation(RecurrentAggregation):
    """`RecurrentAggregation` with an LSTM, as in GraphSAGE (Hamilton et al., 2017) and RNAR (2024)."""

    def __init__(self, in_channels: int, out_channels: int, shuffle: bool = False):
        super().__init__(in_channels, out_channels, shuffle)
        self.cell = nn.LSTMCell(in_channels, out_channels)


def swap_loss(cell: nn.GRUCell | nn.LSTMCell, x: Tensor, segments: Segments, initial: State) -> Tensor:
    """Mean ||f(f(s, x), y) - f(f(s, y), x)||^2 over all neighbouring rows x, y of a segment and the state s before
    them (Cohen-Karlik et al., "Regularizing towards permutation invariance in recurrent models", 2020); 0 if there are
    none. Cost: four more cell rows per row.
    """
    states, _ = scan_segments(cell, x, segments, initial)
    at = torch.arange(x.shape[0], device=x.device)
    place = at - segments.ptr[segments.index]
    second = at[place > 0]
    if not second.numel():
        return x.sum() * 0
    starts = place[second] == 1
    before = state_map(
        lambda s, i: torch.where(starts[:, None], i[segments.index[second]], s[second - 2]), states, initial
    )
    straight = cell(x[second], cell(x[second - 1], before))
    swapped = cell(x[second - 1], cell(x[second], before))
    return (_value(straight) - _value(swapped)).square().sum(-1).mean()


def _value(state: State) -> Tensor:
    return state[0] if isinstance(state, tuple) else state
