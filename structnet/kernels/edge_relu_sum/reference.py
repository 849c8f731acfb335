"""The specification: a loop that can be checked by eye."""

from __future__ import annotations

import torch
from torch import Tensor


def edge_relu_sum(source: Tensor, target: Tensor, edge: Tensor | None, sender: Tensor, ptr: Tensor) -> Tensor:
    """`out_j = sum over e in ptr[j] .. ptr[j + 1] - 1 of relu(source[sender[e]] + target[j] + edge[e])`."""
    rows = []
    for j in range(len(ptr) - 1):
        total = torch.zeros_like(target[j])
        for e in range(int(ptr[j]), int(ptr[j + 1])):
            total = total + (source[sender[e]] + target[j] + (0 if edge is None else edge[e])).relu()
        rows.append(total)
    return torch.stack(rows) if rows else target.clone()
