"""What the cases on ragged rows share: rows x 64 cut into segments in four ways, and how their forms are made."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor

from bench.registry import Case, Form, measure
from structnet.structures import Segments

ROWS, WIDTH = 1_000_000, 64
BYTES = ROWS * WIDTH * 4
SHAPES = ("log-normal", "power-law", "one giant", "many tiny")


def lengths(shape: str, rows: int = ROWS) -> Segments:
    """Segments over `rows` rows, drawn with seed 0."""
    generator = torch.Generator().manual_seed(0)
    draws = {
        "log-normal": lambda: (4 + 1.2 * torch.randn(20_000, generator=generator)).exp(),
        "power-law": lambda: torch.rand(600_000, generator=generator).pow(-1 / 1.1),
        "one giant": lambda: torch.tensor([rows]),
        "many tiny": lambda: torch.randint(1, 6, (rows,), generator=generator),
    }
    drawn = draws[shape]().clamp(1, rows).long()
    end = drawn.cumsum(0)
    kept = end[end < rows]
    return Segments(torch.cat([torch.tensor([0]), kept, torch.tensor([rows])]))


def describe(shape: str, segments: Segments) -> str:
    rows = segments.num_rows
    return f"{rows:,} x {WIDTH} float32, {shape}: {len(segments)} segments, longest {segments.max_length}"


def gradients(call: Callable[[], Tensor], inputs: list[Tensor], cotangent: Tensor) -> Form:
    """The backward pass alone, through autograd."""
    out = call()
    return lambda: torch.autograd.grad(out, inputs, cotangent, retain_graph=True)


def agree(forms: dict[str, Form], tolerance: float = 2e-3) -> Callable[[], None]:
    def check() -> None:
        first, *others = (form() for form in forms.values())
        for other in others:
            torch.testing.assert_close(first, other, rtol=tolerance, atol=tolerance)

    return check


def compiled(name: str, call: Callable) -> dict[str, Form]:
    """`torch.compile` of a form as one more peer, where there is a C++ compiler for it."""
    if not (shutil.which("g++") or shutil.which("clang++")):
        return {}
    torch.compiler.reset()  # past a few shapes of the same function it would quietly run uncompiled
    return {f"torch.compile of {name}": torch.compile(call)}


def peer(name: str) -> ModuleType | None:
    """A package that may not be installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def register(cases: dict[str, tuple[Callable[..., Case], str]]) -> None:
    """`segment/NAME/SHAPE` at full size, and `sizes/NAME/ROWS` for a plot; `{name: (setup(shape, rows), tests)}`."""
    for name, (setup, tests) in cases.items():
        for shape in SHAPES:
            measure(f"segment/{name}/{shape.replace(' ', '-')}", tests, repeats=3)(lambda f=setup, s=shape: f(s))
        for rows in (1_000, 10_000, 100_000):
            measure(f"sizes/{name}/{rows}", tests, repeats=5)(lambda f=setup, n=rows: f("power-law", n))
