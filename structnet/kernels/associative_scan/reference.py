"""The definition, row by row."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Elements = tuple[Tensor, ...]


def associative_scan(
    combine: Callable[[Elements, Elements], Elements], elements: Elements, ptr: Tensor, reverse: bool = False
) -> Elements:
    """e_1, e_1 o e_2, (e_1 o e_2) o e_3, ... inside each segment, or from its last row back."""
    rows: list[Elements] = [elements] * len(elements[0])
    bounds = ptr.tolist()
    for first, end in zip(bounds, bounds[1:]):
        last = None
        for t in reversed(range(first, end)) if reverse else range(first, end):
            here = tuple(element[t : t + 1] for element in elements)
            last = here if last is None else combine(last, here)
            rows[t] = last
    return tuple(torch.cat(parts) for parts in zip(*rows)) if rows else elements
