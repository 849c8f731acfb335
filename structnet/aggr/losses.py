"""Auxiliary losses of learned monoids, collected where they are asked for and nowhere else.

with collect_losses() as losses:
    out = model(x, edge_index)
loss = criterion(out) + losses.total(associativity=1.0, identity=0.1)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor

from structnet.errors import StructureError


@dataclass
class Losses:
    """What the aggregators called inside `collect_losses` had to say: name -> one scalar per call."""

    values: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, name: str, value: Tensor) -> None:
        self.values.setdefault(name, []).append(value)

    def mean(self, name: str) -> Tensor:
        """Mean over the calls.

        Raises:
            StructureError: no aggregator reported a loss of this name.
        """
        if name not in self.values:
            known = ", ".join(self.values) or "none"
            raise StructureError(f"a loss out of {known}", repr(name), "LCMAggregation, called inside collect_losses()")
        return torch.stack(self.values[name]).mean()

    def total(self, **weights: float) -> Tensor:
        """Weighted sum of the means, e.g. `total(associativity=1.0)`."""
        return torch.stack([weight * self.mean(name) for name, weight in weights.items()]).sum()


_open: ContextVar[Losses | None] = ContextVar("losses", default=None)


@contextmanager
def collect_losses() -> Iterator[Losses]:
    """Aggregators called inside compute their auxiliary losses and add them here. Not inside `torch.compile`."""
    token = _open.set(Losses())
    try:
        yield _open.get()  # type: ignore[misc]
    finally:
        _open.reset(token)


def open_losses() -> Losses | None:
    """Where to report losses, None if nobody asks."""
    return None if torch.compiler.is_compiling() else _open.get()
