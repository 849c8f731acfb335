"""Linear recursion up and down forests: the registered op and the choice of its form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.kernels.ragged import compiled_for, gradients, triton_for
from structnet.kernels.tree_scan import cpu, torch_form
from structnet.schedules.heavy_paths import heavy_paths, subtree_order
from structnet.structures import Tree


def tree_scan(weight: Tensor, x: Tensor, tree: Tree | Tensor, downwards: bool = False) -> Tensor:
    """Linear recursion on a forest of any shape, leaves to roots:

        h_v = x_v + sum over children c of weight_c * h_c

    or, `downwards`, roots to leaves, its transpose: `h_v = x_v + weight_v * h_parent`.

    Args:
        weight: `[N, G]`, of the edge above each row, each entry shared by D / G neighbouring channels (G = 1:
            one weight a row). The weight of a root acts on nothing. Or `[N, H, d, d]`: blocks that multiply states.
        x: `[N, D]`, a row a node, in any order; `[N, H, d]` for blocks.
        tree: `Tree`, or the parent of each row `[N]` (a root is its own parent). What is derived from the structure is
            kept on the `Tree`.

    Returns rows like x. Gradients for weight and x, twice: the backward of one direction is the other direction. NaN
    and Inf stay in their tree. The same call gives the same bits, with any number of threads. No nodes: no rows.
    Cost: one pass up or down (3 N D floats of traffic; 5 N D backward), or log2 N + 1 rounds of segmented scans
    (blocks always).

    Raises:
        StructureError: shapes or devices that do not fit, a node with two parents, a cycle.
    """
    tree = tree if isinstance(tree, Tree) else Tree.from_parents(tree)
    blocks = weight.dim() == 4 and x.dim() == 3 and weight.shape == (*x.shape, x.shape[-1])
    flat = x.dim() == weight.dim() == 2 and len(weight) == len(x)
    if not blocks and (not flat or not weight.shape[1] or x.shape[1] % weight.shape[1]):
        got = f"weight {tuple(weight.shape)}, x {tuple(x.shape)}"
        raise StructureError("x [N, D] and weight [N, G] with G dividing D", got, "weight[:, None] for one a row")
    if len(x) != tree.num_nodes or x.device != tree.device:
        got = f"{len(x)} rows on {x.device}"
        raise StructureError(f"a row for each of {tree.num_nodes} nodes on {tree.device}", got, "tree.to(x.device)")
    if x.dtype in (torch.bfloat16, torch.float16):  # sums are kept in float32
        return tree_scan(weight.float(), x.float(), tree, downwards).to(x.dtype)
    if blocks:
        return torch_form.rounds(weight.to(x.dtype), x, *paths_of(tree), downwards) if x.numel() else x.clone()
    plan, links = plan_for(tree, x), links_of(tree)
    return torch.ops.structnet.tree_scan(weight.to(x.dtype), x, links, plan.layout, plan.form, plan.marks, downwards)


class Plan(NamedTuple):
    form: str
    layout: list[Tensor]
    marks: list[int]


LEVELS = 64  # more levels than this are slower, one by one, than rounds of odd-even scans
LONGEST = 4096  # a Triton program walks a path, or a node's children, row by row: a longer one would work alone


@torch.compiler.assume_constant_result
def plan_for(tree: Tree, x: Tensor) -> Plan:
    """The one place that chooses the form, by what the machine has and by the shape of the forest."""
    if compiled_for(x) is not None:  # one pass over memory: nothing beats it at any shape
        order = subtree_order(tree, torch.get_num_threads())
        return Plan("compiled", [order.order, order.cuts], [tree.num_nodes])
    if x.device.type == "cpu" and tree.num_nodes and int(tree.heights.max()) <= LEVELS:
        return Plan("levels", *torch_form.levels(tree))
    paths = heavy_paths(tree)
    if triton_for(x) and max(paths.longest, paths.widest) <= LONGEST:
        return Plan("triton", [paths.rows, paths.ptr], paths.rounds)
    return Plan("paths", *paths_of(tree))


@torch.compiler.assume_constant_result
def links_of(tree: Tree) -> list[Tensor]:
    return [tree.parent, tree.child_ptr, tree.child_index]


@torch.compiler.assume_constant_result
def paths_of(tree: Tree) -> tuple[list[Tensor], list[int]]:
    p = heavy_paths(tree)
    return [p.rows, p.place, p.ptr, p.fan], p.rounds + p.starts


def form(name: str) -> Callable[..., tuple[Tensor, Tensor | None]]:
    if name == "triton":
        from structnet.kernels.tree_scan import triton_form

        return triton_form.tree_scan
    return {"compiled": cpu.tree_scan, "levels": torch_form.by_levels, "paths": torch_form.by_paths}[name]


@torch.library.custom_op("structnet::tree_scan", mutates_args=())
def _forward(
    weight: Tensor, x: Tensor, links: Sequence[Tensor], layout: Sequence[Tensor], name: str, marks: Sequence[int],
    downwards: bool,
) -> Tensor:  # fmt: skip
    if not x.numel():
        return x.clone()
    return form(name)(weight, x, links, layout, marks, downwards)[0]


@_forward.register_fake
def _(weight, x, links, layout, name, marks, downwards):
    return x.new_empty(x.shape)


@torch.library.custom_op("structnet::tree_scan_backward", mutates_args=())
def _backward(
    grad: Tensor, weight: Tensor, h: Tensor, links: Sequence[Tensor], layout: Sequence[Tensor], name: str,
    marks: Sequence[int], downwards: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients of weight and x: the scan the other way round, and the product of the two ends of each edge."""
    if not h.numel():
        return torch.zeros_like(weight), grad.clone()
    dx, dweight = form(name)(weight, grad, links, layout, marks, not downwards, h)
    return dweight, dx  # type: ignore[return-value]


@_backward.register_fake
def _(grad, weight, h, links, layout, name, marks, downwards):
    return weight.new_empty(weight.shape), h.new_empty(h.shape)


def _save(ctx, inputs, output):
    weight, _, links, layout, ctx.name, ctx.marks, ctx.downwards = inputs
    ctx.save_for_backward(weight, output, *links, *layout)


def _differentiate(ctx, grad):
    weight, h, *structure = ctx.saved_tensors
    rest = structure[:3], structure[3:], ctx.name, ctx.marks
    if ctx.needs_input_grad[0]:
        dweight, dx = torch.ops.structnet.tree_scan_backward(grad, weight, h, *rest, ctx.downwards)
    else:
        dweight, dx = None, torch.ops.structnet.tree_scan(weight, grad, *rest, not ctx.downwards)
    return dweight, dx, *_no_gradients(structure)


_forward.register_autograd(_differentiate, setup_context=_save)


def _save_backward(ctx, inputs, output):
    grad, weight, h, links, layout, ctx.name, ctx.marks, ctx.downwards = inputs
    ctx.save_for_backward(grad, weight, h, *links, *layout)


def _differentiate_twice(ctx, d_dweight, d_dx):
    """Gradient of the gradient: the backward pass again, made of differentiable operations."""
    grad, weight, h, *structure = ctx.saved_tensors
    rest = structure[:3], structure[3:], ctx.name, ctx.marks

    def backward(grad, weight, h):
        dx = torch.ops.structnet.tree_scan(weight, grad, *rest, not ctx.downwards)
        return torch_form.edge_products(dx, h, structure[0], weight.shape[1], not ctx.downwards), dx

    return *gradients(backward, (grad, weight, h), (d_dweight, d_dx)), *_no_gradients(structure)


def _no_gradients(structure: list[Tensor]) -> tuple:
    """For links, layout, name, marks and downwards: torch wants lists for lists of tensors."""
    return [None] * 3, [None] * (len(structure) - 3), None, None, None


_backward.register_autograd(_differentiate_twice, setup_context=_save_backward)
