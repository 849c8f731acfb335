"""Segmented scan and reductions, 1M rows x 64 cut into segments in four ways, beside torch's and PyG's own forms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.utils import softmax as pyg_softmax

from bench.registry import Case, Form, measure
from structnet.kernels import segment_reduce, segment_scan
from structnet.kernels.segment_scan import torch_form
from structnet.structures import Segments

ROWS, WIDTH = 1_000_000, 64
BYTES = ROWS * WIDTH * 4
SCAN, REDUCE = "tests/kernels/test_segment_scan.py", "tests/kernels/test_segment_reduce.py"


def lengths(shape: str) -> Segments:
    """Segments over ROWS rows, drawn with seed 0."""
    generator = torch.Generator().manual_seed(0)
    draws = {
        "log-normal": lambda: (4 + 1.2 * torch.randn(20_000, generator=generator)).exp(),
        "power-law": lambda: torch.rand(600_000, generator=generator).pow(-1 / 1.1),
        "one giant": lambda: torch.tensor([ROWS]),
        "many tiny": lambda: torch.randint(1, 6, (ROWS,), generator=generator),
    }
    drawn = draws[shape]().clamp(1, ROWS).long()
    end = drawn.cumsum(0)
    kept = end[end < ROWS]
    return Segments(torch.cat([torch.tensor([0]), kept, torch.tensor([ROWS])]))


def describe(shape: str, segments: Segments) -> str:
    return f"1M x 64 float32, {shape}: {len(segments)} segments, longest {segments.max_length}, fresh outputs"


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


def scan(shape: str) -> Case:
    segments = lengths(shape)
    gate, x = torch.rand(ROWS, WIDTH), torch.randn(ROWS, WIDTH)
    forms = {
        "structnet segment_scan": lambda: segment_scan(gate, x, segments),
        "torch, odd-even recursion": lambda: torch_form.segment_scan(gate, x, segments.ptr),
    }
    return Case(forms, agree(forms), 3 * BYTES, ROWS, describe(shape, segments))


def scan_backward(shape: str) -> Case:
    segments = lengths(shape)
    gate, x = torch.rand(ROWS, WIDTH, requires_grad=True), torch.randn(ROWS, WIDTH, requires_grad=True)
    cotangent = torch.randn(ROWS, WIDTH)
    forms = {"structnet segment_scan": gradients(lambda: segment_scan(gate, x, segments), [gate, x], cotangent)}
    return Case(forms, agree(forms), 5 * BYTES, ROWS, describe(shape, segments))


def softmax(shape: str) -> Case:
    segments, x = lengths(shape), torch.randn(ROWS, WIDTH)
    index = segments.index
    wide = index[:, None].expand_as(x)

    def native() -> Tensor:
        top = x.new_full((len(segments), WIDTH), -torch.inf).scatter_reduce(0, wide, x, "amax")
        e = (x - top.index_select(0, index)).exp()
        return e / e.new_zeros(top.shape).index_add(0, index, e).index_select(0, index)

    forms: dict[str, Form] = {
        "structnet segment_reduce": lambda: segment_reduce(x, segments, "softmax"),
        "torch composite": native,
        "PyG softmax(index)": lambda: pyg_softmax(x, index, num_nodes=len(segments)),
        "PyG softmax(ptr)": lambda: pyg_softmax(x, ptr=segments.ptr),
    }
    return Case(forms, agree(forms), 2 * BYTES, ROWS, describe(shape, segments))


def maximum(shape: str) -> Case:
    """Ours also returns the row of each maximum; of the peers only torch_scatter does, where it is installed."""
    segments, x = lengths(shape), torch.randn(ROWS, WIDTH)
    wide = segments.index[:, None].expand_as(x)
    forms: dict[str, Form] = {
        "structnet segment_reduce": lambda: segment_reduce(x, segments, "max"),
        "torch scatter_reduce, no argmax": lambda: x.new_zeros(len(segments), WIDTH).scatter_reduce_(
            0, wide, x, "amax", include_self=False
        ),
        "torch.segment_reduce, no argmax": lambda: torch.segment_reduce(x, "max", lengths=segments.lengths),
    }
    try:
        import torch_scatter
    except ImportError:
        pass
    else:
        forms["torch_scatter segment_csr"] = lambda: torch_scatter.segment_max_csr(x, segments.ptr)[0]
    return Case(forms, agree(forms), BYTES, ROWS, describe(shape, segments))


def total(shape: str) -> Case:
    segments, x = lengths(shape), torch.randn(ROWS, WIDTH)
    forms: dict[str, Form] = {
        "structnet segment_reduce": lambda: segment_reduce(x, segments),
        "torch index_add_": lambda: x.new_zeros(len(segments), WIDTH).index_add_(0, segments.index, x),
        "torch.segment_reduce": lambda: torch.segment_reduce(x, "sum", lengths=segments.lengths),
    }
    # 1M float32 terms in another order
    return Case(forms, agree(forms, 0.05), BYTES, ROWS, describe(shape, segments))


for _name, _setup, _tests in (
    ("scan", scan, SCAN),
    ("scan-backward", scan_backward, SCAN),
    ("softmax", softmax, REDUCE),
    ("max", maximum, REDUCE),
    ("sum", total, REDUCE),
):
    for _shape in ("log-normal", "power-law", "one giant", "many tiny"):
        measure(f"segment/{_name}/{_shape.replace(' ', '-')}", _tests, repeats=3)(lambda f=_setup, s=_shape: f(s))
