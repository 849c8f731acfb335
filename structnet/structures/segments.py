"""Ragged groups of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.structures.checks import as_index, check_ptr


@dataclass(frozen=True, eq=False)
class Segments:
    """S ragged groups over N consecutive rows: segment s holds rows `ptr[s] .. ptr[s + 1] - 1`.

    The library's picture of sets, sequences and neighbourhoods. Nothing is padded; an empty segment is a segment.

    Args:
        ptr: int64 `[S + 1]`, starts at 0, never decreases (int32 is widened).

    Raises:
        StructureError: wrong dtype, start or order.

    `cache` keeps what is derived from the structure (schedules, chunk borders), so it is built once.
    """

    ptr: Tensor
    cache: dict = field(default_factory=dict, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "ptr", as_index(self.ptr, "ptr"))
        check_ptr(self.ptr, "ptr")

    @classmethod
    def trusted(cls, ptr: Tensor) -> Segments:
        """Without checks: for pointers that the library itself has just built."""
        self = object.__new__(cls)
        object.__setattr__(self, "ptr", ptr)
        object.__setattr__(self, "cache", {})
        return self

    @classmethod
    def from_lengths(cls, lengths: Tensor | Sequence[int]) -> Segments:
        """From the number of rows of each segment, `[S]`; a list will do."""
        given = torch.as_tensor(lengths)
        if not isinstance(lengths, Tensor) and not given.numel():
            given = given.long()  # an empty list has no type of its own
        lengths = as_index(given, "lengths")
        if lengths.numel() and int(lengths.min()) < 0:
            raise StructureError("lengths >= 0", f"{int(lengths.min())}", "lengths.clamp(min=0)")
        return cls.trusted(torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]))

    @classmethod
    def from_index(cls, index: Tensor, num_segments: int | None = None) -> Segments:
        """From the segment of each row, `[N]`, sorted. `num_segments` may exceed the largest entry."""
        index = as_index(index, "index")
        if index.numel() and int(index.diff().min() if index.numel() > 1 else 0) < 0:
            raise StructureError("a sorted index", "an entry below the one before it", "x[index.argsort(stable=True)]")
        size = int(index[-1]) + 1 if index.numel() else 0
        total = size if num_segments is None else num_segments
        if total < size or (index.numel() and int(index[0]) < 0):
            raise StructureError(f"index between 0 and {total - 1}", f"{int(index[0])} .. {size - 1}", "a larger size")
        return cls.from_lengths(torch.bincount(index, minlength=total))

    @cached_property
    def lengths(self) -> Tensor:
        return self.ptr.diff()

    @cached_property
    def index(self) -> Tensor:
        """Segment of each row, int64 `[N]`."""
        ids = torch.arange(self.num_segments, device=self.device)
        return torch.repeat_interleave(ids, self.lengths, output_size=self.num_rows)

    @cached_property
    def num_rows(self) -> int:
        return int(self.ptr[-1])

    @cached_property
    def max_length(self) -> int:
        return int(self.lengths.max()) if self.num_segments else 0

    @property
    def num_segments(self) -> int:
        return self.ptr.numel() - 1

    @property
    def device(self) -> torch.device:
        return self.ptr.device

    def __len__(self) -> int:
        return self.num_segments

    def to(self, device: torch.device | str) -> Segments:
        return self if self.device == torch.device(device) else Segments.trusted(self.ptr.to(device))
