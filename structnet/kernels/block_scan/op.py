"""Linear recurrences with small dense blocks: `segment_scan` with matrices for gates."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.kernels.block_scan import cpu, torch_form
from structnet.kernels.ragged import as_ptr, compiled_for, gradients, triton_for
from structnet.structures import Segments


def block_scan(
    transition: Tensor, x: Tensor, segments: Segments | Tensor, initial: Tensor | None = None, reverse: bool = False
) -> Tensor:
    """`h_t = A_t h_{t-1} + x_t` inside each segment, with A_t block-diagonal: H blocks of d x d.

    Diagonal transitions cannot track a state that permutes (parity is the smallest case with a negative gate, the
    permutations of five things need 4 x 4 blocks); small dense blocks can.

    Args:
        transition: `[N, H, d, d]`; meant for d = 2 .. 8.
        x: `[N, H, d]`, rows grouped by segment.
        segments: `Segments` or a pointer tensor `[S + 1]`.
        initial: h_0, `[S, H, d]` (zero if None).
        reverse: from the last row of each segment to the first.

    Returns `[N, H, d]`. Gradients for transition, x and initial, twice. An empty segment leaves its initial state
    alone. NaN and Inf stay in their segment. The same call gives the same bits, with any number of threads.
    Cost: one pass over memory, N H (d^2 + 2 d) numbers forward, and one backward, N H (2 d^2 + 3 d).

    Source: Blelloch, "Prefix Sums and Their Applications", 1990; why blocks: Merrill, Petty and Sabharwal, "The
    Illusion of State in State-Space Models", 2024.

    Raises:
        StructureError: shapes, types or devices that do not fit.
    """
    if x.dim() != 3 or transition.shape != (*x.shape, x.shape[-1]):
        got = f"transition {tuple(transition.shape)}, x {tuple(x.shape)}"
        raise StructureError("x [N, H, d] and transition [N, H, d, d]", got, "one head: x[:, None]")
    ptr = as_ptr(segments, len(x), x.device)
    expected = (len(ptr) - 1, *x.shape[1:])
    if initial is not None and initial.shape != expected:
        raise StructureError(f"initial {expected}", str(tuple(initial.shape)), "one state a segment")
    start = None if initial is None else initial.to(x.dtype)
    return torch.ops.structnet.block_scan(transition.to(x.dtype), x, ptr, start, reverse)


@torch.library.custom_op("structnet::block_scan", mutates_args=())
def _forward(transition: Tensor, x: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool) -> Tensor:
    transition, x = transition.contiguous(), x.contiguous()
    initial = None if initial is None else initial.contiguous()
    if not x.numel():
        return x.clone()
    suffix = compiled_for(x)
    if suffix is not None:  # one pass over memory; the composite multiplies d x d blocks, d times the work
        return cpu.forward(suffix, transition, x, ptr, initial, reverse)
    if triton_for(x):
        from structnet.kernels.block_scan import triton_form

        return triton_form.forward(transition, x, ptr, initial, reverse)
    return torch_form.block_scan(transition, x, ptr, initial, reverse)


@_forward.register_fake
def _(transition, x, ptr, initial, reverse):
    return x.new_empty(x.shape)


@torch.library.custom_op("structnet::block_scan_backward", mutates_args=())
def _backward(
    grad: Tensor, transition: Tensor, h: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    grad, transition, h = grad.contiguous(), transition.contiguous(), h.contiguous()
    initial = None if initial is None else initial.contiguous()
    if not h.numel():
        empty = h.new_empty(0, *h.shape[1:]) if initial is None else torch.zeros_like(initial)
        return torch.zeros_like(transition), grad.clone(), empty
    suffix = compiled_for(h)
    if suffix is not None:
        return cpu.backward(suffix, grad, transition, h, ptr, initial, reverse)
    if triton_for(h):
        from structnet.kernels.block_scan import triton_form

        return triton_form.backward(grad, transition, h, ptr, initial, reverse)
    return torch_form.backward(grad, transition, h, ptr, initial, reverse)


@_backward.register_fake
def _(grad, transition, h, ptr, initial, reverse):
    start = h.new_empty(0, *h.shape[1:]) if initial is None else initial.new_empty(initial.shape)
    return transition.new_empty(transition.shape), h.new_empty(h.shape), start


def _save(ctx, inputs, output):
    transition, _, ptr, initial, ctx.reverse = inputs
    ctx.save_for_backward(transition, output, ptr, initial)


def _differentiate(ctx, grad):
    *saved, initial = ctx.saved_tensors
    made, dx, dinitial = torch.ops.structnet.block_scan_backward(grad, *saved, initial, ctx.reverse)
    return made, dx, None, None if initial is None else dinitial, None


_forward.register_autograd(_differentiate, setup_context=_save)


def _save_backward(ctx, inputs, output):
    *tensors, ctx.reverse = inputs
    ctx.save_for_backward(*tensors)


def _differentiate_twice(ctx, *grads):
    grad, transition, h, ptr, initial = ctx.saved_tensors
    tensors = grad, transition, h, initial
    *made, dinitial = gradients(
        lambda g, a, h, start: torch_form.backward(g, a, h, ptr, start, ctx.reverse), tensors, grads
    )
    return *made, None, dinitial, None


_backward.register_autograd(_differentiate_twice, setup_context=_save_backward)
