"""One registry: a case is an op, its peers, and a check that they agree.

All forms of a case run interleaved in one process (A B C A B C ...), so that a drift of the machine meets them all; the
figure is the median, with the fastest and slowest beside it. Right before a timed call the same form runs untimed, as
in a loop: what it finds in caches and in the allocator is what it left itself and not what a peer did. Nothing is timed
before its tests and its check have passed.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

Form = Callable[[], Any]
SLOW, LONG = 0.5, 20.0  # seconds of a call from which an untimed one before it, or a second one, is not worth its time


@dataclass
class Case:
    """What a setup function returns.

    Attributes:
        forms: ours first, then the peers; each runs the whole measured step.
        check: asserts that the forms agree.
        traffic: compulsory bytes of one call (read + written once); a copy of as many bytes runs beside the forms, into
            a fresh output and into a given one, and each form is compared with its like (names that end in "given").
        items: units of work of one call (trees, rows), for a rate.
        note: settings a reader needs.
    """

    forms: dict[str, Form]
    check: Callable[[], None]
    traffic: int = 0
    items: int = 0
    note: str = ""


@dataclass(frozen=True)
class Entry:
    name: str
    setup: Callable[[], Case]
    tests: str
    repeats: int = 7


CASES: dict[str, Entry] = {}


def measure(name: str, tests: str, repeats: int = 7) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    """Register a setup function under `area/name`; `tests` are the pytest targets that must pass before it is timed."""

    def register(setup: Callable[[], Case]) -> Callable[[], Case]:
        CASES[name] = Entry(name, setup, tests, repeats)
        return setup

    return register


@dataclass
class Timing:
    """CPU seconds and wall seconds of each repeat of one form."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.cpu)


@cache
def tests_pass(targets: str) -> bool:
    """Whether the tests of an op are green; a red one forbids the number."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", *targets.split()]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-2000:])
    return done.returncode == 0


def run(entry: Entry) -> tuple[Case, dict[str, Timing]]:
    case = entry.setup()
    case.check()
    forms = {**case.forms, **(copies(case.traffic) if case.traffic else {})}
    timings = {name: Timing() for name in forms}
    first = {name: timed(form, Timing()) for name, form in forms.items()}
    gc.collect()
    for _ in range(entry.repeats):
        for name, form in forms.items():
            if first[name].median > LONG:
                timings[name] = first[name]
                continue
            if first[name].median < SLOW:
                form()
            timed(form, timings[name])
    return case, timings


def timed(form: Form, timing: Timing) -> Timing:
    """One more call in `timing`."""
    cpu, wall = time.process_time(), time.perf_counter()
    form()
    timing.cpu.append(time.process_time() - cpu)
    timing.wall.append(time.perf_counter() - wall)
    return timing


def copies(traffic: int) -> dict[str, Form]:
    """Copies that read and write `traffic` bytes together."""
    source, target = torch.ones(traffic // 8), torch.zeros(traffic // 8)
    return {"copy, fresh": source.clone, "copy, given": lambda: target.copy_(source)}


def share_of_copy(form: str, timings: dict[str, Timing]) -> float | None:
    """Bandwidth of a form as a share of that of its copy in the same run."""
    copy = timings.get("copy, given" if form.endswith("given") else "copy, fresh")
    return None if copy is None else copy.median / timings[form].median


def copy_bandwidth(megabytes: int = 256, repeats: int = 9) -> dict[str, float]:
    """Bytes per second (read + written) of a copy into a given output and into a fresh one, in this very run."""
    source = torch.ones(megabytes * 2**18)
    target = torch.empty_like(source)
    forms = {"given": lambda: target.copy_(source), "fresh": lambda: source.clone()}
    best: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats):
        for name, form in forms.items():
            start = time.process_time()
            form()
            best[name].append(time.process_time() - start)
    return {name: 2 * source.numel() * 4 / statistics.median(times) for name, times in best.items()}


def keep(line: dict, path: Path) -> None:
    """Appended as soon as it is measured: a run that is stopped keeps what it has."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
