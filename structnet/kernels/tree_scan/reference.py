"""The specification: one node after the other, by recursion on the definition."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.structures import Tree


def tree_scan(weight: Tensor, x: Tensor, tree: Tree, downwards: bool = False) -> Tensor:
    """`h_v = x_v + sum over children c of w_c h_c`, or downwards `h_v = x_v + w_v h_parent`."""
    weight = weight.repeat_interleave(x.shape[1] // weight.shape[1], 1)
    parent, order = tree.parent.tolist(), tree.heights.argsort(kind="stable").tolist()  # children first
    rows = [x[v] for v in range(len(x))]
    for v in reversed(order) if downwards else order:
        if parent[v] == v:
            continue
        if downwards:
            rows[v] = rows[v] + weight[v] * rows[parent[v]]
        else:
            rows[parent[v]] = rows[parent[v]] + weight[v] * rows[v]
    return torch.stack(rows) if rows else x.clone()
