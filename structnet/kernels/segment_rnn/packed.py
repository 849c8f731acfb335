"""The loop over time steps that all forms share. Rows are packed by step, the longest sequences first, so those still
running are a prefix: nothing is padded, and nothing is moved between steps.

Rows of `gates` hold r z q n (GRU; q is the hidden side of the candidate) or i f g o (LSTM), D channels each; the first
3 D (4 D) of them see the state before. h and c start with the initial states, so step t is block t + 1 of h.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from structnet.kernels.ragged import compiled_for, triton_for
from structnet.kernels.segment_rnn import cpu, torch_form


def form_for(x: Tensor) -> ModuleType:
    """Who does the gates of a step: on the CPU eight calls into torch cost more than the arithmetic of most steps."""
    if compiled_for(x) is not None:
        return cpu
    if triton_for(x):
        from structnet.kernels.segment_rnn import triton_form

        return triton_form
    return torch_form


def forward(
    x: Tensor, rows: Tensor, sizes: Tensor, h0: Tensor, c0: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """h and c `[first + N, D]` (c empty for a GRU) and the activations `[N, 4 D]`, all in the order of steps."""
    form, lstm = form_for(x), len(w_hh) == 4 * w_hh.shape[1]
    gates = form.empty(x, len(x), 4 * w_hh.shape[1])
    input_side(x.index_select(0, rows), w_ih, bias, gates)
    h = after(h0, len(x))
    c = after(c0, len(x)) if lstm else c0
    counts, rest = wide_steps(form, sizes)
    hidden, w = gates[:, : len(w_hh)], w_hh.t().contiguous()
    hs, cs = h.split([len(h0), *counts, rest]), c.split([len(h0), *counts, rest] if lstm else [0])
    for t, (n, gate, side) in enumerate(zip(counts, gates.split([*counts, rest]), hidden.split([*counts, rest]))):
        side.addmm_(hs[t][:n], w)
        form.step(gate, hs[t][:n], cs[t][:n] if lstm else None, hs[t + 1], cs[t + 1] if lstm else None)
    if rest:
        before = len(hs[-2])
        at = len(h) - rest - before
        cpu.tail(sizes[len(counts) :], before, w, gates[len(x) - rest :], h[at:], c[at:] if lstm else None)
    return h, c, gates


def backward(
    dh: Tensor, dc: Tensor, sizes: Tensor, h: Tensor, c: Tensor, gates: Tensor, w_hh: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients, in the order of steps, of the gates `[N, 4 D]` and of the initial states, from those of h and c."""
    form, lstm = form_for(dh), len(w_hh) == 4 * w_hh.shape[1]
    first = len(h) - len(dh)
    out = form.empty(gates, *gates.shape)
    carry_h, carry_c = dh.new_zeros(first, dh.shape[1]), dh.new_zeros(first if lstm else 0, dh.shape[1])
    counts, rest = wide_steps(form, sizes)
    start = len(dh) - rest
    if rest:
        before = counts[-1] if counts else first
        at = start + first - before
        cpu.tail_back(
            sizes[len(counts) :], before, w_hh.contiguous(), dh[start:], dc[start:] if lstm else None, gates[start:],
            h[at:], c[at:] if lstm else None, carry_h, carry_c if lstm else None, out[start:],
        )  # fmt: skip
    hs, cs = h.split([first, *counts, rest]), c.split([first, *counts, rest] if lstm else [0])
    steps = [t.split([*counts, rest]) for t in (dh, gates, out, out[:, : len(w_hh)])]
    dcs = dc.split([*counts, rest] if lstm else [0])
    for t in reversed(range(len(counts))):
        n, (grad, gate, made, side) = counts[t], (pieces[t] for pieces in steps)
        carried = carry_h[:n]
        cells = (cs[t][:n], cs[t + 1], carry_c[:n]) if lstm else (None, None, None)
        form.step_back(grad, dcs[t] if lstm else None, gate, hs[t][:n], *cells[:2], carried, cells[2], made)
        carried.addmm_(side, w_hh)
    return out, carry_h, carry_c


def weight_gradients(
    x: Tensor, rows: Tensor, sizes: Tensor, h: Tensor, dgates: Tensor, w_ih: Tensor, w_hh: Tensor, need_x: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """dx (in the order of steps; nothing if not needed), dw_ih, dw_hh, dbias: one product over all steps each."""
    first, width, lstm = len(h) - len(x), h.shape[1], len(w_hh) == 4 * h.shape[1]
    steps = sizes.to(rows.device)
    before = steps.roll(1).index_fill(0, torch.zeros_like(steps[:1]), first)
    back = before.repeat_interleave(steps, output_size=len(x))  # from a state to the one before, in rows
    h_before = h.index_select(0, torch.arange(first, len(h), device=rows.device) - back)
    dw_hh = dgates[:, : len(w_hh)].t() @ h_before
    x = x.index_select(0, rows)
    dbias = dgates.sum(0)
    if lstm:
        return dgates @ w_ih if need_x else x[:0], dgates.t() @ x, dw_hh, dbias
    sides, parts = (dgates[:, : 2 * width], dgates[:, 3 * width :]), w_ih.split([2 * width, width])
    dx = (sides[0] @ parts[0]).addmm_(sides[1], parts[1]) if need_x else x[:0]
    return dx, torch.cat([side.t() @ x for side in sides]), dw_hh, dbias


def input_side(x: Tensor, w_ih: Tensor, bias: Tensor, gates: Tensor) -> None:
    """The input side of all rows at once (the q of a GRU has no input: it starts as its bias)."""
    width = gates.shape[1] // 4
    if len(w_ih) == 4 * width:
        torch.addmm(bias, x, w_ih.t(), out=gates)
        return
    gates[:, 2 * width : 3 * width] = bias[2 * width : 3 * width]
    torch.addmm(bias[: 2 * width], x, w_ih[: 2 * width].t(), out=gates[:, : 2 * width])
    torch.addmm(bias[3 * width :], x, w_ih[2 * width :].t(), out=gates[:, 3 * width :])


def after(initial: Tensor, rows: int) -> Tensor:
    """A buffer that starts with the initial states and has room for `rows` more."""
    states = initial.new_empty(len(initial) + rows, initial.shape[1])
    states[: len(initial)] = initial
    return states


def wide_steps(form: ModuleType, sizes: Tensor) -> tuple[list[int], int]:
    """Sizes of the steps that are one product each, and how many rows the narrow ones after them hold together."""
    narrow = int((sizes <= cpu.NARROW).sum()) if form is cpu else 0
    return sizes[: len(sizes) - narrow].tolist(), int(sizes[len(sizes) - narrow :].sum())
