"""`fold`: reduce sets with a binary operator, as one opaque operation with a gradient of its own.

Forward keeps the values of the fold and nothing else; backward walks the levels back and asks for the operator's
vector-Jacobian product, so memory is two rows of values per row of input, whatever goes on inside the operator.
`torch.compile` sees one call: the levels depend on the data, the shapes do not.
"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from structnet.aggr.groups import group
from structnet.aggr.plan import FoldPlan, fold_plan
from structnet.cells.monoids import OPERATORS


def fold(
    x: Tensor,
    identity: Tensor,
    params: list[Tensor],
    operator: str,
    index: Tensor | None,
    ptr: Tensor | None,
    dim_size: int,
    tree_seed: int = -1,
) -> tuple[Tensor, Tensor]:
    """Values of the sets `[dim_size, D]` and of all steps on the way (see `FoldPlan`), `[2 N + 1, D]`.

    Args:
        x: rows `[N, D]`; index `[N]` in any order, or ptr `[dim_size + 1]`.
        identity: value of an empty set, `[D]`.
        params: what the operator is given after its two operands.
        operator: a name in `structnet.cells.monoids.OPERATORS`.
        tree_seed: fold along random trees drawn from this seed; -1 for halving.

    Cost: N - (non-empty sets) operator rows in ceil(log2(largest set)) levels, and twice that in backward.
    """
    x = x.to(identity.dtype)  # under autocast rows come from a linear map in half precision, weights do not
    return torch.ops.structnet.fold(x, identity, params, operator, index, ptr, dim_size, tree_seed)


@torch.library.custom_op("structnet::fold", mutates_args=())
def _forward(
    x: Tensor,
    identity: Tensor,
    params: list[Tensor],
    operator: str,
    index: Optional[Tensor],  # noqa: UP045 the schema reader knows no unions
    ptr: Optional[Tensor],  # noqa: UP045
    dim_size: int,
    tree_seed: int,
) -> tuple[Tensor, Tensor]:
    groups = group(index, ptr, dim_size)
    plan = fold_plan(groups.segments, tree_seed)
    values = x.new_zeros(plan.size, x.shape[1])
    values[: plan.num_rows] = groups.sorted(x)
    values[-1] = identity
    for first, last in plan.pieces:
        left, right = _operands(values, plan, first, last)
        with torch.autocast(values.device.type, enabled=False):  # in the type of the values, forward and backward
            made = OPERATORS[operator].forward(left, right, *params)
        values[plan.num_rows + first : plan.num_rows + last] = made
    return values.index_select(0, plan.results), values


@_forward.register_fake
def _(x, identity, params, operator, index, ptr, dim_size, tree_seed):
    return x.new_empty(dim_size, x.shape[1]), x.new_empty(2 * x.shape[0] + 1, x.shape[1])


@torch.library.custom_op("structnet::fold_backward", mutates_args=())
def _backward(
    grad: Tensor,
    grad_values: Optional[Tensor],  # noqa: UP045
    values: Tensor,
    params: list[Tensor],
    operator: str,
    index: Optional[Tensor],  # noqa: UP045
    ptr: Optional[Tensor],  # noqa: UP045
    dim_size: int,
    tree_seed: int,
) -> list[Tensor]:
    groups = group(index, ptr, dim_size)
    plan = fold_plan(groups.segments, tree_seed)
    grads = torch.zeros_like(values) if grad_values is None else grad_values.clone()
    grads.index_add_(0, plan.results, grad)  # the identity is the value of every empty set
    sums = [torch.zeros_like(p) for p in params]
    for first, last in reversed(plan.pieces):
        grad = grads[plan.num_rows + first : plan.num_rows + last]
        with torch.autocast(values.device.type, enabled=False):
            found = OPERATORS[operator].vjp(grad, *_operands(values, plan, first, last), *params)
        for rows, part in zip((plan.left[first:last], plan.right[first:last]), found):
            if grad_values is None:  # every value is used once, and this is the place
                grads.index_copy_(0, rows, part)
            else:
                grads.index_add_(0, rows, part)
        for total, part in zip(sums, found[2:]):
            total += part
    return [groups.unsorted(grads[: plan.num_rows]).clone(), grads[-1].clone(), *sums]


@_backward.register_fake
def _(grad, grad_values, values, params, operator, index, ptr, dim_size, tree_seed):
    rows = (values.shape[0] - 1) // 2
    return [values.new_empty(rows, values.shape[1]), values.new_empty(values.shape[1]), *map(torch.empty_like, params)]


def _operands(values: Tensor, plan: FoldPlan, first: int, last: int) -> tuple[Tensor, Tensor]:
    return values.index_select(0, plan.left[first:last]), values.index_select(0, plan.right[first:last])


def _remember(ctx, inputs, output):
    _, _, params, ctx.operator, index, ptr, ctx.dim_size, ctx.tree_seed = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[1], index, ptr, *params)


def _vjp(ctx, grad, grad_values):
    values, index, ptr, *params = ctx.saved_tensors
    if grad is None:
        grad = values.new_zeros(ctx.dim_size, values.shape[1])
    args = (params, ctx.operator, index, ptr, ctx.dim_size, ctx.tree_seed)
    gx, gidentity, *gparams = torch.ops.structnet.fold_backward(grad.contiguous(), grad_values, values, *args)
    return gx, gidentity, gparams, None, None, None, None, None


_forward.register_autograd(_vjp, setup_context=_remember)
