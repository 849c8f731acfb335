"""What all kernels on segments share: checks at the door, and the choice of the form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.native import library
from structnet.structures import Segments

NATIVE_DTYPES = {torch.float32: "f32", torch.float64: "f64"}


def as_ptr(segments: Segments | Tensor, rows: int, device: torch.device) -> Tensor:
    """The int64 pointer of `segments` (a `Segments` or a pointer tensor), checked against the rows it must cover."""
    owner = segments if isinstance(segments, Segments) else Segments(segments)
    if owner.num_rows != rows:
        raise StructureError(f"segments over {rows} rows", f"{owner.num_rows}", "ptr[-1] == len(x)")
    if owner.device != device:
        raise StructureError(f"segments on {device}", str(owner.device), f"segments.to('{device}')")
    return owner.ptr


def compiled_for(x: Tensor) -> str | None:
    """Suffix of the compiled form for `x`, or None where torch (or Triton) must do the work: the C++ forms take float32
    and float64 on the CPU and are at the memory limit there; other types and devices have none."""
    if x.device.type != "cpu" or x.dtype not in NATIVE_DTYPES or library() is None:
        return None
    return NATIVE_DTYPES[x.dtype]


def triton_for(x: Tensor) -> bool:
    """Whether the Triton form serves `x`: on a GPU, when Triton is installed."""
    if x.device.type != "cuda":
        return False
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True


def gradients(
    call: Callable[..., Sequence[Tensor]], tensors: Sequence[Tensor | None], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Gradients for `tensors` (None where there is none) of `call(*tensors)`, differentiable operations whose results
    receive `grads`. With a backward pass for `call`: the gradient of a gradient."""
    inputs = [None if t is None else t.detach().requires_grad_() for t in tensors]
    with torch.enable_grad():
        pairs = [(o, g) for o, g in zip(call(*inputs), grads) if g is not None and o.requires_grad]
        wanted = [t for t in inputs if t is not None]
        made = iter(torch.autograd.grad([o for o, _ in pairs], wanted, [g for _, g in pairs], allow_unused=True))
    return [None if t is None else next(made) for t in inputs]
