"""Linear recurrences with small dense blocks: `segment_scan` with matrices for gates."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.kernels.associative_scan.op import Elements, associative_scan
from structnet.kernels.ragged import as_ptr
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

    Returns `[N, H, d]`. Every gradient, of any order, by autograd. An empty segment leaves its initial state alone.
    NaN and Inf stay in their segment. Cost: 2 ceil(log2(longest)) levels, at most 2 (N - S) H products of d x d blocks.

    Raises:
        StructureError: shapes, types or devices that do not fit.
    """
    if x.dim() != 3 or transition.shape != (*x.shape, x.shape[-1]):
        got = f"transition {tuple(transition.shape)}, x {tuple(x.shape)}"
        raise StructureError("x [N, H, d] and transition [N, H, d, d]", got, "one head: x[:, None]")
    ptr = as_ptr(segments, len(x), x.device)
    owner = segments if isinstance(segments, Segments) else Segments.trusted(ptr)
    if initial is not None and initial.shape != (len(owner), *x.shape[1:]):
        expected = (len(owner), *x.shape[1:])
        raise StructureError(f"initial {expected}", str(tuple(initial.shape)), "one state a segment")
    if not x.numel():
        return x.clone()
    transition = transition.to(x.dtype)
    if initial is not None:
        filled = owner.lengths > 0
        first = (ptr[1:] - 1 if reverse else ptr[:-1])[filled]
        x = x.index_add(0, first, apply(transition[first], initial[filled]))
    return associative_scan(compose, (transition, x), owner, reverse)[1]


def compose(earlier: Elements, later: Elements) -> Elements:
    """(A, b) o (A', b') = (A' A, A' b + b'): prefixes of h -> A h + b."""
    return later[0] @ earlier[0], apply(later[0], earlier[1]) + later[1]


def apply(transition: Tensor, state: Tensor) -> Tensor:
    return torch.matmul(transition, state.unsqueeze(-1)).squeeze(-1)
