"""Which row belongs to which set: sorted once per graph and kept as long as the index lives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from structnet.errors import StructureError
from structnet.structures import Segments
from structnet.structures.checks import as_index, check_range


@dataclass(frozen=True, eq=False)
class Groups:
    """Rows of sets in any order: `x[order]` (x itself if `order` is None) is grouped by `segments`, in order."""

    segments: Segments
    order: Tensor | None = None

    def sorted(self, x: Tensor) -> Tensor:
        return x if self.order is None else x.index_select(0, self.order)

    def unsorted(self, x: Tensor) -> Tensor:
        if self.order is None:
            return x
        back = torch.empty_like(x)
        back[self.order] = x
        return back


# owner of the index's memory -> (version, {view and what of it is kept: groups, or that it was checked});
# `edge_index[1]` is a new view in every layer
_KEPT: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def group(index: Tensor | None, ptr: Tensor | None, size: int) -> Groups:
    """The sets that `index` `[N]` (any order) or `ptr` `[size + 1]` describe; built once for an unchanged tensor.

    Raises:
        StructureError: an entry outside 0 .. size - 1, or a pointer that is none.
    """
    if ptr is not None:  # what is kept must not hold its own key, or it would live for ever
        return _kept(ptr, size, lambda: Groups(Segments(ptr.clone())))
    assert index is not None
    return _kept(index, size, lambda: _from_index(index, size))


def check(index: Tensor | None, ptr: Tensor | None, size: int, rows: int) -> None:
    """`index` or `ptr` describes `size` sets of `rows` rows; looked at once for an unchanged tensor.

    Raises:
        StructureError: an entry outside 0 .. size - 1, a pointer that is none, or another number of rows.
    """

    tensor = index if ptr is None else ptr
    assert tensor is not None

    def look() -> None:
        if ptr is None:
            check_range(as_index(tensor, "index"), size, "index", "a larger dim_size")
        covered = len(tensor) if ptr is None else Segments(ptr).num_rows
        if covered != rows:
            raise StructureError(f"sets of the {rows} rows of x", f"of {covered}", "index or ptr[-1] as long as x")

    _kept(tensor, (size, rows), look)


def _from_index(index: Tensor, size: int) -> Groups:
    check_range(index, size, "index", "a larger dim_size")
    segments = Segments.from_lengths(torch.bincount(index, minlength=size))
    in_order = index.numel() < 2 or bool((index[1:] >= index[:-1]).all())
    return Groups(segments, None if in_order else index.argsort(stable=True))


def _kept(tensor: Tensor, what: Any, build: Callable[[], Any]) -> Any:
    if tensor.is_inference() or torch.is_inference_mode_enabled():  # no version to compare; what is built cannot train
        return build()
    owner = tensor if tensor._base is None else tensor._base
    key = (tensor.storage_offset(), tensor.stride(), tensor.shape, what)
    kept = _KEPT.get(owner)
    known = kept[1] if kept is not None and kept[0] == tensor._version else {}
    if key not in known:
        known[key] = build()
        _KEPT[owner] = (tensor._version, known)
    return known[key]
