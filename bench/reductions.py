"""Reductions of segments, beside torch's, PyG's and torch_scatter's (where it is installed)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch_geometric.utils import scatter
from torch_geometric.utils import softmax as pyg_softmax

from bench.ragged import ROWS, WIDTH, agree, compiled, describe, lengths, peer, register
from bench.registry import Case, Form
from structnet.kernels import index_reduce, segment_gather, segment_reduce
from structnet.structures import Segments

TESTS = "tests/kernels/test_segment_reduce.py"
Calls = dict[str, Callable[[Tensor], Tensor]]
EXTREMES = ("max", "min")
OURS = "structnet segment_reduce"


def calls(kind: str, segments: Segments) -> Calls:
    """`reduce(x)` by everybody, ours first and torch's own second."""
    ours: Calls = {OURS: lambda x: segment_reduce(x, segments, kind)}
    return ours | {"softmax": softmaxes, "logsumexp": logsumexps}.get(kind, partial(scattered, kind))(segments)


def scattered(kind: str, segments: Segments) -> Calls:
    """Of the peers only torch_scatter finds the rows that won as well."""
    index, count, torch_scatter = segments.index, len(segments), peer("torch_scatter")
    forms: Calls = {
        f"torch {'index_add_' if kind == 'sum' else 'scatter_reduce_'}": native(kind, index, count),
        "torch.segment_reduce": lambda x: torch.segment_reduce(x, kind, lengths=segments.lengths),
        "PyG scatter": lambda x: scatter(x, index, 0, count, kind),
    }
    if torch_scatter is not None:
        found = getattr(torch_scatter, f"segment_{kind}_csr")
        pick = (lambda pair: pair[0]) if kind in EXTREMES else (lambda out: out)
        forms["torch_scatter segment_csr"] = lambda x: pick(found(x, segments.ptr))
    return forms


def native(kind: str, index: Tensor, count: int) -> Callable[[Tensor], Tensor]:
    if kind == "sum":
        return lambda x: x.new_zeros(count, WIDTH).index_add_(0, index, x)
    wide, name = index[:, None].expand(-1, WIDTH), {"mean": "mean", "max": "amax", "min": "amin"}[kind]
    return lambda x: x.new_zeros(count, WIDTH).scatter_reduce_(0, wide, x, name, include_self=False)


def softmaxes(segments: Segments) -> Calls:
    index, count, torch_scatter = segments.index, len(segments), peer("torch_scatter")

    def composite(x: Tensor) -> Tensor:
        _, total, e = _exponentials(x, index, count)
        return e / total.index_select(0, index)

    forms: Calls = {
        "torch composite": composite,
        "PyG softmax(index)": lambda x: pyg_softmax(x, index, num_nodes=count),
        "PyG softmax(ptr)": lambda x: pyg_softmax(x, ptr=segments.ptr),
    }
    if torch_scatter is not None:
        forms["torch_scatter scatter_softmax"] = lambda x: torch_scatter.scatter_softmax(x, index, 0)
    return forms


def logsumexps(segments: Segments) -> Calls:
    index, count, torch_scatter = segments.index, len(segments), peer("torch_scatter")

    def composite(x: Tensor) -> Tensor:
        top, total, _ = _exponentials(x, index, count)
        return total.log() + top

    forms: Calls = {"torch composite": composite}
    if torch_scatter is not None:
        forms["torch_scatter scatter_logsumexp"] = lambda x: torch_scatter.scatter_logsumexp(x, index, 0)
    return forms


def _exponentials(x: Tensor, index: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Largest row of each segment, sum of exp(x - largest), and these exponentials."""
    wide = index[:, None].expand_as(x)
    top = x.new_full((count, WIDTH), -torch.inf).scatter_reduce(0, wide, x.detach(), "amax")
    e = (x - top.index_select(0, index)).exp()
    return top, e.new_zeros(top.shape).index_add(0, index, e), e


def forward(kind: str, shape: str, rows: int = ROWS) -> Case:
    """Extremes without the winning rows, and with them as where a gradient is wanted."""
    segments, x = lengths(shape, rows), torch.randn(rows, WIDTH)
    found = calls(kind, segments)
    forms: dict[str, Form] = {name: lambda f=form: f(x) for name, form in found.items()}
    if kind in EXTREMES:
        forms["structnet, with its rows"] = lambda: torch.ops.structnet.segment_reduce(x, segments.ptr, kind)[0]
    name = list(found)[1]
    forms |= compiled(name, forms[name])
    # up to 1M float32 terms in another order
    check = agree(forms, 0.05 if kind in ("sum", "mean") else 2e-3)
    return Case(forms, check, (2 if kind == "softmax" else 1) * x.nbytes, rows, describe(shape, segments))


def both(kind: str, shape: str, rows: int = ROWS) -> Case:
    """Forward and backward. No ties, which each shares out in a way of its own (`scatter_reduce` even with its zero
    start): for extremes the columns are permutations of 1, 2, ..."""
    segments = lengths(shape, rows)
    x = torch.randn(rows, WIDTH)
    if kind in EXTREMES:
        x = torch.stack([1.0 + torch.randperm(rows) for _ in range(WIDTH)], 1)
    x.requires_grad_()
    cotangent = torch.randn(rows if kind == "softmax" else len(segments), WIDTH)
    forms: dict[str, Form] = {
        name: lambda f=form: torch.autograd.grad(f(x), x, cotangent)[0] for name, form in calls(kind, segments).items()
    }
    return Case(forms, agree(forms), (5 if kind == "softmax" else 2) * x.nbytes, rows, describe(shape, segments))


def unsorted(kind: str, shape: str, rows: int = ROWS) -> Case:
    """Rows in random order."""
    segments, x = lengths(shape, rows), torch.randn(rows, WIDTH)
    index, count = segments.index[torch.randperm(rows)], len(segments)
    by_torch = native(kind, index, count)
    forms: dict[str, Form] = {
        "structnet index_reduce": lambda: index_reduce(x, index, count, kind),
        "torch": lambda: by_torch(x),
        "PyG scatter": lambda: scatter(x, index, 0, count, kind),
    }
    return Case(forms, agree(forms, 0.05 if kind == "sum" else 2e-3), x.nbytes, rows, describe(shape, segments))


def gather(shape: str, rows: int = ROWS) -> Case:
    """The value of each row's segment."""
    segments, torch_scatter = lengths(shape, rows), peer("torch_scatter")
    values = torch.randn(len(segments), WIDTH)
    forms: dict[str, Form] = {
        "structnet segment_gather": lambda: segment_gather(values, segments),
        "torch index_select": lambda: values.index_select(0, segments.index),
        "torch repeat_interleave": lambda: values.repeat_interleave(segments.lengths, 0),
    }
    if torch_scatter is not None:
        forms["torch_scatter gather_csr"] = lambda: torch_scatter.gather_csr(values, segments.ptr)
    return Case(forms, agree(forms), rows * WIDTH * 4, rows, describe(shape, segments))


KINDS = ("softmax", "logsumexp", "max", "min", "sum", "mean")
register({kind: (partial(forward, kind), TESTS) for kind in KINDS})
register({f"{kind}-both": (partial(both, kind), TESTS) for kind in KINDS})
register(
    {f"{kind}-unsorted": (partial(unsorted, kind), TESTS) for kind in ("sum", "max")} | {"gather": (gather, TESTS)}
)
