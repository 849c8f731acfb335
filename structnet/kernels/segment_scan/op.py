"""Linear recurrences over ragged sequences: the registered op and the choice of its form."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.kernels.ragged import as_ptr, compiled_for, gradients, triton_for
from structnet.kernels.segment_scan import cpu, torch_form
from structnet.structures import Segments


def segment_scan(
    gate: Tensor, x: Tensor, segments: Segments | Tensor, initial: Tensor | None = None, reverse: bool = False
) -> Tensor:
    """`h_t = gate_t * h_{t-1} + x_t` inside each segment, `h_0` from `initial` (zero if None).

    Args:
        gate: `[N, G]`, each entry shared by D / G neighbouring channels ("heads"; G = 1 and G = D included).
        x: `[N, D]`, rows grouped by segment.
        segments: `Segments` or a pointer tensor `[S + 1]`.
        initial: `[S, D]`.
        reverse: from the last row of each segment to the first.

    Returns `[N, D]`. Gradients for gate, x and initial, twice. An empty segment has no rows and leaves its initial
    state alone (gradient zero). NaN and Inf stay in their segment. The same call gives the same bits, with any number
    of threads.
    Cost: one pass forward (3 N D floats of traffic) and one backward (5 N D).

    Raises:
        StructureError: shapes, types or devices that do not fit.
    """
    return _checked(gate, x, segments, initial, reverse, False)


def log_scan(
    log_gate: Tensor,
    x: Tensor,
    segments: Segments | Tensor,
    initial: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    """`segment_scan` with gates in (0, 1] given by their logarithm, `h_t = exp(log_gate_t) h_{t-1} + x_t`.

    The exponential is taken inside the pass, forward and backward, so the traffic is that of `segment_scan` and no gate
    is ever stored; the gradient goes straight to the logarithm, and no decay rounds to a dead gradient on the way.
    `log_gate <= 0` (-inf: forget everything), e.g. `-softplus(z)` for the gate sigmoid(-z). The rest as `segment_scan`.
    """
    return _checked(log_gate, x, segments, initial, reverse, True)


def _checked(
    gate: Tensor, x: Tensor, segments: Segments | Tensor, initial: Tensor | None, reverse: bool, log_gate: bool
) -> Tensor:
    if x.dim() != 2 or gate.dim() != 2 or len(gate) != len(x) or not gate.shape[1] or x.shape[1] % gate.shape[1]:
        got = f"gate {tuple(gate.shape)}, x {tuple(x.shape)}"
        raise StructureError("x [N, D] and gate [N, G] with G dividing D", got, "gate[:, None] for one gate a row")
    ptr = as_ptr(segments, len(x), x.device)
    if initial is not None and initial.shape != (len(ptr) - 1, x.shape[1]):
        raise StructureError(f"initial [{len(ptr) - 1}, {x.shape[1]}]", str(tuple(initial.shape)), "one row a segment")
    start = None if initial is None else initial.to(x.dtype)
    return torch.ops.structnet.segment_scan(gate.to(x.dtype), x, ptr, start, reverse, log_gate)


@torch.library.custom_op("structnet::segment_scan", mutates_args=())
def _forward(
    gate: Tensor, x: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool, log_gate: bool = False
) -> Tensor:
    gate, x = gate.contiguous(), x.contiguous()
    initial = None if initial is None else initial.contiguous()
    if not x.numel():
        return x.clone()
    suffix = compiled_for(x)
    if suffix is not None:
        return cpu.forward(suffix, gate, x, ptr, initial, reverse, log_gate)
    if triton_for(x):
        from structnet.kernels.segment_scan import triton_form

        return triton_form.forward(gate, x, ptr, initial, reverse, log_gate)
    return torch_form.segment_scan(gate, x, ptr, initial, reverse, log_gate)


@_forward.register_fake
def _(gate, x, ptr, initial, reverse, log_gate=False):
    return x.new_empty(x.shape)


@torch.library.custom_op("structnet::segment_scan_backward", mutates_args=())
def _backward(
    grad: Tensor, gate: Tensor, h: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool, log_gate: bool
) -> tuple[Tensor, Tensor, Tensor]:
    grad, gate, h = grad.contiguous(), gate.contiguous(), h.contiguous()
    initial = None if initial is None else initial.contiguous()
    if not h.numel():
        empty = h.new_empty(0, h.shape[1]) if initial is None else torch.zeros_like(initial)
        return torch.zeros_like(gate), grad.clone(), empty
    suffix = compiled_for(h)
    if suffix is not None:
        return cpu.backward(suffix, grad, gate, h, ptr, initial, reverse, log_gate)
    if triton_for(h):
        from structnet.kernels.segment_scan import triton_form

        return triton_form.backward(grad, gate, h, ptr, initial, reverse, log_gate)
    return torch_form.backward(grad, gate, h, ptr, initial, reverse, log_gate)


@_backward.register_fake
def _(grad, gate, h, ptr, initial, reverse, log_gate):
    dinitial = h.new_empty(0, h.shape[1]) if initial is None else torch.empty_like(initial)
    return torch.empty_like(gate), torch.empty_like(h), dinitial


def _save(ctx, inputs, output):
    gate, _, ptr, initial, *ctx.flags = inputs
    ctx.save_for_backward(gate, output, ptr, initial)


def _differentiate(ctx, grad):
    *saved, initial = ctx.saved_tensors
    dgate, dx, dinitial = torch.ops.structnet.segment_scan_backward(grad, *saved, initial, *ctx.flags)
    return dgate, dx, None, None if initial is None else dinitial, None, None


_forward.register_autograd(_differentiate, setup_context=_save)


def _save_backward(ctx, inputs, output):
    *tensors, reverse, log_gate = inputs
    ctx.flags = reverse, log_gate
    ctx.save_for_backward(*tensors)


def _differentiate_twice(ctx, *grads):
    grad, gate, h, ptr, initial = ctx.saved_tensors
    *made, dinitial = gradients(
        lambda g, a, h, start: torch_form.backward(g, a, h, ptr, start, *ctx.flags), (grad, gate, h, initial), grads
    )
    return *made, None, dinitial, None, None


_backward.register_autograd(_differentiate_twice, setup_context=_save_backward)
