"""Products of learned rotations: sums modulo anything, without knowing of it beforehand."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from structnet.aggr.base import SetAggregation, Sets
from structnet.errors import StructureError


class PhaseAggregation(SetAggregation):
    """Each head of a row is a rotation, given in turns; rotations of a set are multiplied, that is, turns are added:

        out = (cos, sin)(2 pi sum_i scale x_i)

    A row that says j / m of a turn counts j modulo m. Where `ModularAggregation` holds a distribution over the m
    residues, which a learner must choose among, here the angle itself moves, with a gradient all the way.
    Exactly associative and commutative; the identity, and the value of an empty set, is the angle 0: (1, 0).

    Args:
        heads: rotations per row, F.
        modulus: m. In evaluation turns are rounded to whole m-th parts, and no error builds up: what is right on 16
            elements is right on a million. None: leave them as they are.
        scale: factor on the rows.

    Shapes: x `[N, F]` -> `[sets, 2 F]`, all cosines, then all sines. Cost: linear in N.
    """

    def __init__(self, heads: int, modulus: int | None = None, scale: float = 1.0):
        super().__init__()
        if modulus is not None and modulus < 1:
            raise StructureError("modulus >= 1, or None", str(modulus), "modulus=7")
        self.heads, self.modulus, self.scale = heads, modulus, scale

    def aggregate(self, x: Tensor, sets: Sets) -> Tensor:
        turns, rows = self.scale * x, sets.rows(x.shape[0])
        if self.modulus is not None and not self.training:
            parts = (turns * self.modulus).round().long()
            total = parts.new_zeros(sets.size, self.heads).index_add(0, rows, parts) % self.modulus
            angle = 2 * pi / self.modulus * total.to(x.dtype)
            angle = angle.index_add(0, rows, 0 * turns)  # NaN is no whole number, and stays
        else:
            angle = 2 * pi * turns.new_zeros(sets.size, self.heads).index_add(0, rows, turns)
        return torch.cat([angle.cos(), angle.sin()], 1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.heads}, modulus={self.modulus}, scale={self.scale})"
