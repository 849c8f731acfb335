"""The same in torch's own operations, for devices and types without a form of their own: a scan of affine maps.

Ten times the time of one pass over memory, but logarithmic in the length of the longest segment, where a loop over time
steps is linear in it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.kernels.associative_scan import affine, associative_scan
from structnet.structures import Segments


def segment_scan(
    gate: Tensor, x: Tensor, ptr: Tensor, initial: Tensor | None = None, reverse: bool = False, log_gate: bool = False
) -> Tensor:
    segments = Segments.trusted(ptr)
    gate = gate.exp() if log_gate else gate
    gate = gate.repeat_interleave(x.shape[1] // gate.shape[1], 1)
    first = (ptr[1:] - 1 if reverse else ptr[:-1])[segments.lengths > 0]
    if initial is not None:
        x = x.index_add(0, first, gate[first] * initial[segments.lengths > 0])
    # the gate of a first row acts on nothing from here on; 1 keeps an infinite one from turning 0 * inf into NaN
    gate = gate.index_fill(0, first, 1.0)
    return associative_scan(affine, (gate, x), segments, reverse)[1]


def backward(
    grad: Tensor, gate: Tensor, h: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool, log_gate: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """dx is the scan of the gradient the other way round with gates moved by one row; the rest follows from it."""
    segments = Segments.trusted(ptr)
    gate = gate.exp() if log_gate else gate
    filled = segments.lengths > 0
    start, stop = ptr[:-1][filled], ptr[1:][filled] - 1
    first, last = (stop, start) if reverse else (start, stop)
    step = -1 if reverse else 1
    ahead = torch.roll(gate, -step, 0).index_fill(0, last, 1.0)
    dx = segment_scan(ahead, grad, ptr, None, not reverse)
    before = torch.roll(h, step, 0).index_fill(0, first, 0.0)
    if initial is not None:
        before = before.index_copy(0, first, initial[filled])
    dgate = (dx * before).unflatten(1, (gate.shape[1], -1)).sum(-1)
    if log_gate:
        dgate = gate * dgate
    if initial is None:
        return dgate, dx, h.new_empty(0, h.shape[1])
    wide = gate.repeat_interleave(h.shape[1] // gate.shape[1], 1)
    dinitial = torch.zeros_like(initial).index_put((filled.nonzero().flatten(),), wide[first] * dx[first])
    return dgate, dx, dinitial
