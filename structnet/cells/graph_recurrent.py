"""Recurrent cells whose gates are graph convolutions (GCRN, Seo et al. 2018, section 5.2), fused.

A cell works in two halves: `project(x, operators)` is the input side of every gate, for as many time steps as x holds;
`step(projected, state, operators)` adds the hidden side and moves the state. Rows are nodes: x `[N, ..., F]`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from structnet.cells.graph_filters import GraphFilter, Operators
from structnet.errors import StructureError
from structnet.kernels.lstm_gates import lstm_gates, torch_form

PEEPHOLES = ("none", "channel", "node")


class GraphGates(nn.Module):
    """The weights of all gates as two matrices, `[terms * F, gates * H]` and `[terms * H, gates * H]`, and one bias.

    Args:
        in_channels: F; 0 for a cell without input, whose input side is the bias alone.
        hidden: H.
        filter: the graph filter of both sides.
        gates: number of gates.
    """

    def __init__(self, in_channels: int, hidden: int, filter: GraphFilter, gates: int):
        super().__init__()
        self.in_channels, self.hidden, self.filter = in_channels, hidden, filter
        wide = gates * hidden
        self.weight_x = nn.Parameter(torch.empty(filter.terms * in_channels, wide)) if in_channels else None
        self.weight_h = nn.Parameter(torch.empty(filter.terms * hidden, wide))
        self.bias = nn.Parameter(torch.empty(wide))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for parameter in self.parameters():  # as torch.nn.LSTM
            nn.init.uniform_(parameter, -(self.hidden**-0.5), self.hidden**-0.5)

    def project(self, x: Tensor, operators: Operators) -> Tensor:
        """Input side `[N, ..., gates * H]`: one sparse product per term and one matrix product for all steps in x."""
        if self.weight_x is None or x.shape[-1] != self.in_channels:
            raise StructureError(f"{self.in_channels} channels", f"{x.shape[-1]}", "in_channels=x.shape[-1]")
        return affine(self.bias, self.filter.basis(x, operators), self.weight_x)

    def zeros(self, projected: Tensor) -> Tensor:
        return projected.new_zeros(*projected.shape[:-1], self.hidden)


class GraphLSTMCell(GraphGates):
    """GCRN model 2 (section 5.2), `*` a graph convolution, `.` elementwise:

        i = s(Wxi * x + Whi * h + wci . c + bi)        f = s(Wxf * x + Whf * h + wcf . c + bf)
        c' = f . c + i . tanh(Wxc * x + Whc * h + bc)
        o = s(Wxo * x + Who * h + wco . c' + bo)        h' = o . tanh(c')

    Args:
        peephole: w_c absent ("none", as the authors' code), one per channel ("channel", shared by the nodes: the
            published parameter counts), or one per node and channel ("node", needs `num_nodes`).

    State: (h, c), `[N, ..., H]` each; None for zeros. With a filter of order 1 and no peephole this is `torch.nn.LSTM`
    on every node by itself. Gates lie in the order i, f, c, o.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        filter: GraphFilter,
        peephole: str = "channel",
        num_nodes: int | None = None,
    ):
        if peephole not in PEEPHOLES:
            raise StructureError(f"a peephole out of {', '.join(PEEPHOLES)}", repr(peephole), 'peephole="channel"')
        if peephole == "node" and num_nodes is None:
            raise StructureError("num_nodes for peepholes per node", "None", 'peephole="channel"')
        super().__init__(in_channels, hidden, filter, gates=4)
        shape = {"none": None, "channel": (3, hidden), "node": (3, num_nodes or 0, hidden)}[peephole]
        self.peephole = nn.Parameter(torch.zeros(shape)) if shape else None

    def step(self, projected: Tensor, state: Any, operators: Operators) -> tuple[Tensor, Tensor]:
        if state is None:
            gates, c = projected, self.zeros(projected)
        else:
            gates, c = affine(projected, self.filter.basis(state[0], operators), self.weight_h), state[1]
        if self.peephole is None or self.peephole.dim() == 2:
            return lstm_gates(gates, c, self.peephole)
        return torch_form.lstm_gates(gates, c, self._node_peepholes(c))

    def _node_peepholes(self, c: Tensor) -> Tensor:
        """`[3, N, ..., H]`: copies for a batch of graphs with the same nodes."""
        assert self.peephole is not None
        nodes = self.peephole.shape[1]
        if c.shape[0] % nodes:
            raise StructureError(f"graphs of {nodes} nodes (peephole='node')", f"{c.shape[0]}", 'peephole="channel"')
        copies = self.peephole.repeat(1, c.shape[0] // nodes, 1)
        return copies.view(3, c.shape[0], *[1] * (c.dim() - 2), self.hidden)


class GraphGRUCell(GraphGates):
    """The GRU of section 5.2: z keeps the old state, r acts before the hidden convolution (`torch.nn.GRU`: after).

        z = s(Wxz * x + Whz * h + bz)    r = s(Wxr * x + Whr * h + br)
        h~ = tanh(Wxh * x + Whh * (r . h) + bh)    h' = z . h + (1 - z) . h~

    State: h `[N, ..., H]`; None for zeros. Differs from the paper in having biases.
    """

    def __init__(self, in_channels: int, hidden: int, filter: GraphFilter):
        super().__init__(in_channels, hidden, filter, gates=3)

    def step(self, projected: Tensor, state: Any, operators: Operators) -> Tensor:
        size = [2 * self.hidden, self.hidden]
        gates, candidate = projected.split(size, -1)
        if state is None:
            return (1 - gates[..., : self.hidden].sigmoid()) * candidate.tanh()
        weight, candidate_weight = self.weight_h.split(size, -1)
        z, r = affine(gates, self.filter.basis(state, operators), weight).sigmoid().chunk(2, -1)
        new = affine(candidate, self.filter.basis(r * state, operators), candidate_weight).tanh()
        return torch.lerp(new, state, z)


class GraphRNNCell(GraphGates):
    """The plain recurrence of section 5.2: h' = tanh(Wx * x + Wh * h + b). State: h `[N, ..., H]`; None for zeros."""

    def __init__(self, in_channels: int, hidden: int, filter: GraphFilter):
        super().__init__(in_channels, hidden, filter, gates=1)

    def step(self, projected: Tensor, state: Any, operators: Operators) -> Tensor:
        if state is None:
            return projected.tanh()
        return affine(projected, self.filter.basis(state, operators), self.weight_h).tanh()


CELLS = {"lstm": GraphLSTMCell, "gru": GraphGRUCell, "rnn": GraphRNNCell}


def affine(start: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`start + x @ weight` in one call; start `[..., W]` or `[W]`."""
    flat = start if start.dim() == 1 else start.reshape(-1, start.shape[-1])
    return torch.addmm(flat, x.reshape(-1, x.shape[-1]), weight).view(*x.shape[:-1], weight.shape[-1])
