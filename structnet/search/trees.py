"""The trees of beams, as `Tree`s."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.search.beams import Found
from structnet.structures import Segments, Tree


def beam_trees(found: Found, segments: Segments) -> Tree:
    """One binary tree per beam over the leaves of its sample. Rows of each: the n leaves, then the n - 1 inner nodes in
    the order in which the beam made them, the root last. Needs a search with `record`."""
    sample, beam = found.beams.index, found.merges.index
    leaves, merges = segments.lengths[sample], found.merges.lengths
    rows = Segments.from_lengths(leaves + merges)
    first_merge = rows.ptr[:-1] + leaves
    inner = first_merge[beam] + torch.arange(found.pair.numel(), device=beam.device) - found.merges.ptr[beam]

    pairs, first = found.left.numel(), segments.num_rows
    key, order = (beam * pairs + found.pair - first).sort()  # (beam, pair) -> merge

    def row_of(ids: Tensor) -> Tensor:
        place = torch.searchsorted(key, beam * pairs + ids - first).clamp(max=max(key.numel() - 1, 0))
        leaf = rows.ptr[beam] + ids - segments.ptr[sample[beam]]
        return torch.where(ids < first, leaf, inner[order[place]])

    made = found.pair - first
    children = torch.stack([row_of(found.left[made]), row_of(found.right[made])], 1)
    arity = torch.zeros(rows.num_rows, dtype=torch.int64, device=beam.device)
    arity[inner] = 2
    child_ptr = Segments.from_lengths(arity).ptr
    return Tree.trusted(child_ptr, children.flatten(), rows.ptr)
