"""Scans inside segments: diagonal, in the logarithm, in blocks, and with any operator, beside what torch has.

"fresh" outputs are what a call gives; "given" ones are written again and again, without page faults.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.ragged import ROWS, WIDTH, agree, compiled, describe, gradients, lengths, register
from bench.registry import Case, Form
from structnet.kernels import associative_scan, block_scan, log_scan, segment_scan
from structnet.kernels.associative_scan import affine
from structnet.kernels.block_scan import torch_form as block_torch
from structnet.kernels.segment_scan import cpu, torch_form
from structnet.native import library
from structnet.schedules.odd_even import odd_even_levels
from structnet.structures import Segments

SCAN, BLOCKS = "tests/kernels/test_segment_scan.py", "tests/kernels/test_block_scan.py"
ANY = "tests/kernels/test_associative_scan.py"


def compiled_scan(gate: Tensor, x: Tensor, segments: Segments) -> dict[str, Form]:
    """The odd-even recursion, compiled for these very segments (its schedule is made beforehand)."""
    gate = gate.index_fill(0, segments.ptr[:-1][segments.lengths > 0], 1.0)
    odd_even_levels(segments)  # the compiler must not see it made
    return compiled("odd-even recursion", lambda: associative_scan(affine, (gate, x), segments)[1])


def private_scan(gate: Tensor, x: Tensor, segments: Segments) -> dict[str, Form]:
    """torch's unreleased scan; gates of first rows are 0 (it knows no segments)."""
    try:
        from torch._higher_order_ops.associative_scan import associative_scan as private
    except ImportError:
        return {}
    folded = gate.index_fill(0, segments.ptr[:-1][segments.lengths > 0], 0.0)
    return {
        "torch's private associative_scan": lambda: private(affine, (folded, x), 0, combine_mode="generic")[1],
    }


def scan(shape: str, rows: int = ROWS) -> Case:
    segments = lengths(shape, rows)
    gate, x = torch.rand(rows, WIDTH), torch.randn(rows, WIDTH)
    forms: dict[str, Form] = {"structnet segment_scan, fresh": lambda: segment_scan(gate, x, segments)}
    if library() is not None:
        out = torch.zeros_like(x)
        forms["structnet segment_scan, given"] = lambda: cpu.forward("f32", gate, x, segments.ptr, None, False, out=out)
    forms["torch, odd-even recursion"] = lambda: torch_form.segment_scan(gate, x, segments.ptr)
    forms |= {**private_scan(gate, x, segments), **compiled_scan(gate, x, segments)}
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


def scan_log(shape: str, rows: int = ROWS) -> Case:
    """Gates given by their logarithm, beside exponentiating them first; backward: gradients for the logarithms."""
    segments = lengths(shape, rows)
    log_gate, x = torch.rand(rows, WIDTH).log(), torch.randn(rows, WIDTH)
    forms: dict[str, Form] = {
        "structnet log_scan": lambda: log_scan(log_gate, x, segments),
        "exp, then segment_scan": lambda: segment_scan(log_gate.exp(), x, segments),
        "torch, odd-even recursion": lambda: torch_form.segment_scan(log_gate.exp(), x, segments.ptr),
    }
    return Case(forms, agree(forms), 3 * x.nbytes, rows, describe(shape, segments))


def scan_log_backward(shape: str, rows: int = ROWS) -> Case:
    segments, cotangent = lengths(shape, rows), torch.randn(rows, WIDTH)
    inputs = [torch.rand(rows, WIDTH).log().requires_grad_(), torch.randn(rows, WIDTH, requires_grad=True)]
    calls = {"structnet log_scan": log_scan, "exp, then segment_scan": lambda a, x, s: segment_scan(a.exp(), x, s)}
    forms = {name: gradients(lambda f=call: f(*inputs, segments), inputs, cotangent) for name, call in calls.items()}
    return Case(forms, agree(forms), 5 * cotangent.nbytes, rows, describe(shape, segments))


def scan_any(shape: str, rows: int = ROWS // 4) -> Case:
    """The general scan, its operator the affine one: what generality costs beside the op made for it."""
    segments = lengths(shape, rows)
    gate, x = torch.rand(rows, WIDTH), torch.randn(rows, WIDTH)
    forms: dict[str, Form] = {
        "structnet associative_scan": lambda: associative_scan(affine, (gate, x), segments)[1],
        "structnet segment_scan": lambda: segment_scan(gate, x, segments),
        **private_scan(gate, x, segments),
        **compiled_scan(gate, x, segments),
    }
    return Case(forms, agree(forms), 3 * x.nbytes, rows, describe(shape, segments))


def blocks(shape: str, rows: int = ROWS // 4) -> Case:
    """16 heads of 4 x 4 blocks."""
    segments = lengths(shape, rows)
    transition, x = torch.randn(rows, 16, 4, 4) / 4, torch.randn(rows, 16, 4)
    forms: dict[str, Form] = {
        "structnet block_scan": lambda: block_scan(transition, x, segments),
        "torch, odd-even recursion": lambda: block_torch.block_scan(transition, x, segments.ptr),
    }
    return Case(forms, agree(forms), transition.nbytes + 2 * x.nbytes, rows, describe(shape, segments))


def blocks_backward(shape: str, rows: int = ROWS // 4) -> Case:
    segments, cotangent = lengths(shape, rows), torch.randn(rows, 16, 4)
    transition, x = torch.randn(rows, 16, 4, 4) / 4, torch.randn(rows, 16, 4)
    inputs = [transition.requires_grad_(), x.requires_grad_()]
    forms = {
        "structnet block_scan": gradients(lambda: block_scan(*inputs, segments), inputs, cotangent),
        "torch, odd-even recursion": gradients(
            lambda: block_torch.block_scan(*inputs, segments.ptr), inputs, cotangent
        ),
    }
    return Case(forms, agree(forms), 2 * transition.nbytes + 3 * x.nbytes, rows, describe(shape, segments))


register({"scan": (scan, SCAN), "scan-backward": (scan_backward, SCAN), "log-scan": (scan_log, SCAN),
          "log-scan-backward": (scan_log_backward, SCAN), "any-scan": (scan_any, ANY), "blocks": (blocks, BLOCKS),
          "blocks-backward": (blocks_backward, BLOCKS)})  # fmt: skip
