"""Binary operators of learned monoids, with their derivatives written out; `OPERATORS` names them.

An operator is a function of two rows and weights. Associativity is exact, exact in the limit, or only trained for: each
says which. The derivatives are needed by `structnet::fold`, which runs where autograd does not look.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


def symmetric_gru(left: Tensor, right: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
    """Binary-GRU of Ong and Velickovic, "Learnable Commutative Monoids for Graph Neural Networks", 2022, section 2.2.

        op(a, b) = (g(a, b) + g(b, a)) / 2,   g(x, h) a GRU cell with input x and state h

    Commutative bit for bit (a sum of two numbers does not depend on their order); not associative. The two orders share
    their matrix products: W_ih and W_hh are applied to each row once.
    """
    weight, bias = torch.cat([w_ih, w_hh]), torch.cat([b_ih, b_hh])
    of_left, of_right = F.linear(left, weight, bias).chunk(2, -1), F.linear(right, weight, bias).chunk(2, -1)
    forth, back = _gates(of_left[0], of_right[1]), _gates(of_right[0], of_left[1])
    return (_mix(forth, right) + _mix(back, left)) / 2


def symmetric_gru_vjp(grad, left, right, w_ih, w_hh, b_ih, b_hh) -> tuple[Tensor, ...]:
    """Gradients of `symmetric_gru` for its six inputs; gates are computed again, not kept."""
    width, weight, bias = left.shape[-1], torch.cat([w_ih, w_hh]), torch.cat([b_ih, b_hh])
    of_left, of_right = F.linear(left, weight, bias).chunk(2, -1), F.linear(right, weight, bias).chunk(2, -1)
    d_left, d_right = left.new_empty(len(left), 6 * width), right.new_empty(len(right), 6 * width)
    half = grad / 2
    at_right = _gates_vjp(half, of_left[0], of_right[1], right, d_left[:, : 3 * width], d_right[:, 3 * width :])
    at_left = _gates_vjp(half, of_right[0], of_left[1], left, d_right[:, : 3 * width], d_left[:, 3 * width :])
    d_weight = torch.addmm(d_left.T @ left, d_right.T, right)
    d_bias = d_left.sum(0) + d_right.sum(0)
    return (torch.addmm(at_left, d_left, weight), torch.addmm(at_right, d_right, weight),
            *d_weight.chunk(2), *d_bias.chunk(2))  # fmt: skip


def _gates(of_input: Tensor, of_state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Reset and update gate and the new content, from the projections `[nodes, 3 D]` of input and state."""
    width = of_input.shape[-1] // 3
    opened = torch.sigmoid(of_input[..., : 2 * width] + of_state[..., : 2 * width])
    reset, update = opened.chunk(2, -1)
    return reset, update, torch.addcmul(of_input[..., 2 * width :], reset, of_state[..., 2 * width :]).tanh()


def _mix(gates: tuple[Tensor, Tensor, Tensor], state: Tensor) -> Tensor:
    _, update, new = gates
    return torch.lerp(new, state, update)


def _gates_vjp(grad: Tensor, of_input: Tensor, of_state: Tensor, state: Tensor, d_input: Tensor, d_state: Tensor):
    """Gradient for `state` past the projections; those for the projections go into `d_input`, `d_state`."""
    width = grad.shape[-1]
    reset, update, new = _gates(of_input, of_state)
    d_new = grad * (1 - update) * (1 - new.square())
    d_input[..., :width] = d_state[..., :width] = d_new * of_state[..., 2 * width :] * reset * (1 - reset)
    d_input[..., width : 2 * width] = d_state[..., width : 2 * width] = grad * (state - new) * update * (1 - update)
    d_input[..., 2 * width :] = d_new
    torch.mul(d_new, reset, out=d_state[..., 2 * width :])
    return grad * update


def finite(left: Tensor, right: Tensor, table: Tensor) -> Tensor:
    """Product of distributions over the K elements of a finite magma, rows `[..., H K]`, table `[H, K, K, K]`.

        op(p, q)_k = sum_ij p_i q_j T_ijk

    Commutative where T_ij = T_ji; associative where the table is (a learned one is, once it is certain and right).
    """
    left, right = (t.unflatten(-1, table.shape[:2]) for t in (left, right))
    return torch.einsum("nhi,nhj,hijk->nhk", left, right, table).flatten(-2)


def finite_vjp(grad: Tensor, left: Tensor, right: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    grad, left, right = (t.unflatten(-1, table.shape[:2]) for t in (grad, left, right))
    d_left = torch.einsum("nhk,nhj,hijk->nhi", grad, right, table)
    d_right = torch.einsum("nhk,nhi,hijk->nhj", grad, left, table)
    return d_left.flatten(-2), d_right.flatten(-2), torch.einsum("nhk,nhi,nhj->hijk", grad, left, right)


@dataclass(frozen=True)
class Operator:
    """`forward(left, right, *weights)` and `vjp(grad, left, right, *weights)`, gradients in the order of its inputs."""

    forward: Callable[..., Tensor]
    vjp: Callable[..., tuple[Tensor, ...]]


OPERATORS = {
    "symmetric_gru": Operator(symmetric_gru, symmetric_gru_vjp),
    "finite": Operator(finite, finite_vjp),
}
