"""Scan with any associative, differentiable operator, in logarithmic depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.schedules.odd_even import OddEvenLevel, odd_even_levels
from structnet.structures import Segments

Elements = tuple[Tensor, ...]


def associative_scan(
    combine: Callable[[Elements, Elements], Elements], elements: Elements, segments: Segments, reverse: bool = False
) -> Elements:
    """Prefixes `e_1, e_1 o e_2, e_1 o e_2 o e_3, ...` inside each segment.

    Args:
        combine: `combine(earlier, later)` on tuples of `[rows, ...]`, associative, row by row; it need not commute.
        elements: tuple of tensors `[N, ...]`, rows grouped by `segments`.
        reverse: suffixes instead, from the last row back: `combine` still gets (nearer the start of the scan, later).

    Returns tensors like `elements`. Empty segments have no rows and no result. Cost: 2 floor(log2(longest)) calls of
    `combine` on at most 2 (N - S) rows in all (S: segments that have rows). Nothing is ever combined across segments,
    so NaN or Inf in one cannot reach another. Only differentiable tensor operations: every gradient, and the gradient
    of the gradient, by autograd.

    Source: Blelloch, "Prefix Sums and Their Applications", 1990 (the odd-even recursion); segments by schedule instead
    of flags.
    """
    for element in elements:
        if len(element) != segments.num_rows:
            raise StructureError(f"{segments.num_rows} rows in every element", f"{len(element)}", "matching ptr")
    if reverse:
        flip = _flipped(segments)
        flipped = associative_scan(combine, _take(elements, flip), segments)
        return _take(flipped, flip)
    levels, place = odd_even_levels(segments)
    return _take(_prefixes(combine, elements, levels), place)


def _prefixes(combine, x: Elements, levels: Sequence[OddEvenLevel]) -> Elements:
    """In the order that `OddEvenLevel` describes."""
    if not levels:
        return x
    level, *rest = levels
    ahead = _prefixes(combine, combine(_take(x, level.left), _take(x, level.right)), rest)
    filled = combine(_take(ahead, level.before), _take(x, level.even))
    return tuple(torch.cat(parts) for parts in zip(ahead, filled, _take(x, level.first)))


def _take(x: Elements, rows: Tensor) -> Elements:
    return tuple(t.index_select(0, rows) for t in x)


def _flipped(segments: Segments) -> Tensor:
    """Row order with every segment turned round; its own inverse."""
    if "flipped" not in segments.cache:
        first, last = segments.ptr[:-1], segments.ptr[1:]
        rows = torch.arange(segments.num_rows, device=segments.device)
        segments.cache["flipped"] = (first + last - 1)[segments.index] - rows
    return segments.cache["flipped"]


def affine(earlier: Elements, later: Elements) -> Elements:
    """(a, b) o (a', b') = (a a', a' b + b'): prefixes of h -> a h + b."""
    return earlier[0] * later[0], later[0] * earlier[1] + later[1]


def attention(earlier: Elements, later: Elements) -> Elements:
    """(m, s, v): running maximum of the logits, sum of exp(logit - m), and sum of exp(logit - m) * value.

    The softmax attention of every prefix is v / s: attention as a monoid (Feng et al., "Attention as an RNN", 2024).
    """
    top = torch.maximum(earlier[0], later[0])
    old, new = (earlier[0] - top).exp(), (later[0] - top).exp()
    return top, old * earlier[1] + new * later[1], old * earlier[2] + new * later[2]
