"""One LSTM step behind its products: the registered op and the choice of its form."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.kernels.lstm_gates import cpu, torch_form
from structnet.kernels.ragged import compiled_for, gradients


def lstm_gates(gates: Tensor, c: Tensor, peephole: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The elementwise part of an LSTM step with peepholes, in one pass over memory.

        i = s(a_i + p_i . c)    f = s(a_f + p_f . c)     c' = f . c + i . tanh(a_g)
        o = s(a_o + p_o . c')   h = o . tanh(c')

    Args:
        gates: a, `[..., 4 D]`, in the order i, f, g, o.
        c: `[..., D]`.
        peephole: p, `[3, D]` for i, f, o; None for none.

    Returns h and c', `[..., D]` each. Only gates, c and c' are kept for the backward pass, which computes the
    activations again. All gradients, twice (the second through torch's operations). Cost: 7 numbers of traffic per
    channel forward, 14 backward, where torch's separate operations move about 40 and 90.

    Source: Gers and Schmidhuber, "Recurrent nets that time and count", 2000, as in Seo et al. 2018 (the output gate
    looks at the new c).

    Raises:
        StructureError: shapes that do not fit.
    """
    width = c.shape[-1]
    if gates.shape != (*c.shape[:-1], 4 * width) or (peephole is not None and peephole.shape != (3, width)):
        got = f"gates {tuple(gates.shape)}, c {tuple(c.shape)}"
        got += "" if peephole is None else f", peephole {tuple(peephole.shape)}"
        raise StructureError("gates [..., 4 D], c [..., D], peephole [3, D]", got, "the gates side by side")
    h, cell = torch.ops.structnet.lstm_gates(gates.reshape(-1, 4 * width), c.reshape(-1, width), peephole)
    return h.view(c.shape), cell.view(c.shape)


def _compiled(gates: Tensor, c: Tensor, peephole: Tensor | None) -> str | None:
    """The compiled form takes one type for all."""
    same = gates.dtype == c.dtype and (peephole is None or peephole.dtype == c.dtype)
    return compiled_for(c) if same else None


@torch.library.custom_op("structnet::lstm_gates", mutates_args=())
def _forward(gates: Tensor, c: Tensor, peephole: Tensor | None) -> tuple[Tensor, Tensor]:
    suffix = _compiled(gates, c, peephole)
    if suffix is None:
        return torch_form.lstm_gates(gates, c, peephole)
    return cpu.forward(suffix, gates.contiguous(), c.contiguous(), None if peephole is None else peephole.contiguous())


@_forward.register_fake
def _(gates, c, peephole):
    return c.new_empty(c.shape), c.new_empty(c.shape)


@torch.library.custom_op("structnet::lstm_gates_backward", mutates_args=())
def _backward(
    dh: Tensor, dcell: Tensor, gates: Tensor, c: Tensor, cell: Tensor, peephole: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    suffix = _compiled(gates, c, peephole)
    if suffix is not None:
        dh, dcell, gates, c, cell = (t.contiguous() for t in (dh, dcell, gates, c, cell))
        return cpu.backward(suffix, dh, dcell, gates, c, cell, None if peephole is None else peephole.contiguous())
    return torch_form.backward(dh, dcell, gates, c, cell, peephole)


@_backward.register_fake
def _(dh, dcell, gates, c, cell, peephole):
    return gates.new_empty(gates.shape), c.new_empty(c.shape), c.new_empty(3, c.shape[1])


def _save(ctx, inputs, output):
    gates, c, peephole = inputs
    ctx.save_for_backward(gates, c, output[1], peephole)


def _differentiate(ctx, dh, dcell):
    gates, c, cell, peephole = ctx.saved_tensors
    dgates, dc, dpeephole = torch.ops.structnet.lstm_gates_backward(dh, dcell, gates, c, cell, peephole)
    return dgates, dc, None if peephole is None else dpeephole


torch.library.register_autograd("structnet::lstm_gates", _differentiate, setup_context=_save)


def _save_backward(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _differentiate_twice(ctx, *grads):
    return tuple(gradients(torch_form.backward, ctx.saved_tensors, grads))


torch.library.register_autograd("structnet::lstm_gates_backward", _differentiate_twice, setup_context=_save_backward)
