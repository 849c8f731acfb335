"""A step of gates in torch's own operations, and all of it as differentiable ones (for second derivatives)."""

from __future__ import annotations

import torch
from torch import Tensor


def empty(like: Tensor, rows: int, columns: int) -> Tensor:
    return like.new_empty(rows, columns)


def step(gates: Tensor, h_before: Tensor, c_before: Tensor | None, h: Tensor, c: Tensor | None) -> None:
    """`gates` `[n, 4 D]`: what the products left, then the activations; the new state goes to `h` (and `c`)."""
    first, second, third, fourth = gates.chunk(4, 1)
    first.sigmoid_()
    second.sigmoid_()
    if c is None or c_before is None:
        fourth.addcmul_(first, third).tanh_()
        torch.lerp(fourth, h_before, second, out=h)
    else:
        third.tanh_()
        fourth.sigmoid_()
        torch.addcmul(first * third, second, c_before, out=c)
        torch.mul(fourth, c.tanh(), out=h)


def step_back(
    dh: Tensor,
    dc: Tensor | None,
    gates: Tensor,
    h_before: Tensor,
    c_before: Tensor | None,
    c: Tensor | None,
    carry_h: Tensor,
    carry_c: Tensor | None,
    out: Tensor,
) -> None:
    """Gradients of what went into the gates to `out`; the carries, gradients of the state after, become those of the
    state before but for the product with the hidden weights."""
    first, second, third, fourth = gates.chunk(4, 1)
    total = dh + carry_h
    if c is None or c_before is None or dc is None or carry_c is None:
        candidate = total * (1 - second) * (1 - fourth * fourth)
        parts = (candidate * third * first * (1 - first), total * (h_before - fourth) * second * (1 - second),
                 candidate * first, candidate)  # fmt: skip
        torch.mul(total, second, out=carry_h)
    else:
        squashed = c.tanh()
        cell = dc + carry_c + total * fourth * (1 - squashed * squashed)
        parts = (cell * third * first * (1 - first), cell * c_before * second * (1 - second),
                 cell * first * (1 - third * third), total * squashed * fourth * (1 - fourth))  # fmt: skip
        carry_h.zero_()
        torch.mul(cell, second, out=carry_c)
    torch.cat(parts, 1, out=out)


def states(
    x: Tensor,
    rows: Tensor,
    back: Tensor,
    sizes: list[int],
    h0: Tensor,
    c0: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    bias: Tensor,
) -> tuple[Tensor, Tensor]:
    """h and c (none for a GRU) after each row, by differentiable operations: linear in N, a few nodes a step."""
    width, lstm = w_hh.shape[1], len(w_hh) == 4 * w_hh.shape[1]
    x = x.index_select(0, rows)
    h, c, hs, cs = h0, c0, [h0[:0]], [c0[:0]]
    for piece in x.split(sizes) if len(x) else ():
        n = len(piece)
        h = h[:n]
        if lstm:
            i, f, g, o = torch.addmm(bias, piece, w_ih.t()).addmm(h, w_hh.t()).chunk(4, 1)
            c = f.sigmoid() * c[:n] + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        else:
            b_r, b_q, b_n = bias.split([2 * width, width, width])
            a, candidate = torch.addmm(torch.cat([b_r, b_n]), piece, w_ih.t()).split([2 * width, width], 1)
            r, z = a.addmm(h, w_hh[: 2 * width].t()).sigmoid().chunk(2, 1)
            candidate = (candidate + r * torch.addmm(b_q, h, w_hh[2 * width :].t())).tanh()
            h = candidate + z * (h - candidate)
        hs.append(h)
        cs.append(c)
    return torch.cat(hs).index_select(0, back), torch.cat(cs).index_select(0, back) if lstm else c0
