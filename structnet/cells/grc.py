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
        drop_input: drop what the first layer reads as well (as in Ordered Memory; the gated sum reads all of it).

    Shapes: left, right `[nodes, D]` -> `[nodes, D]`. Cost: 2 (2 D hidden + 4 D hidden) flops a row, 48 D^2 by default.
    Differs from the paper in nothing; exact (erf) GELU as in the authors' code.
    """

    arity = 2

    def __init__(self, width: int, hidden: int | None = None, dropout: float = 0.0, drop_input: bool = False):
        super().__init__()
        self.width, self.dropout, self.drop_input = width, dropout, drop_input
        self.inner = nn.Linear(2 * width, hidden or 4 * width)
        self.outer = nn.Linear(hidden or 4 * width, 4 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        both = torch.cat([left, right], -1)
        if self.drop_input:
            both = F.dropout(both, self.dropout, self.training)
        u = F.dropout(F.gelu(self.inner(both)), self.dropout, self.training)
        return self.norm(_mixed(left, right, self.outer(u)))

    def extra_repr(self) -> str:
        return f"width={self.width}, dropout={self.dropout}"


def _mixed(left: Tensor, right: Tensor, outer: Tensor) -> Tensor:
    gates, candidate = outer.split([3 * left.shape[-1], left.shape[-1]], -1)
    keep_left, keep_right, write = gates.sigmoid().chunk(3, -1)
    return keep_left * left + keep_right * right + write * candidate


class KeptRows:
    """A `GatedRecursiveCell` that keeps, call after call, what its gradient needs; `recall` gives rows back without
    computing them again.

    For a search without gradients of which some rows matter afterwards: those rows cost a backward pass, not a second
    forward pass. No dropout. Memory: 8 D numbers a row and its state.
    """

    def __init__(self, cell: GatedRecursiveCell):
        self.cell = cell
        self.hidden: list[Tensor] = []
        self.outer: list[Tensor] = []

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        self.hidden.append(self.cell.inner(torch.cat([left, right], -1)))
        self.outer.append(self.cell.outer(F.gelu(self.hidden[-1])))
        return self.cell.norm(_mixed(left, right, self.outer[-1]))

    def recall(self, parents: Tensor):
        """`cell(left, right, x=row)`: the row that was composed from these children, counted over all calls, with its
        gradients. `parents` are the states of all rows, as the calls returned them."""
        kept = (parents, _joined(self.hidden), _joined(self.outer))
        weights = tuple(self.cell.parameters())

        def cell(left: Tensor, right: Tensor, x: Tensor) -> Tensor:
            return _Recall.apply(left, right, x, *kept, *weights)  # type: ignore[return-value]

        return cell


def _joined(parts: list[Tensor]) -> Tensor:
    whole = torch.cat(parts) if parts else torch.empty(0)
    parts.clear()
    return whole


class _Recall(torch.autograd.Function):
    """The backward pass of `GatedRecursiveCell`, written out."""

    @staticmethod
    def forward(ctx, left, right, row, parents, hidden, outer, *weights):
        ctx.save_for_backward(left, right, row, hidden, outer, *weights)
        return parents.index_select(0, row)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        left, right, row, hidden, outer, inner_w, _, outer_w, _, norm_w, norm_b = ctx.saved_tensors
        hidden, outer = hidden.index_select(0, row), outer.index_select(0, row)
        size = [left.shape[-1]]
        gates, candidate = outer.split([3 * size[0], size[0]], -1)
        keep_left, keep_right, write = gates.sigmoid().chunk(3, -1)
        mixed = keep_left * left + keep_right * right + write * candidate
        _, mean, rstd = torch.native_layer_norm(mixed, size, norm_w, norm_b, 1e-5)
        d_mixed, d_norm_w, d_norm_b = torch.ops.aten.native_layer_norm_backward(
            grad.contiguous(), mixed, size, mean, rstd, norm_w, norm_b, [True] * 3
        )
        d_gates = torch.cat([d_mixed * left, d_mixed * right, d_mixed * candidate], -1)
        gates = torch.cat([keep_left, keep_right, write], -1)
        d_outer = torch.cat([torch.ops.aten.sigmoid_backward(d_gates, gates), d_mixed * write], -1)
        d_hidden = torch.ops.aten.gelu_backward(d_outer @ outer_w, hidden)
        d_left, d_right = (d_hidden @ inner_w).chunk(2, -1)
        return (
            d_left + d_mixed * keep_left,
            d_right + d_mixed * keep_right,
            *[None] * 4,
            d_hidden.T @ torch.cat([left, right], -1),
            d_hidden.sum(0),
            d_outer.T @ F.gelu(hidden),
            d_outer.sum(0),
            d_norm_w,
            d_norm_b,
        )
