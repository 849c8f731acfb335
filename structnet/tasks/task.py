"""What a task is: what is given, what is asked, how it is marked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Some samples, flat and ragged.

    Attributes:
        inputs: positional arguments of the model (tensors, Segments, Tree, PyG data), each with `.to(device)`.
        target: what is asked.
        size: number of samples.
        keys: per-sample integers `[size]` to break results down by ("length", "depth", "givens").
    """

    inputs: tuple
    target: Any
    size: int
    keys: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.size

    def to(self, device: torch.device | str) -> Batch:
        inputs = tuple(None if part is None else part.to(device) for part in self.inputs)
        return Batch(inputs, self.target.to(device), self.size, self.keys)


@runtime_checkable
class Split(Protocol):
    """Rows of one split. `sizes` `[len]`: what a sample costs (tokens), to put like with like."""

    name: str
    sizes: Tensor

    def __len__(self) -> int: ...

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        """The samples `rows`. In training `generator` is given, and augmentation is a pure function of it."""
        ...

    # A split may have `lines(rows) -> list[str]`: rows as they stand in a file of the task (`evaluate --wrong`).


class Task(Protocol):
    """A data set and what is asked of it.

    Attributes:
        name: as on the command line.
        train, validation: names of the splits that a run is fitted and chosen on.
        splits: all splits in the order of the table.
        in_range: splits that lie inside the training range (shaded in pictures).
        chance: accuracy of a guess.
    """

    name: str
    train: str
    validation: str
    splits: tuple[str, ...]
    in_range: frozenset[str]
    chance: float

    def split(self, name: str) -> Split: ...

    def from_file(self, path: str | Path) -> Split:
        """A user's file in the task's original format."""
        ...

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Mean over the samples; `output` is what the model returned for `batch.inputs`."""
        ...

    def score(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """Per-sample numbers `[size]`; the first is the headline. `summary` turns all of a split into figures."""
        ...

    def summary(self, scores: dict[str, Tensor], keys: dict[str, Tensor]) -> dict[str, float]: ...


def mean_scores(scores: dict[str, Tensor], keys: dict[str, Tensor]) -> dict[str, float]:
    """The usual `summary`: the mean of each score."""
    return {name: float(value.double().mean()) for name, value in scores.items()}
