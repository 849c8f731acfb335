"""The linearised neural tensor cell: bilinear composition."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NeuralTensorCell(nn.Module):
    """Linearised neural tensor network (Socher et al. 2013; Lewis, "Compositionality for Recursive Neural Networks",
    2019): the composition is bilinear, so that it is a map of the tensor product of its arguments.

        parent = left^T T right  (+ M [left; right] + b when `affine`), then `activation` if one is given

    Args:
        width: size D of a state.
        rank: None for the full tensor T `[D, D, D]`; r for T = sum_r a_r x b_r x c_r, r (3 D) parameters.
        affine: add the linear part of the neural tensor network.
        activation: None keeps the composition multilinear (the linearised form); `torch.tanh` gives back the original.

    Shapes: left, right `[nodes, D]` -> `[nodes, D]`. Cost: 2 D^3 flops a row (6 r D with a rank). Without `affine`, an
    argument of zero gives zero, as a multilinear map must.
    """

    arity = 2

    def __init__(self, width: int, rank: int | None = None, affine: bool = False, activation=None):
        super().__init__()
        self.width, self.rank, self.activation = width, rank, activation
        shape = (width, width, width) if rank is None else (3, rank, width)
        self.tensor = nn.Parameter(torch.empty(shape))
        self.affine = nn.Linear(2 * width, width) if affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # D^2 terms of variance std^2, or r (D std^2)^2 std^2: either way a parent of unit variance
        std = self.width**-1.0 if self.rank is None else (self.rank * self.width**2) ** (-1 / 6)
        nn.init.normal_(self.tensor, std=std)
        if self.affine is not None:
            self.affine.reset_parameters()

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        if self.rank is None:
            mixed = (right @ self.tensor.flatten(0, 1).t()).unflatten(-1, (self.width, self.width))  # [n, out, left]
            parent = (mixed @ left.unsqueeze(-1)).squeeze(-1)
        else:
            a, b, c = self.tensor
            parent = ((left @ a.t()) * (right @ b.t())) @ c
        if self.affine is not None:
            parent = parent + self.affine(torch.cat([left, right], -1))
        return parent if self.activation is None else self.activation(parent)

    def extra_repr(self) -> str:
        return f"width={self.width}, rank={self.rank}"
