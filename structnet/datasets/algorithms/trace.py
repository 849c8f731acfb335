"""What a run of a classical algorithm looks like as data: the format of CLRS-30 (Velickovic et al., 2022)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

Array = np.ndarray
STAGES, LOCATIONS = ("input", "hint", "output"), ("node", "edge", "graph")
KINDS = ("scalar", "categorical", "mask", "mask_one", "pointer")


class Probe(NamedTuple):
    """Where a quantity comes in (stage), where it lives (location) and what it is (kind).

    Data of one sample: scalar and mask `[n]` (node), `[n, n]` (edge) or `[]` (graph); mask_one a one-hot `[n]`;
    categorical one-hot along an extra last axis; pointer the index of a node.
    """

    stage: str
    location: str
    kind: str


Spec = dict[str, Probe]


@dataclass
class Trace:
    """One run: inputs, outputs, and hints with time first, `[T, ...]`."""

    inputs: dict[str, Array]
    outputs: dict[str, Array] = field(default_factory=dict)
    steps: list[dict[str, Array]] = field(default_factory=list)

    def step(self, **hints) -> None:
        """Note the state of the algorithm (copied)."""
        self.steps.append({name: np.array(value, dtype=_dtype(value)) for name, value in hints.items()})

    @property
    def hints(self) -> dict[str, Array]:
        return {name: np.stack([step[name] for step in self.steps]) for name in self.steps[0]}

    @property
    def length(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Algorithm:
    """Its probes, and `sample(rng, n)`, one run on a random input of n nodes."""

    spec: Spec
    sample: Callable[[np.random.Generator, int], Trace]

    def probes(self, stage: str) -> dict[str, Probe]:
        return {name: probe for name, probe in self.spec.items() if probe.stage == stage}


def spec(inputs: str = "", hints: str = "", outputs: str = "") -> Spec:
    """Probes from lines such as "pos node scalar, key node scalar"."""
    found: Spec = {}
    for stage, text in zip(STAGES, (inputs, hints, outputs)):
        for entry in filter(None, (part.strip() for part in text.split(","))):
            name, location, kind = entry.split()
            assert location in LOCATIONS and kind in KINDS, entry
            found[name] = Probe(stage, location, kind)
    return found


def positions(n: int) -> Array:
    return np.arange(n) / n


def one(i: int, n: int) -> Array:
    """One-hot `[n]`."""
    return np.eye(n)[i]


def one_hot(classes: Array, count: int) -> Array:
    return np.eye(count)[np.asarray(classes, int)]


def chain(order: Array) -> Array:
    """An order of nodes as pointers, each to the one before it, the first to itself."""
    pointer = np.empty(len(order), np.int64)
    pointer[order] = np.concatenate([order[:1], order[:-1]])
    return pointer


def _dtype(value):
    return np.int64 if np.asarray(value).dtype.kind == "i" else np.float64
