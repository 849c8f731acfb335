"""Monoids with finitely many elements, made differentiable: rows are distributions over the elements."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from structnet.aggr.base import SetAggregation, Sets
from structnet.aggr.fold import fold
from structnet.aggr.losses import open_losses


class ModularAggregation(SetAggregation):
    """Sums modulo m of learned residues: parity, XOR (one head per bit, m = 2), counting and sums modulo m.

    Each head of a row is a distribution p over the residues 0 .. m - 1 (softmax of m logits). Independent residues add
    up by cyclic convolution, which the discrete Fourier transform turns into a product of complex numbers:

        out = DFT^-1( prod_i DFT(p_i) )

    Exactly associative and commutative; the identity, and the value of an empty set, is certainty of residue 0.

    Args:
        heads: sums per row.
        modulus: m.
        sharpness: factor on the logits. Products of undecided distributions vanish, so a learner that starts decided
            (6) finds what one that starts even (1) does not.
        hard: in evaluation, take the likeliest residue of each row and add integers: no error builds up, so what is
            right on 16 elements is right on a million.

    Shapes: logits `[N, heads m]` -> probabilities `[sets, heads m]`. Cost: linear in N. Where a factor of the product
    is exactly 0, which takes exactly even odds, the gradient through it is 0.
    """

    def __init__(self, heads: int, modulus: int = 2, sharpness: float = 1.0, hard: bool = True):
        super().__init__()
        self.heads, self.modulus, self.sharpness, self.hard = heads, modulus, sharpness, hard

    def aggregate(self, x: Tensor, sets: Sets) -> Tensor:
        rows, logits = sets.rows(x.shape[0]), x.unflatten(-1, (self.heads, self.modulus))
        if self.hard and not self.training:
            residue = logits.argmax(-1)
            total = residue.new_zeros(sets.size, self.heads).index_add(0, rows, residue) % self.modulus
            spoilt = x.new_zeros(total.shape).index_add(0, rows, 0 * logits.softmax(-1).sum(-1))  # NaN has no residue
            return (F.one_hot(total, self.modulus) + spoilt.unsqueeze(-1)).flatten(1)
        return self._soft((self.sharpness * logits).softmax(-1), rows, sets.size).flatten(1)

    def _soft(self, p: Tensor, rows: Tensor, size: int) -> Tensor:
        residues = torch.arange(self.modulus, device=p.device)
        angle = -2 * pi / self.modulus * torch.outer(residues, residues).to(p.dtype)
        cos, sin = angle.cos(), angle.sin()
        real, imag = p @ cos, p @ sin
        tiny = torch.finfo(p.dtype).tiny
        log_size = 0.5 * (real.square() + imag.square() + tiny).log()
        phase = torch.atan2(imag, torch.where((real == 0) & (imag == 0), 1.0, real))
        length, turn = (t.new_zeros(size, *t.shape[1:]).index_add(0, rows, t) for t in (log_size, phase))
        return ((length.exp() * turn.cos()) @ cos + (length.exp() * turn.sin()) @ sin) / self.modulus

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.heads}, modulus={self.modulus}, sharpness={self.sharpness}, hard={self.hard})"
        )


class FiniteMonoidAggregation(SetAggregation):
    """A monoid of K elements whose table is learned: op(p, q)_k = sum_ij p_i q_j T_ijk.

    Each head of a row is a distribution over the elements (softmax of K logits), each row T_ij of the table one too.
    T_ij = T_ji, so it commutes; element 0 is the identity by construction (T_0j = j). Associativity is learned:
    inside `collect_losses()` the table's `associativity` is reported, mean over i, j, k of ||(ij)k - i(jk)||^2.

    Args:
        heads: monoids side by side.
        states: K.
        hard: in evaluation, the likeliest element of each row and of each entry of the table, so that nothing blurs.

    Shapes: logits `[N, heads K]` -> probabilities `[sets, heads K]`. An empty set gives element 0. Cost: N - (sets)
    operations of 2 K^3 flops a head, in ceil(log2(largest set)) calls.
    """

    def __init__(self, heads: int, states: int, hard: bool = False):
        super().__init__()
        self.heads, self.states, self.hard = heads, states, hard
        self.logits = nn.Parameter(torch.empty(heads, states, states, states))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.normal_(self.logits)

    def table(self) -> Tensor:
        """`[heads, K, K, K]`: probability that i times j is k."""
        table = self._certain((self.logits + self.logits.transpose(1, 2)).softmax(-1))
        unit = torch.eye(self.states, dtype=table.dtype, device=table.device).expand(self.heads, -1, -1)
        inner = torch.cat([unit[:, 1:, None], table[:, 1:, 1:]], 2)
        return torch.cat([unit[:, None], inner], 1)

    def associativity(self) -> Tensor:
        table = self.table()
        left = torch.einsum("hijl,hlkm->hijkm", table, table)
        right = torch.einsum("hjkl,hilm->hijkm", table, table)
        return (left - right).square().sum(-1).mean()

    def aggregate(self, x: Tensor, sets: Sets) -> Tensor:
        p = self._certain(x.unflatten(-1, (self.heads, self.states)).softmax(-1)).flatten(1)
        identity = F.one_hot(torch.zeros(self.heads, dtype=torch.long, device=x.device), self.states).to(x.dtype)
        losses = open_losses()
        if losses is not None:
            losses.add("associativity", self.associativity())
        return fold(p, identity.flatten(), [self.table()], "finite", sets.index, sets.ptr, sets.size)[0]

    def _certain(self, p: Tensor) -> Tensor:
        return F.one_hot(p.argmax(-1), self.states) + 0 * p if self.hard and not self.training else p  # NaN stays

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.heads}, {self.states}, hard={self.hard})"
