"""The gated recursive cell."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GatedRecursiveCell(nn.Module):
    """Gated recursive cell, GRC (Shen et al., "Ordered Memory", 2019; Ray Chowdhury and Caragea, "Beam Tree Recursive
    Cells", 2023, section 2).

        u                 = Dropout(GELU(W1 [left; right] + b1))
        g_l, g_r, g_c, h  = W2 u + b2
        parent            = LayerNorm(sigmoid(g_l) * left + sigmoid(g_r) * right + sigmoid(g_c) * h)

    Args:
        width: size D of a state.
        hidden: size of u, 4 D if left out.
        dropout: inside the cell only, drawn once per composition.

    Shapes: left, right `[nodes, D]` -> `[nodes, D]`. Cost: 2 (2 D hidden + 4 D hidden) flops a row, 48 D^2 by default.
    Differs from the paper in nothing; exact (erf) GELU as in the authors' code.
    """

    arity = 2

    def __init__(self, width: int, hidden: int | None = None, dropout: float = 0.0):
        super().__init__()
        self.width, self.dropout = width, dropout
        self.inner = nn.Linear(2 * width, hidden or 4 * width)
        self.outer = nn.Linear(hidden or 4 * width, 4 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        u = F.dropout(F.gelu(self.inner(torch.cat([left, right], -1))), self.dropout, self.training)
        gates, candidate = self.outer(u).split([3 * self.width, self.width], -1)
        keep_left, keep_right, write = gates.sigmoid().chunk(3, -1)
        return self.norm(keep_left * left + keep_right * right + write * candidate)

    def extra_repr(self) -> str:
        return f"width={self.width}, dropout={self.dropout}"
