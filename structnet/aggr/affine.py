"""A linear recurrence over the rows of each set, in logarithmic depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structnet.aggr.base import SetAggregation, Sets
from structnet.kernels import segment_scan as _  # noqa: F401 registers the op


class AffineScanAggregation(SetAggregation):
    """Gated linear recurrence over the rows of each set in their order: the parallel answer to the LSTM aggregator.

        a_t = sigmoid(W_a x_t)  (tanh if `signed`),   b_t = (1 - |a_t|) * tanh(W_b x_t)
        h_t = a_t * h_{t-1} + b_t,   h_0 = 0,   out = W_o h_n

    Each row is an affine map of the state, and affine maps compose associatively (Martin and Cundy, "Parallelizing
    linear recurrent neural nets over sequence length", 2018), so `segment_scan` needs logarithmic depth on parallel
    hardware and one pass over memory on a CPU.

    Args:
        in_channels, out_channels: width of a row and of a value.
        signed: let a_t be negative, without which parity cannot be tracked.
        shuffle: in training, a new order of the rows of every set.

    Shapes: x `[N, in_channels]` -> `[sets, out_channels]`. An empty set gives W_o 0, the learned bias. Cost: O(N).
    """

    def __init__(self, in_channels: int, out_channels: int, signed: bool = True, shuffle: bool = False):
        super().__init__(shuffle)
        self.in_channels, self.out_channels, self.signed = in_channels, out_channels, signed
        self.maps = nn.Linear(in_channels, 2 * out_channels)
        self.out = nn.Linear(out_channels, out_channels)

    def reset_parameters(self):
        self.maps.reset_parameters()
        self.out.reset_parameters()

    def aggregate(self, x: Tensor, sets: Sets) -> Tensor:
        gate, value = self.maps(x).chunk(2, -1)
        keep = gate.tanh() if self.signed else gate.sigmoid()
        groups = sets.groups()
        ptr, keep = groups.segments.ptr, groups.sorted(keep)
        rows = (1 - keep.abs()) * groups.sorted(value).tanh()
        states = torch.ops.structnet.segment_scan(keep, rows, ptr, None, False)  # ptr is known to fit: no second check
        states = torch.cat([states, states.new_zeros(1, self.out_channels)])  # the state of an empty set
        return self.out(states[torch.where(ptr.diff() > 0, ptr[1:] - 1, x.shape[0])])

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, signed={self.signed}, "
            f"shuffle={self.shuffle})"
        )
