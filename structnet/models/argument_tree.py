"""Operators over argument lists of any length: an n-ary gold tree, values as states, and a cell that learns which kind
of composition each operator needs."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from structnet.errors import StructureError
from structnet.recursion import fold_segments, fold_tree
from structnet.structures import Segments, Tree

SHARP = 4.0  # factor on the table's logits: a table that is decided early finds what an even one does not
CODE, SIGN = (2.0, 8.0), (0.5, 4.0)  # gain of the codes and of their sum, first and last


class FiniteMonoids(nn.Module):
    """A learned commutative table over V values for each symbol, folded over the arguments.

        op_s(p, q)_k = sum_ij p_i q_j softmax_k(4 (L_sij + L_sji))_k

    As `structnet.aggr.FiniteMonoidAggregation` without an identity, one table per symbol instead of per head. Values
    stay values, so what is right for two arguments is right for any number if the operator is a monoid on them.

    Shapes: p `[A, V]`, segments over them, symbol `[S]` -> log-probabilities `[S, V]`.
    """

    def __init__(self, symbols: int, values: int):
        super().__init__()
        self.logits = nn.Parameter(0.1 * torch.randn(symbols, values, values, values))

    def forward(self, p: Tensor, segments: Segments, symbol: Tensor) -> Tensor:
        table = (SHARP * (self.logits + self.logits.transpose(1, 2))).softmax(-1)
        flat = table.permute(1, 2, 0, 3).flatten(2).flatten(0, 1)  # [V V, symbols V]

        def cell(left, right):
            (p, at), (q, _) = left, right
            every = ((p[:, :, None] * q[:, None, :]).flatten(1) @ flat).unflatten(-1, (len(table), -1))
            return every[torch.arange(len(at), device=at.device), at], at

        folded, _ = fold_segments(cell, (p, symbol[segments.index]), segments)
        return (folded + 1e-6).log()


class SignedVotes(nn.Module):
    """Arguments vote, the signs of the sums decide: order-free, and the same for any number of equal shares.

        c_s(v) = tanh(g (U_s[v] W_s + b_s))      code of value v, from `rank` features
        out    = MLP_s(tanh(a sum over arguments of c_s(value)))

    Thresholds of counts (medians, majorities, quantiles) are of this form. Both gains grow over the first `anneal`
    training calls, g from 2 to 8 and a from 0.5 to 4: smooth votes find an order of the values, sharp ones count.

    Shapes: as `FiniteMonoids`.
    """

    def __init__(self, symbols: int, values: int, rank: int, votes: int, hidden: int, anneal: int):
        super().__init__()
        self.anneal = anneal
        self.features = nn.Parameter(torch.randn(symbols, values, rank))
        self.weight = nn.Parameter(torch.randn(symbols, rank, votes) / rank**0.5)
        self.bias = nn.Parameter(torch.randn(symbols, 1, votes))
        self.inner = nn.Linear(votes, hidden)
        self.shift = nn.Embedding(symbols, hidden)
        self.outer = nn.Linear(hidden, values)
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, p: Tensor, segments: Segments, symbol: Tensor) -> Tensor:
        done = (self.calls.to(self.bias.dtype) / self.anneal).clamp(max=1.0)
        code_gain, sign_gain = (first * (last / first) ** done for first, last in (CODE, SIGN))
        code = (code_gain * (self.features @ self.weight + self.bias)).tanh()
        index = segments.index
        votes = torch.einsum("av,avc->ac", p, code[symbol[index]])
        total = votes.new_zeros(len(symbol), votes.shape[1]).index_add(0, index, votes)
        hidden = F.gelu(self.inner((sign_gain * total).tanh()) + self.shift(symbol))
        return self.outer(hidden).log_softmax(-1)

    def count(self) -> None:
        self.calls += 1


class ArgumentCell(nn.Module):
    """Value of an operator over its whole argument list, `[nodes, V]` distributions over V values.

    Each symbol chooses between two compositions, `FiniteMonoids` and `SignedVotes`, by a learned gate; in evaluation
    the likelier one alone, and the likeliest value alone is handed on, so that nothing drifts with length or depth.

        p = sum_e softmax(gate_s)_e p_e(arguments)

    Own design (docs/arity.md); neither of the two knows an operator beforehand.

    Args:
        symbols, values: sizes of the vocabulary and of the carried state.
        rank, votes, hidden, anneal: of `SignedVotes`.

    Shapes: arguments `[A, V]`, segments over them (none empty), symbol `x` `[nodes]` -> `[nodes, V]`. Cost: A - nodes
    rows of 2 V^3 symbols flops in ceil(log2(longest list)) calls.
    """

    arity = None

    def __init__(
        self, symbols: int, values: int, rank: int = 3, votes: int = 48, hidden: int = 128, anneal: int = 2500
    ):
        super().__init__()
        self.parts = nn.ModuleList(
            [FiniteMonoids(symbols, values), SignedVotes(symbols, values, rank, votes, hidden, anneal)]
        )
        self.gate = nn.Parameter(torch.zeros(symbols, len(self.parts)))

    def forward(self, arguments: Tensor, segments: Segments, x: Tensor) -> Tensor:
        gate = self.gate[x].log_softmax(-1)
        if not self.training:
            gate = F.one_hot(gate.argmax(-1), len(self.parts)).to(gate.dtype).log().clamp(min=-1e4)
        parts = torch.stack([part(arguments, segments, x) for part in self.parts], 1)
        p = (gate[..., None] + parts).logsumexp(1).exp()
        return p if self.training else F.one_hot(p.argmax(-1), p.shape[-1]).to(p.dtype)


class ArgumentTreeClassifier(nn.Module):
    """Tokens on an n-ary tree -> `fold_tree` with `ArgumentCell` -> log-probabilities of the classes.

    A state is a distribution over the classes: what is carried up the tree is what is answered. Trained from answers at
    the root alone; arguments as `ArgumentCell`.

    Shapes: tokens `[N]` of all nodes, segments, tree with those N nodes -> `[S, classes]`.

    Raises:
        StructureError: no tree.
    """

    def __init__(
        self,
        num_tokens: int = 15,
        num_classes: int = 10,
        rank: int = 3,
        votes: int = 48,
        hidden: int = 128,
        anneal: int = 2500,
    ):
        super().__init__()
        self.leaves = nn.Parameter(torch.zeros(num_tokens, num_classes))
        self.cell = ArgumentCell(num_tokens, num_classes, rank, votes, hidden, anneal)

    def forward(self, tokens: Tensor, segments: Segments, tree: Tree | None = None) -> Tensor:
        if tree is None:
            raise StructureError("the n-ary gold tree", "tree=None", "ListOps(nary=True)")
        if self.training:
            for part in self.cell.parts:
                if isinstance(part, SignedVotes):
                    part.count()
        leaves = (4 * self.leaves).softmax(-1)[tokens[tree.leaves]]
        roots = fold_tree(self.cell, leaves, tree, inputs=tokens, return_all=False)
        return (cast(Tensor, roots) + 1e-6).log()
