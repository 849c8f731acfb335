"""Segmented scans and reductions, rows x 64 cut into segments in four ways, beside torch's and PyG's own forms.

"fresh" outputs are what a call gives; "given" ones are written again and again, without page faults.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.utils import scatter
from torch_geometric.utils import softmax as pyg_softmax

from bench.registry import Case, Form, measure
from structnet.kernels import block_scan, segment_reduce, segment_scan
from structnet.kernels.associative_scan import affine, op
from structnet.kernels.block_scan import torch_form as block_torch
from structnet.kernels.segment_scan import cpu, torch_form
from structnet.native import library
from structnet.schedules.odd_even import odd_even_levels
from structnet.structures import Segments

ROWS, WIDTH = 1_000_000, 64
BYTES = ROWS * WIDTH * 4
SHAPES = ("log-normal", "power-law", "one giant", "many tiny")
SCAN, REDUCE = "tests/kernels/test_segment_scan.py", "tests/kernels/test_segment_reduce.py"
BLOCKS = "tests/kernels/test_block_scan.py"


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
    return {f"torch.compile of {name}": torch.compile(call)} if shutil.which("g++") or shutil.which("clang++") else {}


def compiled_scan(gate: Tensor, x: Tensor, segments: Segments) -> dict[str, Form]:
    """The odd-even recursion, compiled for these very segments (its schedule is made beforehand)."""
    gate = gate.index_fill(0, segments.ptr[:-1][segments.lengths > 0], 1.0)
    levels = odd_even_levels(segments)
    return compiled("odd-even recursion", lambda: op._scan(affine, (gate, x), levels, 0)[1])


def private_scan(gate: Tensor, x: Tensor, segments: Segments) -> Form | None:
    """torch's unreleased scan; gates of first rows are 0 (it knows no segments)."""
    try:
        from torch._higher_order_ops.associative_scan import associative_scan
    except ImportError:
        return None
    folded = gate.index_fill(0, segments.ptr[:-1], 0.0)
    return lambda: associative_scan(affine, (folded, x), 0, combine_mode="generic")[1]


def scan(shape: str, rows: int = ROWS) -> Case:
    segments = lengths(shape, rows)
    gate, x = torch.rand(rows, WIDTH), torch.randn(rows, WIDTH)
    forms: dict[str, Form] = {"structnet segment_scan, fresh": lambda: segment_scan(gate, x, segments)}
    if library() is not None:
        out = torch.zeros_like(x)
        forms["structnet segment_scan, given"] = lambda: cpu.forward("f32", gate, x, segments.ptr, None, False, out=out)
    forms["torch, odd-even recursion"] = lambda: torch_form.segment_scan(gate, x, segments.ptr)
    private = private_scan(gate, x, segments)
    if private is not None:
        forms["torch's private associative_scan"] = private
    forms |= compiled_scan(gate, x, segments)
    return Case(forms, agree(forms), 3 * x.nbytes, rows, describe(shape, segments))


def scan_backward(shape: str, rows: int = ROWS) -> Case:
    segments = lengths(shape, rows)
    gate, x = torch.rand(rows, WIDTH, requires_grad=True), torch.randn(rows, WIDTH, requires_grad=True)
    cotangent = torch.randn(rows, WIDTH)
    call = gradients(lambda: segment_scan(gate, x, segments), [gate, x], cotangent)
    forms: dict[str, Form] = {"structnet segment_scan, fresh": call}
    if library() is not None:
        out, h = (torch.zeros_like(x), torch.zeros_like(x)), segment_scan(gate, x, segments).detach()
        arguments = (cotangent, gate.detach(), h, segments.ptr, None, False)
        forms["structnet segment_scan, given"] = lambda: cpu.backward("f32", *arguments, out=out)[:2]
    return Case(forms, agree(forms), 5 * x.nbytes, rows, describe(shape, segments))


def blocks(shape: str, rows: int = ROWS // 4) -> Case:
    """16 heads of 4 x 4 blocks."""
    segments = lengths(shape, rows)
    transition, x = torch.randn(rows, 16, 4, 4) / 4, torch.randn(rows, 16, 4)
    forms: dict[str, Form] = {
        "structnet block_scan": lambda: block_scan(transition, x, segments),
        "torch, odd-even recursion": lambda: block_torch.block_scan(transition, x, segments.ptr),
    }
    return Case(forms, agree(forms), transition.nbytes + 2 * x.nbytes, rows, describe(shape, segments))


def softmax(shape: str, rows: int = ROWS) -> Case:
    segments, x = lengths(shape, rows), torch.randn(rows, WIDTH)
    forms: dict[str, Form] = {name: lambda f=form: f(x) for name, form in softmaxes(segments).items()}
    forms |= compiled("the composite", forms["torch composite"])
    return Case(forms, agree(forms), 2 * x.nbytes, rows, describe(shape, segments))


def softmax_both(shape: str, rows: int = ROWS) -> Case:
    """Forward and backward."""
    segments, cotangent = lengths(shape, rows), torch.randn(rows, WIDTH)
    x = torch.randn(rows, WIDTH, requires_grad=True)
    forms: dict[str, Form] = {
        name: lambda f=form: torch.autograd.grad(f(x), x, cotangent)[0] for name, form in softmaxes(segments).items()
    }
    return Case(forms, agree(forms), 5 * x.nbytes, rows, describe(shape, segments))


def softmaxes(segments: Segments) -> dict[str, Callable[[Tensor], Tensor]]:
    index, count = segments.index, len(segments)

    def native(x: Tensor) -> Tensor:
        wide = index[:, None].expand_as(x)
        top = x.new_full((count, WIDTH), -torch.inf).scatter_reduce(0, wide, x.detach(), "amax")
        e = (x - top.index_select(0, index)).exp()
        return e / e.new_zeros(top.shape).index_add(0, index, e).index_select(0, index)

    forms: dict[str, Callable[[Tensor], Tensor]] = {
        "structnet segment_reduce": lambda x: segment_reduce(x, segments, "softmax"),
        "torch composite": native,
        "PyG softmax(index)": lambda x: pyg_softmax(x, index, num_nodes=count),
        "PyG softmax(ptr)": lambda x: pyg_softmax(x, ptr=segments.ptr),
    }
    torch_scatter = peer("torch_scatter")
    if torch_scatter is not None:
        forms["torch_scatter scatter_softmax"] = lambda x: torch_scatter.scatter_softmax(x, index, 0)
    return forms


def maximum(shape: str, rows: int = ROWS) -> Case:
    """Ours without the winning rows, and with them as where a gradient is wanted; of the peers only torch_scatter finds
    them, where it is installed."""
    segments, x = lengths(shape, rows), torch.randn(rows, WIDTH)
    forms: dict[str, Form] = {name: lambda f=form: f(x) for name, form in maxima(segments).items()}
    forms["structnet, with argmax"] = lambda: torch.ops.structnet.segment_reduce(x, segments.ptr, "max")[0]
    forms |= compiled("scatter_reduce", forms["torch scatter_reduce, no argmax"])
    return Case(forms, agree(forms), x.nbytes, rows, describe(shape, segments))


def maximum_both(shape: str, rows: int = ROWS) -> Case:
    """Forward and backward, where the peers without an argmax must find it again. No ties, which each shares out in a
    way of its own (`scatter_reduce` even with its zero start): the columns are permutations of 1, 2, ..."""
    segments = lengths(shape, rows)
    x = torch.stack([1.0 + torch.randperm(rows) for _ in range(WIDTH)], 1).requires_grad_()
    cotangent = torch.randn(len(segments), WIDTH)
    forms: dict[str, Form] = {
        name: lambda f=form: torch.autograd.grad(f(x), x, cotangent)[0] for name, form in maxima(segments).items()
    }
    return Case(forms, agree(forms), 2 * x.nbytes, rows, describe(shape, segments))


def maxima(segments: Segments) -> dict[str, Callable[[Tensor], Tensor]]:
    index = segments.index
    wide = index[:, None].expand(-1, WIDTH)

    def native(x: Tensor) -> Tensor:
        return x.new_zeros(len(segments), WIDTH).scatter_reduce(0, wide, x, "amax", include_self=False)

    forms = {
        "structnet segment_reduce": lambda x: segment_reduce(x, segments, "max"),
        "torch scatter_reduce, no argmax": native,
        "torch.segment_reduce, no argmax": lambda x: torch.segment_reduce(x, "max", lengths=segments.lengths),
        "PyG scatter, no argmax": lambda x: scatter(x, index, 0, len(segments), "max"),
    }
    torch_scatter = peer("torch_scatter")
    if torch_scatter is not None:
        forms["torch_scatter segment_csr"] = lambda x: torch_scatter.segment_max_csr(x, segments.ptr)[0]
    return forms


def total(shape: str, rows: int = ROWS) -> Case:
    segments, x = lengths(shape, rows), torch.randn(rows, WIDTH)

    def native() -> Tensor:
        return x.new_zeros(len(segments), WIDTH).index_add_(0, segments.index, x)

    forms: dict[str, Form] = {
        "structnet segment_reduce": lambda: segment_reduce(x, segments),
        "torch index_add_": native,
        "torch.segment_reduce": lambda: torch.segment_reduce(x, "sum", lengths=segments.lengths),
        **compiled("index_add_", native),
    }
    torch_scatter = peer("torch_scatter")
    if torch_scatter is not None:
        forms["torch_scatter segment_csr"] = lambda: torch_scatter.segment_sum_csr(x, segments.ptr)
    # up to 1M float32 terms in another order
    return Case(forms, agree(forms, 0.05), x.nbytes, rows, describe(shape, segments))


def peer(name: str):
    """A package that may not be installed."""
    try:
        return __import__(name)
    except ImportError:
        return None


CASES = {
    "scan": (scan, SCAN),
    "scan-backward": (scan_backward, SCAN),
    "blocks": (blocks, BLOCKS),
    "softmax": (softmax, REDUCE),
    "softmax-both": (softmax_both, REDUCE),
    "max": (maximum, REDUCE),
    "max-both": (maximum_both, REDUCE),
    "sum": (total, REDUCE),
}
for _name, (_setup, _tests) in CASES.items():
    for _shape in SHAPES:
        measure(f"segment/{_name}/{_shape.replace(' ', '-')}", _tests, repeats=3)(lambda f=_setup, s=_shape: f(s))
    for _rows in (1_000, 10_000, 100_000):
        measure(f"sizes/{_name}/{_rows}", _tests, repeats=5)(lambda f=_setup, n=_rows: f("power-law", n))
