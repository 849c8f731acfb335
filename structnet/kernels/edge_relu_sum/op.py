"""Sums of rectified pairs over the edges of a graph: the registered op and the choice of its form."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.kernels.edge_relu_sum import cpu, torch_form
from structnet.kernels.ragged import compiled_for, triton_for
from structnet.structures.neighbours import Neighbours


def edge_relu_sum(source: Tensor, target: Tensor, graph: Neighbours, edge: Tensor | None = None) -> Tensor:
    """`out_j = sum over edges e from i to j of relu(source_i + target_j + edge_e)`.

    This is a message network of one hidden layer, summed at the target, when source and target are the node's shares of
    the first layer and the last layer comes after the sum: nothing of size E x H is made, forward or backward.

    Args:
        source: `[N, H]`; target: `[M, H]`.
        graph: E edges from N nodes to M nodes.
        edge: `[E, H]`, in the order of the edge list that `graph` was made from.

    Returns `[M, H]`, 0 for a node without edges. Every gradient, twice. NaN passes. The same bits with any number of
    threads. Cost: E H additions forward, as many again backward; traffic of the nodes alone (with `edge` of the edges).

    Raises:
        StructureError: shapes that do not fit the graph, or types that differ.
    """
    if source.shape[1:] != target.shape[1:] or len(source) != graph.num_sources or len(target) != graph.num_nodes:
        got = f"source {tuple(source.shape)}, target {tuple(target.shape)}"
        expected = f"source [{graph.num_sources}, H] and target [{graph.num_nodes}, H]"
        raise StructureError(expected, got, "one row a node")
    if source.dtype != target.dtype or (edge is not None and edge.dtype != target.dtype):
        got = f"{source.dtype}, {target.dtype}" + ("" if edge is None else f", {edge.dtype}")
        raise StructureError("source, target and edge of one dtype", got, "source.to(target.dtype)")
    if edge is not None:
        if edge.shape != (graph.num_edges, source.shape[1]):
            expected = f"edge [{graph.num_edges}, {source.shape[1]}]"
            raise StructureError(expected, str(tuple(edge.shape)), "one row an edge")
        edge = graph.sorted(edge)
    return torch.ops.structnet.edge_relu_sum(source, target, edge, graph.sender, graph.ptr)


@torch.library.custom_op("structnet::edge_relu_sum", mutates_args=())
def _forward(source: Tensor, target: Tensor, edge: Tensor | None, sender: Tensor, ptr: Tensor) -> Tensor:
    source, target = source.contiguous(), target.contiguous()
    edge = None if edge is None else edge.contiguous()
    suffix = compiled_for(target)
    if suffix is not None:
        return cpu.forward(suffix, source, target, edge, sender, ptr)
    if triton_for(target):
        from structnet.kernels.edge_relu_sum import triton_form

        return triton_form.forward(source, target, edge, sender, ptr)
    return torch_form.edge_relu_sum(source, target, edge, sender, ptr)


@_forward.register_fake
def _(source, target, edge, sender, ptr):
    return target.new_empty(target.shape)


@torch.library.custom_op("structnet::edge_relu_sum_backward", mutates_args=())
def _backward(
    grad: Tensor, source: Tensor, target: Tensor, edge: Tensor | None, sender: Tensor, ptr: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    grad, source, target = grad.contiguous(), source.contiguous(), target.contiguous()
    edge = None if edge is None else edge.contiguous()
    suffix = compiled_for(target)
    if suffix is not None:
        return cpu.backward(suffix, grad, source, target, edge, sender, ptr)
    if triton_for(target):
        from structnet.kernels.edge_relu_sum import triton_form

        return triton_form.backward(grad, source, target, edge, sender, ptr)
    return torch_form.backward(grad, source, target, edge, sender, ptr)


@_backward.register_fake
def _(grad, source, target, edge, sender, ptr):
    dedge = grad.new_empty(0, grad.shape[1]) if edge is None else torch.empty_like(edge)
    return torch.empty_like(source), torch.empty_like(target), dedge


def _save(ctx, inputs, output):
    source, target, edge, sender, ptr = inputs
    ctx.has_edge = edge is not None
    ctx.save_for_backward(source, target, sender, ptr, *([edge] if ctx.has_edge else []))


def _differentiate(ctx, grad):
    source, target, sender, ptr, *edge = ctx.saved_tensors
    first = edge[0] if ctx.has_edge else None
    dsource, dtarget, dedge = torch.ops.structnet.edge_relu_sum_backward(grad, source, target, first, sender, ptr)
    return dsource, dtarget, dedge if ctx.has_edge else None, None, None


_forward.register_autograd(_differentiate, setup_context=_save)


def _save_backward(ctx, inputs, output):
    _, source, target, edge, sender, ptr = inputs
    ctx.has_edge = edge is not None
    ctx.save_for_backward(source, target, sender, ptr, *([edge] if ctx.has_edge else []))


def _differentiate_twice(ctx, d_source, d_target, d_edge):
    """The gradient is linear in `grad` and constant in the rest (between the kinks): its transpose is the sum, over the
    open edges, of what comes in at their ends."""
    source, target, sender, ptr, *edge = ctx.saved_tensors
    receiver = torch_form.receivers(sender, ptr)
    total = source.index_select(0, sender) + target.index_select(0, receiver) + (edge[0] if ctx.has_edge else 0)
    moved = d_source.index_select(0, sender) + d_target.index_select(0, receiver) + (d_edge if ctx.has_edge else 0)
    dgrad = torch.zeros_like(target).index_add(0, receiver, moved.masked_fill(total <= 0, 0.0))
    return dgrad, None, None, None, None, None


_backward.register_autograd(_differentiate_twice, setup_context=_save_backward)
