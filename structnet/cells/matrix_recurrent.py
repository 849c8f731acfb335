"""Recurrent cells whose state is a matrix: every column is a state vector (EvolveGCN, Pareja et al. 2020, appendix A).

States are `[B, D, C]`: B matrices of C columns of length D. All gates are one product of `[3 D, D]` or `[4 D, D]`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structnet.errors import StructureError

State = tuple[Tensor, Tensor]


class _MatrixGates(nn.Module):
    """W, U `[gates D, D]` and B, `[gates D, C]` ("matrix") or `[gates D, 1]` ("vector"). Init: as the authors'."""

    def __init__(self, rows: int, columns: int, bias: str, gates: int):
        super().__init__()
        if bias not in ("matrix", "vector"):
            raise StructureError("bias 'matrix' or 'vector'", repr(bias), 'bias="matrix"')
        self.rows = rows
        self.weight = nn.Parameter(torch.empty(gates * rows, rows))
        self.hidden = nn.Parameter(torch.empty(gates * rows, rows))
        self.bias = nn.Parameter(torch.zeros(gates * rows, columns if bias == "matrix" else 1))
        for parameter in (self.weight, self.hidden):
            nn.init.uniform_(parameter, -(rows**-0.5), rows**-0.5)


class MatrixGRU(_MatrixGates):
    """Z = s(W_Z X + U_Z H + B_Z), R = s(W_R X + U_R H + B_R), H~ = tanh(W_H X + U_H (R . H) + B_H),
    H' = (1 - Z) . H + Z . H~.

    Without input X = H (the authors' -O). State: H. Gates lie in the order Z, R, H~.
    """

    def __init__(self, rows: int, columns: int, bias: str = "matrix"):
        super().__init__(rows, columns, bias, gates=3)

    def start(self, h: Tensor) -> Tensor:
        return h

    def output(self, state: Tensor) -> Tensor:
        return state

    def forward(self, x: Tensor | None, h: Tensor) -> Tensor:
        size = [2 * self.rows, self.rows]
        u_gates, u_candidate = self.hidden.split(size)
        if x is None:  # W_Z X + U_Z H = (W_Z + U_Z) H, and so for R
            weight = torch.cat([self.weight[: size[0]] + u_gates, self.weight[size[0] :]])
            gates, candidate = (weight @ h + self.bias).split(size, -2)
        else:
            gates, candidate = (self.weight @ x + self.bias).split(size, -2)
            gates = gates + u_gates @ h
        z, r = gates.sigmoid().chunk(2, -2)
        return torch.lerp(h, (candidate + u_candidate @ (r * h)).tanh(), z)


class MatrixLSTM(_MatrixGates):
    """F, I, O = s(W X + U H + B), C~ = tanh(W_C X + U_C H + B_C), C' = F . C + I . C~, H' = O . tanh(C').

    Without input X = H (section 3.2: the output of a step is the input of the next). State: (H, C); C starts at zero,
    which the paper leaves open. Gates lie in the order F, I, O, C~.
    """

    def __init__(self, rows: int, columns: int, bias: str = "matrix"):
        super().__init__(rows, columns, bias, gates=4)

    def start(self, h: Tensor) -> State:
        return h, torch.zeros_like(h)

    def output(self, state: State) -> Tensor:
        return state[0]

    def forward(self, x: Tensor | None, state: State) -> State:
        h, c = state
        gates = (self.weight + self.hidden) @ h if x is None else self.weight @ x + self.hidden @ h
        f, i, o, candidate = (gates + self.bias).chunk(4, -2)
        c = f.sigmoid() * c + i.sigmoid() * candidate.tanh()
        return o.sigmoid() * c.tanh(), c
