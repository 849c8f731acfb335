"""The same in torch's own operations, for devices and types without a form of their own: a scan of affine maps."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.kernels.associative_scan.op import Elements, associative_scan
from structnet.structures import Segments


def block_scan(
    transition: Tensor, x: Tensor, ptr: Tensor, initial: Tensor | None = None, reverse: bool = False
) -> Tensor:
    segments = Segments.trusted(ptr)
    if initial is not None:
        filled = segments.lengths > 0
        first = (ptr[1:] - 1 if reverse else ptr[:-1])[filled]
        x = x.index_add(0, first, apply(transition[first], initial[filled]))
    return associative_scan(compose, (transition, x), segments, reverse)[1]


def backward(
    grad: Tensor, transition: Tensor, h: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """dx is the scan of the gradient the other way round, with the transposed blocks moved by one row."""
    segments = Segments.trusted(ptr)
    filled = segments.lengths > 0
    start, stop = ptr[:-1][filled], ptr[1:][filled] - 1
    first, last = (stop, start) if reverse else (start, stop)
    step = -1 if reverse else 1
    transposed = transition.transpose(-1, -2)
    ahead = torch.roll(transposed, -step, 0).index_fill(0, last, 0.0)  # acts on nothing, and must not be NaN
    dx = block_scan(ahead, grad, ptr, None, not reverse)
    before = torch.roll(h, step, 0).index_fill(0, first, 0.0)
    if initial is not None:
        before = before.index_copy(0, first, initial[filled])
    made = dx.unsqueeze(-1) * before.unsqueeze(-2)
    if initial is None:
        return made, dx, h.new_empty(0, *h.shape[1:])
    place = (filled.nonzero().flatten(),)
    return made, dx, torch.zeros_like(initial).index_put(place, apply(transposed[first], dx[first]))


def compose(earlier: Elements, later: Elements) -> Elements:
    """(A, b) o (A', b') = (A' A, A' b + b'): prefixes of h -> A h + b."""
    return later[0] @ earlier[0], apply(later[0], earlier[1]) + later[1]


def apply(transition: Tensor, state: Tensor) -> Tensor:
    return torch.matmul(transition, state.unsqueeze(-1)).squeeze(-1)
