"""Shared checks of pointer and index tensors: expected, got, try."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.errors import StructureError

INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def as_index(value: Tensor, name: str, device: torch.device | None = None) -> Tensor:
    """`value` as a contiguous one-dimensional int64 tensor; int32 is widened, anything else refused."""
    if not isinstance(value, Tensor):
        raise StructureError(
            f"{name} as a torch.Tensor", type(value).__name__, f"torch.as_tensor({name}, dtype=torch.int64)"
        )
    if value.dtype not in INTEGERS:
        nan = bool(value.isnan().any()) if value.is_floating_point() else False
        got = f"dtype {value.dtype}" + (" with NaN in it" if nan else "")
        raise StructureError(f"{name} of an integer dtype", got, f"{name}.to(torch.int64) of whole numbers")
    if value.dim() != 1:
        raise StructureError(f"{name} with one dimension", f"shape {tuple(value.shape)}", f"{name}.flatten()")
    if device is not None and value.device != device:
        raise StructureError(f"{name} on {device}", f"{value.device}", f"{name}.to('{device}')")
    return value.to(torch.int64).contiguous()


def check_ptr(ptr: Tensor, name: str, end: int | None = None) -> None:
    """`ptr` starts at 0, never decreases and (if given) ends at `end`."""
    if ptr.numel() == 0:
        raise StructureError(f"{name} with at least one entry", "an empty tensor", "torch.zeros(1) for no segments")
    if int(ptr[0]) != 0:
        raise StructureError(f"{name} to start at 0", f"{name}[0] = {int(ptr[0])}", f"{name} - {name}[0]")
    steps = ptr.diff()
    if steps.numel() and int(steps.min()) < 0:
        place = int((steps < 0).nonzero()[0])
        got = f"{name}[{place}] = {int(ptr[place])} > {name}[{place + 1}] = {int(ptr[place + 1])}"
        raise StructureError(f"{name} that never decreases", got, "the cumulative sum of the lengths")
    if end is not None and int(ptr[-1]) != end:
        raise StructureError(f"{name} to end at {end}", f"{name}[-1] = {int(ptr[-1])}", "one entry per row")


def check_range(index: Tensor, size: int, name: str, advice: str = "ids of rows that exist") -> None:
    """Every entry of `index` lies in 0 .. size - 1."""
    if index.numel() and (int(index.min()) < 0 or int(index.max()) >= size):
        place = int(((index < 0) | (index >= size)).nonzero()[0])
        raise StructureError(f"{name} between 0 and {size - 1}", f"{name}[{place}] = {int(index[place])}", advice)
