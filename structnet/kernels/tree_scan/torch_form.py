"""The same in torch's own operations: level by level, or as rounds of segmented scans along heavy paths."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.kernels.block_scan import block_scan
from structnet.kernels.segment_reduce import segment_reduce
from structnet.kernels.segment_scan import segment_scan
from structnet.structures import Segments, Tree


def levels(tree: Tree) -> tuple[list[Tensor], list[int]]:
    """Layout and marks of `by_levels`, kept on the tree."""
    if "tree_scan" not in tree.cache:
        height = torch.from_numpy(tree.heights).to(tree.device)[tree.source]
        counts = torch.bincount(height, minlength=1).cumsum(0)  # level 0 has no children
        tree.cache["tree_scan"] = [tree.child_index[height.argsort(stable=True)]], counts.tolist()
    return tree.cache["tree_scan"]


def by_levels(
    weight: Tensor, x: Tensor, links: list[Tensor], layout: list[Tensor], marks: list[int], downwards: bool,
    h: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """`layout`: the rows that are children, by height of their parents; `marks`: where each height begins.

    One `index_add_` a level: best where levels are few and wide."""
    parent, out = links[0], x.clone()
    wide = weight.repeat_interleave(x.shape[1] // weight.shape[1], 1)
    levels = list(zip(marks, marks[1:]))
    for first, last in reversed(levels) if downwards else levels:
        child = layout[0][first:last]
        above = parent[child]
        if downwards:
            out.index_add_(0, child, wide[child] * out[above])
        else:
            out.index_add_(0, above, wide[child] * out[child])
    return out, None if h is None else edge_products(out, h, parent, weight.shape[1], downwards)


def by_paths(
    weight: Tensor, x: Tensor, links: list[Tensor], layout: list[Tensor], marks: list[int], downwards: bool,
    h: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """`layout`, `marks`: of `HeavyPaths`. At most log2 N + 1 rounds, whatever the height."""
    out = rounds(weight, x, layout, marks, downwards)
    return out, None if h is None else edge_products(out, h, links[0], weight.shape[1], downwards)


def rounds(weight: Tensor, x: Tensor, layout: list[Tensor], marks: list[int], downwards: bool) -> Tensor:
    """Made of differentiable operations. Weights may be blocks: `weight` `[N, H, d, d]`, `x` `[N, H, d]`."""
    scan = block_scan if weight.dim() == 4 else segment_scan
    rows, place, ptr, fan = layout
    paths, starts = marks[: len(marks) // 2], marks[len(marks) // 2 :]
    count = len(paths) - 1
    w, parts = weight[rows], list(x[rows].split([b - a for a, b in zip(starts, starts[1:])]))
    below = torch.roll(w, 1, 0)  # going up, a row takes the weight of the row before it
    for r in reversed(range(count)) if downwards else range(count):
        first, last = starts[r], starts[r + 1]
        segments = Segments.trusted(ptr[paths[r] : paths[r + 1] + 1] - first)
        tops = segments.ptr[1:] - 1
        hangs = fan[last : starts[r + 2] + 1] - paths[r] if r + 1 < count else fan[:0]  # this round's paths, by parent
        if downwards:
            initial = None
            if r + 1 < count:
                initial = parts[r + 1].repeat_interleave(hangs.diff(), 0, output_size=len(tops))
            parts[r] = scan(w[first:last], parts[r], segments, initial, True)
        else:
            parts[r] = scan(below[first:last], parts[r], segments)
            if r + 1 < count:
                sent = times(w[first:last][tops], parts[r][tops])
                arrived = segment_reduce(sent.flatten(1), Segments.trusted(hangs))
                parts[r + 1] = parts[r + 1] + arrived.view_as(parts[r + 1])
    return torch.cat(parts)[place]


def times(weight: Tensor, state: Tensor) -> Tensor:
    if weight.dim() == 4:
        return torch.matmul(weight, state.unsqueeze(-1)).squeeze(-1)
    return weight.repeat_interleave(state.shape[1] // weight.shape[1], 1) * state


def edge_products(out: Tensor, h: Tensor, parent: Tensor, gates: int, downwards: bool) -> Tensor:
    """The gradient of the weights: of each row the product of the two ends of the edge above it, zero for roots."""
    product = out[parent] * h if downwards else out * h[parent]
    root = parent == torch.arange(len(parent), device=parent.device)
    product = torch.where(root[:, None], 0.0, product)
    return product.unflatten(1, (gates, -1)).sum(-1)
