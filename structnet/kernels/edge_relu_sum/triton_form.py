# pyright: reportArgumentType=false
# (Triton annotates compile-time arguments with a type that no plain value has)
"""The Triton forms: one program per (node, block of channels), a loop over the node's edges in registers. The way back
to the senders walks the edges sorted by sender: no atomics, the same bits every time."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from structnet.kernels.edge_relu_sum.torch_form import receivers


@triton.jit
def _kernel(fixed, other, edge, grad, neighbour, number, ptr, out, dedge, channels, EDGE: tl.constexpr,
            MODE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """MODE 0: sums at targets; 1: gradient at targets (and edges); 2: gradient at senders."""
    node = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    total = tl.zeros([BLOCK], tl.float32)
    if out.dtype.element_ty == tl.float64:
        total = total.to(tl.float64)
    mine = tl.load(fixed + node * channels + channel, mask=inside, other=0.0).to(total.dtype)
    for at in range(tl.load(ptr + node), tl.load(ptr + node + 1)):
        end = tl.load(neighbour + at)
        value = mine + tl.load(other + end * channels + channel, mask=inside, other=0.0).to(total.dtype)
        if EDGE:
            row = tl.load(number + at)
            value += tl.load(edge + row * channels + channel, mask=inside, other=0.0).to(total.dtype)
        if MODE == 0:
            total += tl.where(value < 0, 0.0, value)
        else:
            target = node if MODE == 1 else end
            g = tl.load(grad + target * channels + channel, mask=inside, other=0.0).to(total.dtype)
            g = tl.where(value <= 0, 0.0, g)
            total += g
            if EDGE and MODE == 1:
                tl.store(dedge + at * channels + channel, g, mask=inside)
    tl.store(out + node * channels + channel, total, mask=inside)


def _launch(fixed, other, edge, grad, neighbour, number, ptr, dedge, mode: int) -> Tensor:
    out = torch.empty_like(fixed)
    if out.numel():
        block = min(128, triton.next_power_of_2(fixed.shape[1]))
        grid = (len(fixed), triton.cdiv(fixed.shape[1], block))
        has_edge, unused = edge is not None, fixed
        _kernel[grid](fixed, other, edge if has_edge else unused, unused if grad is None else grad, neighbour,
                      number, ptr, out, out if dedge is None else dedge, fixed.shape[1], has_edge, mode,
                      BLOCK=block)  # fmt: skip
    return out


def forward(source: Tensor, target: Tensor, edge: Tensor | None, sender: Tensor, ptr: Tensor) -> Tensor:
    return _launch(target, source, edge, None, sender, _numbers(sender), ptr, None, 0)


def backward(
    grad: Tensor, source: Tensor, target: Tensor, edge: Tensor | None, sender: Tensor, ptr: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    dedge = grad.new_empty((0, grad.shape[1]) if edge is None else edge.shape)
    dtarget = _launch(target, source, edge, grad, sender, _numbers(sender), ptr, dedge, 1)
    order = sender.argsort(stable=True)
    back = torch.searchsorted(sender[order], torch.arange(len(source) + 1, device=sender.device))
    dsource = _launch(source, target, edge, grad, receivers(sender, ptr)[order], order, back, None, 2)
    return dsource, dtarget, dedge


def _numbers(sender: Tensor) -> Tensor:
    return torch.arange(len(sender), device=sender.device)
