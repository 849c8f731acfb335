"""The first number that is not finite, with the module that made it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from structnet.tasks.task import Batch


class Diverged(RuntimeError):
    """Training met NaN or Inf and was told to stop."""


def first_bad_module(model: nn.Module, batches: Iterable[Batch]) -> str:
    """Name of the first module whose output is not finite when the batches are run again; "the loss or its gradient" if
    every module's output is."""
    found: list[str] = []

    def watch(name: str):
        def hook(module: nn.Module, inputs, output) -> None:
            if not found and any(not bool(t.isfinite().all()) for t in _tensors(output)):
                found.append(name or type(module).__name__)

        return hook

    bad_weights = [name for name, p in model.named_parameters() if not bool(p.isfinite().all())]
    handles = [module.register_forward_hook(watch(name)) for name, module in model.named_modules()]
    try:
        with torch.no_grad():
            for batch in batches:
                model(*batch.inputs)
    finally:
        for handle in handles:
            handle.remove()
    where = found[0] if found else "the loss or its gradient"
    return f"{where} (weights not finite: {', '.join(bad_weights)})" if bad_weights else where


def _tensors(output) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    return [t for part in output for t in _tensors(part)] if isinstance(output, (tuple, list)) else []
