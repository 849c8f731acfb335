"""Reductions over ragged groups of rows: the registered ops and the choice of their forms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.kernels.ragged import as_ptr, compiled_for, gradients, triton_for
from structnet.kernels.segment_reduce import cpu, torch_form
from structnet.structures import Segments
from structnet.structures.checks import as_index, check_range

REDUCTIONS = ("sum", "mean", "max", "min", "softmax", "logsumexp")
EXTREMES = ("max", "min")


def segment_reduce(x: Tensor, segments: Segments | Tensor, reduce: str = "sum") -> Tensor:
    """Reduce the rows of each segment.

    Args:
        x: `[N, ...]`, rows grouped by segment.
        segments: `Segments` or a pointer tensor `[S + 1]`.
        reduce: "sum", "mean", "max", "min", "logsumexp" -> `[S, ...]`; "softmax" (over the rows of a segment, each
            channel on its own) -> `[N, ...]`.

    An empty segment gives 0 (sum, mean, max, min) or -inf (logsumexp), and no gradient. Ties in max and min: the
    first row takes the whole gradient. NaN stays in its segment and channel. Sums of less than float32 are made
    in float32. Bit for bit repeatable, with any number of threads. Cost: one pass over x (softmax and
    logsumexp read a segment twice while it is in cache).

    Raises:
        StructureError: unknown reduction, or rows that do not fit.
    """
    _check(x, reduce)
    ptr = as_ptr(segments, len(x), x.device)
    flat = x.reshape(len(x), math.prod(x.shape[1:]))
    if reduce == "softmax":
        return torch.ops.structnet.segment_softmax(flat, ptr).view(x.shape)
    if reduce == "logsumexp":
        out = torch.ops.structnet.segment_logsumexp(flat, ptr)
    else:
        out = torch.ops.structnet.segment_reduce(flat, ptr, reduce, torch.is_grad_enabled() and flat.requires_grad)[0]
    return out.view(len(ptr) - 1, *x.shape[1:])


def index_reduce(x: Tensor, index: Tensor, num_segments: int, reduce: str = "sum") -> Tensor:
    """`segment_reduce` of rows in any order: `index[i]` is the segment of row i, `[N]`, 0 .. num_segments - 1.

    Sums and means go through `index_add_` and extremes that need no gradient through `scatter_reduce_`, which are at
    the memory limit as they are; the others (and sums of half precision) sort the rows first: stable, so "first row"
    means first in x. "softmax" comes back in the order of x.

    Raises:
        StructureError: an index outside 0 .. num_segments - 1, or of another length than x.
    """
    _check(x, reduce)
    index = as_index(index, "index", x.device)
    if len(index) != len(x):
        raise StructureError(f"an index for {len(x)} rows", str(len(index)), "one segment a row")
    if not torch.compiler.is_compiling():  # a look at the data would break the graph
        check_range(index, num_segments, "index", "a larger num_segments")
    half = x.is_floating_point() and x.element_size() < 4
    if reduce in ("sum", "mean") and not half:
        total = x.new_zeros(num_segments, *x.shape[1:]).index_add_(0, index, x)
        return total if reduce == "sum" else total / _rowwise(torch.bincount(index, minlength=num_segments), x).clamp(1)
    if reduce in EXTREMES and not (torch.is_grad_enabled() and x.requires_grad):
        wide = _rowwise(index, x).expand_as(x)
        return x.new_zeros(num_segments, *x.shape[1:]).scatter_reduce_(0, wide, x, f"a{reduce}", include_self=False)
    order, segments = index.argsort(stable=True), Segments.from_lengths(torch.bincount(index, minlength=num_segments))
    out = segment_reduce(x.index_select(0, order), segments, reduce)
    return torch.empty_like(out).index_copy(0, order, out) if reduce == "softmax" else out


def _check(x: Tensor, reduce: str) -> None:
    if reduce not in REDUCTIONS:
        raise StructureError(f"reduce out of {', '.join(REDUCTIONS)}", repr(reduce), 'reduce="sum"')
    if not x.dim():
        raise StructureError("rows [N, ...]", "a single number", "x[None]")
    if not x.is_floating_point() and reduce not in ("sum", *EXTREMES):
        raise StructureError(f"floating-point rows for a {reduce}", str(x.dtype), "x.float()")


def _rowwise(vector: Tensor, like: Tensor) -> Tensor:
    """`[N]` as `[N, 1, ...]`, with as many dimensions as `like`."""
    return vector.view(-1, *[1] * (like.dim() - 1))


def segment_gather(values: Tensor, segments: Segments | Tensor) -> Tensor:
    """The value of each row's segment: `[S, ...]` -> `[N, ...]`. Its gradient is the segment sum.

    Raises:
        StructureError: not one value a segment.
    """
    owner = segments if isinstance(segments, Segments) else Segments(segments)
    if len(values) != len(owner):
        raise StructureError(f"{len(owner)} rows, one a segment", str(len(values)), "empty segments too")
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    out = torch.ops.structnet.segment_gather(flat, owner.ptr, None, owner.num_rows)
    return out.view(owner.num_rows, *values.shape[1:])


@torch.library.custom_op("structnet::segment_reduce", mutates_args=())
def _reduce(x: Tensor, ptr: Tensor, kind: str, winners: bool = True) -> tuple[Tensor, Tensor]:
    """The reduction, and with `winners` the row that each maximum or minimum came from: a gradient needs it."""
    x, winners = x.contiguous(), winners and kind in EXTREMES
    suffix = compiled_for(x)
    if suffix is not None:
        return cpu.reduce(suffix, x, ptr, kind, winners)
    if triton_for(x):
        from structnet.kernels.segment_reduce import triton_form

        out, rows = triton_form.reduce(x, ptr, kind)
        return out, rows if winners else ptr.new_empty(0)
    return torch_form.reduce(x, ptr, kind, winners)


@_reduce.register_fake
def _(x, ptr, kind, winners=True):
    shape = (len(ptr) - 1, x.shape[1])
    return x.new_empty(shape), ptr.new_empty(shape if winners and kind in EXTREMES else (0,))


def _save_reduce(ctx, inputs, output):
    x, ptr, ctx.kind, ctx.winners = inputs
    ctx.shape = x.shape
    ctx.save_for_backward(ptr, output[1])
    ctx.mark_non_differentiable(output[1])


def _differentiate_reduce(ctx, grad, _):
    ptr, arg = ctx.saved_tensors
    if ctx.kind in EXTREMES and not ctx.winners:
        raise StructureError(f"winners=True for the gradient of a {ctx.kind}", "winners=False", "segment_reduce(...)")
    if ctx.kind == "mean":
        grad = grad / ptr.diff().clamp(min=1)[:, None]
    arg = arg if ctx.kind in EXTREMES else None
    return torch.ops.structnet.segment_gather(grad, ptr, arg, ctx.shape[0]), None, None, None


_reduce.register_autograd(_differentiate_reduce, setup_context=_save_reduce)


@torch.library.custom_op("structnet::segment_gather", mutates_args=())
def _gather(values: Tensor, ptr: Tensor, arg: Tensor | None, rows: int) -> Tensor:
    values = values.contiguous()
    suffix = compiled_for(values)
    if suffix is not None:
        return cpu.gather(suffix, values, ptr, arg, rows)
    if triton_for(values):
        from structnet.kernels.segment_reduce import triton_form

        return triton_form.gather(values, ptr, arg, rows)
    return torch_form.gather(values, ptr, arg, rows)


@_gather.register_fake
def _(values, ptr, arg, rows):
    return values.new_empty(rows, values.shape[1])


def _save_gather(ctx, inputs, output):
    _, ptr, arg, _ = inputs
    ctx.save_for_backward(ptr, *([] if arg is None else [arg]))


def _differentiate_gather(ctx, grad):
    ptr, *arg = ctx.saved_tensors
    if not arg:
        return torch.ops.structnet.segment_reduce(grad, ptr, "sum")[0], None, None, None
    if not len(grad):
        return grad.new_zeros(arg[0].shape), None, None, None
    return torch.where(arg[0] >= 0, grad.gather(0, arg[0].clamp(min=0)), 0.0), None, None, None


_gather.register_autograd(_differentiate_gather, setup_context=_save_gather)


@torch.library.custom_op("structnet::segment_softmax", mutates_args=())
def _softmax(x: Tensor, ptr: Tensor) -> Tensor:
    return _softmax_form(x.contiguous(), ptr, rows=True)


@torch.library.custom_op("structnet::segment_logsumexp", mutates_args=())
def _logsumexp(x: Tensor, ptr: Tensor) -> Tensor:
    return _softmax_form(x.contiguous(), ptr, rows=False)


def _softmax_form(x: Tensor, ptr: Tensor, rows: bool) -> Tensor:
    suffix = compiled_for(x)
    if suffix is not None:  # one pass in cache; torch's composite takes six
        return cpu.softmax(suffix, x, ptr, rows)
    if triton_for(x):
        from structnet.kernels.segment_reduce import triton_form

        return triton_form.softmax(x, ptr, rows)
    return torch_form.softmax(x, ptr, rows)


@_softmax.register_fake
def _(x, ptr):
    return x.new_empty(x.shape)


@_logsumexp.register_fake
def _(x, ptr):
    return x.new_empty(len(ptr) - 1, x.shape[1])


@torch.library.custom_op("structnet::segment_softmax_backward", mutates_args=())
def _softmax_backward(grad: Tensor, y: Tensor, ptr: Tensor) -> Tensor:
    grad, y = grad.contiguous(), y.contiguous()
    suffix = compiled_for(y)
    if suffix is not None:
        return cpu.softmax_backward(suffix, grad, y, ptr)
    if triton_for(y):
        from structnet.kernels.segment_reduce import triton_form

        return triton_form.softmax_backward(grad, y, ptr)
    return torch_form.softmax_backward(grad, y, ptr)


@_softmax_backward.register_fake
def _(grad, y, ptr):
    return torch.empty_like(y)


def _save_softmax(ctx, inputs, output):
    ctx.save_for_backward(output, inputs[1])


def _differentiate_softmax(ctx, grad):
    y, ptr = ctx.saved_tensors
    return torch.ops.structnet.segment_softmax_backward(grad, y, ptr), None


_softmax.register_autograd(_differentiate_softmax, setup_context=_save_softmax)


def _save_logsumexp(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _differentiate_logsumexp(ctx, grad):
    x, ptr = ctx.saved_tensors
    y = torch.ops.structnet.segment_softmax(x, ptr)  # recomputed: nothing of size N is kept but x itself
    return torch.ops.structnet.segment_gather(grad, ptr, None, len(x)) * y, None


_logsumexp.register_autograd(_differentiate_logsumexp, setup_context=_save_logsumexp)


def _save_softmax_backward(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _differentiate_softmax_twice(ctx, grad):
    g, y, ptr = ctx.saved_tensors
    return *gradients(lambda g, y: [torch_form.softmax_backward(g, y, ptr)], (g, y), [grad]), None


_softmax_backward.register_autograd(_differentiate_softmax_twice, setup_context=_save_softmax_backward)
