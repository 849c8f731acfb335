"""The same in torch's own operations, a row per edge: for devices and types without a form of their own, and for second
derivatives, since everything here is differentiable."""

from __future__ import annotations

import torch
from torch import Tensor


def edge_relu_sum(source: Tensor, target: Tensor, edge: Tensor | None, sender: Tensor, ptr: Tensor) -> Tensor:
    receiver = receivers(sender, ptr)
    return torch.zeros_like(target).index_add(0, receiver, _values(source, target, edge, sender, receiver).relu())


def backward(
    grad: Tensor, source: Tensor, target: Tensor, edge: Tensor | None, sender: Tensor, ptr: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    receiver = receivers(sender, ptr)
    closed = _values(source, target, edge, sender, receiver) <= 0
    opened = grad.index_select(0, receiver).masked_fill(closed, 0.0)
    dsource = torch.zeros_like(source).index_add(0, sender, opened)
    dtarget = torch.zeros_like(target).index_add(0, receiver, opened)
    return dsource, dtarget, opened if edge is not None else grad.new_empty(0, grad.shape[1])


def receivers(sender: Tensor, ptr: Tensor) -> Tensor:
    ids = torch.arange(len(ptr) - 1, device=ptr.device)
    return ids.repeat_interleave(ptr.diff(), output_size=len(sender))


def _values(source: Tensor, target: Tensor, edge: Tensor | None, sender: Tensor, receiver: Tensor) -> Tensor:
    total = source.index_select(0, sender) + target.index_select(0, receiver)
    return total if edge is None else total + edge
