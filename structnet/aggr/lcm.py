"""Learnable commutative monoids."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structnet.aggr.base import SetAggregation, Sets
from structnet.aggr.fold import fold
from structnet.aggr.losses import open_losses
from structnet.aggr.plan import FoldPlan, fold_plan
from structnet.cells.monoids import symmetric_gru
from structnet.errors import StructureError


class LCMAggregation(SetAggregation):
    """Binary-GRU of Ong and Velickovic, "Learnable Commutative Monoids for Graph Neural Networks", 2022: a learned
    commutative operator, folded over a balanced binary tree on every set.

        op(a, b) = (GRU(a, b) + GRU(b, a)) / 2

    Args:
        in_channels, out_channels: width of a row and of a value.
        project: ReLU(Linear(x)) first, as in PyG; needed if the widths differ.
        random_trees: in training, a new random tree on every set at every call, so that nothing can be learned about
            the shape of the tree (and no cliff at the powers of two).
        shuffle: in training, a new order of the rows of every set (the paper does this).

    Inside `collect_losses()` two losses are reported, each a mean of squared norms (section 2.3):
    `associativity`, ||x(yz) - (xy)z||^2 over the fold's own neighbouring values x, y, z; and `identity`, ||ex - x||^2
    over all values x.

    Shapes: x `[N, in_channels]` -> `[sets, out_channels]`. An empty set gives the learned identity e. Cost: N - (sets)
    operations of 24 D^2 flops, in ceil(log2(largest set)) calls; two rows of values per row of input are kept.

    Differs from the paper in the identity loss (there the identity is never used) and in the random trees. Weights
    have the names of `torch_geometric.nn.LCMAggregation`, so that its `state_dict` loads with `strict=False`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        project: bool = True,
        random_trees: bool = False,
        shuffle: bool = False,
    ):
        super().__init__(shuffle)
        if in_channels != out_channels and not project:
            raise StructureError(
                "in_channels == out_channels without project", f"{in_channels}, {out_channels}", "project=True"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.project, self.random_trees = project, random_trees
        self.lin = nn.Linear(in_channels, out_channels) if project else None
        self.gru_cell = nn.GRUCell(out_channels, out_channels)
        self.identity = nn.Parameter(torch.zeros(out_channels))

    def reset_parameters(self):
        if self.lin is not None:
            self.lin.reset_parameters()
        self.gru_cell.reset_parameters()
        nn.init.zeros_(self.identity)

    def operator(self, left: Tensor, right: Tensor) -> Tensor:
        return symmetric_gru(left, right, *self._weights())

    def aggregate(self, x: Tensor, sets: Sets) -> Tensor:
        if self.lin is not None:
            x = self.lin(x).relu()
        draw = self.random_trees and self.training
        seed = int(torch.randint(2**62, ())) if draw else -1
        out, values = fold(x, self.identity, self._weights(), "symmetric_gru", sets.index, sets.ptr, sets.size, seed)
        losses = open_losses()
        if losses is not None:
            plan = fold_plan(sets.groups().segments, seed)
            values = values[: plan.num_rows + plan.left.numel()]
            losses.add("associativity", self.associativity(values, plan))
            losses.add("identity", _mean_square(self.operator(self.identity.expand_as(values), values) - values))
        return out

    def associativity(self, values: Tensor, plan: FoldPlan) -> Tensor:
        """Mean ||x(yz) - (xy)z||^2 over all triples of neighbouring values in the fold; 0 if there is none."""
        x, y, z = (values[rows] for rows in triples(plan))
        inner, outer = self.operator(x, self.operator(y, z)), self.operator(self.operator(x, y), z)
        return _mean_square(inner - outer)

    def _weights(self) -> list[Tensor]:
        cell = self.gru_cell
        return [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, project={self.project}, "
            f"random_trees={self.random_trees}, shuffle={self.shuffle})"
        )


def triples(plan: FoldPlan) -> tuple[Tensor, Tensor, Tensor]:
    """Buffer rows of neighbours (x, y, z): for an operation on (xy, right), z is right or its left child; for one on
    (left, yz), x is left or its right child."""
    first = plan.num_rows
    inner_left, inner_right = plan.left >= first, plan.right >= first
    left, right = plan.left[inner_left] - first, plan.right[inner_right] - first
    nearest = plan.right.clone()
    nearest[inner_right] = plan.left[right]
    farthest = plan.left.clone()
    farthest[inner_left] = plan.right[left]
    x = torch.cat([plan.left[left], farthest[inner_right]])
    y = torch.cat([plan.right[left], plan.left[right]])
    z = torch.cat([nearest[inner_left], plan.right[right]])
    return x, y, z


def _mean_square(difference: Tensor) -> Tensor:
    return difference.square().sum() / max(difference.shape[0], 1)
