"""The Triton forms at tiny sizes: through the interpreter on a machine without a GPU, compiled on one with."""

import pytest
import torch

pytest.importorskip("triton")

from structnet.kernels.segment_reduce import reference as reduce_reference
from structnet.kernels.segment_reduce import torch_form as reduce_torch
from structnet.kernels.segment_reduce import triton_form as reduce_triton
from structnet.kernels.segment_scan import reference, torch_form, triton_form
from tests.kernels.conftest import normal, pointer

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LENGTHS = [[0, 3, 1, 0, 5], [7], [0, 0], [1, 1, 1]]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("gates, width", [(1, 3), (2, 4), (5, 5)])
def test_scan_forward_and_backward(lengths, reverse, initial, gates, width):
    rows, ptr = sum(lengths), pointer(lengths).to(DEVICE)
    gate, x = torch.sigmoid(normal(rows, gates)).to(DEVICE), normal(rows, width).to(DEVICE)
    first = normal(len(lengths), width, seed=2).to(DEVICE) if initial else None
    h = reference.segment_scan(gate, x, ptr, first, reverse)
    torch.testing.assert_close(triton_form.forward(gate, x, ptr, first, reverse), h, rtol=1e-12, atol=1e-12)
    grad = normal(rows, width, seed=4).to(DEVICE)
    got = triton_form.backward(grad, gate, h, ptr, first, reverse)
    for one, other in zip(got, torch_form.backward(grad, gate, h, ptr, first, reverse), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scan_accumulates_in_float32(dtype):
    gate, x, ptr = torch.full((64, 1), 1.0, dtype=dtype), torch.full((64, 2), 0.01, dtype=dtype), pointer([64])
    out = triton_form.forward(gate.to(DEVICE), x.to(DEVICE), ptr.to(DEVICE), None, False)
    exact = x[0, 0].double() * 64
    assert abs(out[-1, 0].double().cpu() - exact) < (1e-5 if dtype == torch.float32 else 4e-3)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("kind", ["sum", "mean", "max", "min"])
def test_reduce(lengths, kind):
    x, ptr = normal(sum(lengths), 3).to(DEVICE), pointer(lengths).to(DEVICE)
    out, arg = reduce_triton.reduce(x, ptr, kind)
    torch.testing.assert_close(out, reduce_reference.segment_reduce(x, ptr, kind), rtol=1e-12, atol=1e-12)
    assert torch.equal(arg, reduce_torch.reduce(x, ptr, kind)[1])


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_softmax(lengths):
    x, ptr = normal(sum(lengths), 3).to(DEVICE), pointer(lengths).to(DEVICE)
    for got, expected in zip(reduce_triton.softmax(x, ptr, True), reduce_torch.softmax(x, ptr, True), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
