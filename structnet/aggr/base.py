"""What every aggregator of this library shares: PyG's calling convention, without padding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation

from structnet.aggr.groups import Groups, check, group
from structnet.structures import Segments


@dataclass(frozen=True)
class Sets:
    """Rows of sets as an aggregator is given them: `index` `[N]` in any order, or `ptr` `[size + 1]`."""

    index: Tensor | None
    ptr: Tensor | None
    size: int

    def groups(self) -> Groups:
        """Sorted segments, built once per index tensor; inside `torch.compile` without a look at the data."""
        if not torch.compiler.is_compiling():
            return group(self.index, self.ptr, self.size)
        if self.ptr is not None:
            return Groups(Segments.trusted(self.ptr))
        assert self.index is not None
        order = self.index.argsort(stable=True)
        bounds = torch.arange(self.size + 1, device=order.device)
        return Groups(Segments.trusted(torch.searchsorted(self.index[order], bounds)), order)

    def rows(self, num_rows: int) -> Tensor:
        """The set of each row, `[N]`."""
        if self.ptr is None:
            assert self.index is not None
            return self.index
        ids = torch.arange(self.size, device=self.ptr.device)
        return torch.repeat_interleave(ids, self.ptr.diff(), output_size=num_rows)


class SetAggregation(Aggregation):
    """A PyG `Aggregation` that sees each set alone.

    Called as `(x, index, ptr, dim_size, dim, max_num_elements)`: index unsorted (rows of a set keep their order), or
    ptr alone, leading dimensions, `dim_size` beyond the data. An empty set gives the identity. A set's value does not
    depend on the other sets of the batch; nothing is padded, and `max_num_elements` is not needed.

    Subclasses define `aggregate(x, sets)`: rows `[N, F]` to `[sets.size, F_out]`.

    Args:
        shuffle: in training, draw a new order of the rows of every set.

    Raises:
        StructureError: an index outside 0 .. dim_size - 1, a pointer that is none, or either for another number of rows
            (not looked at inside `torch.compile`).
    """

    def __init__(self, shuffle: bool = False):
        super().__init__()
        self.shuffle = shuffle

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
        max_num_elements: int | None = None,
    ) -> Tensor:
        x = x.movedim(dim, -2)
        leading, flat = x.shape[:-2], x.reshape(-1, x.shape[-1])
        assert dim_size is not None  # filled in by Aggregation.__call__
        index, ptr = (None if t is None else t.long() for t in (index, ptr))
        if not torch.compiler.is_compiling():
            check(index, ptr, dim_size, x.shape[-2])
        sets = _repeat(Sets(index, ptr, dim_size), leading.numel(), x.shape[-2])
        if self.shuffle and self.training:
            order = torch.randperm(flat.shape[0], device=flat.device)
            flat, sets = flat[order], Sets(sets.rows(flat.shape[0])[order], None, sets.size)
        out = self.aggregate(flat, sets)
        return out.reshape(*leading, dim_size, out.shape[-1]).movedim(-2, dim)

    def aggregate(self, x: Tensor, sets: Sets) -> Tensor:
        raise NotImplementedError


def _repeat(sets: Sets, copies: int, num_rows: int) -> Sets:
    """The same sets for each of `copies` leading entries, as one batch."""
    if copies == 1:
        return Sets(sets.index if sets.ptr is None else None, sets.ptr, sets.size)
    index = sets.rows(num_rows)
    offset = torch.arange(copies, device=index.device)[:, None] * sets.size
    return Sets((index + offset).flatten(), None, sets.size * copies)
