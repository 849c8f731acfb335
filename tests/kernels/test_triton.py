"""The Triton forms at tiny sizes: through the interpreter on a machine without a GPU, compiled on one with."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("triton")

from structnet.kernels import block_scan, chunks, log_scan, segment_reduce, segment_rnn, segment_scan
from structnet.kernels.block_scan import torch_form as block_torch
from structnet.kernels.block_scan import triton_form as block_triton
from structnet.kernels.segment_reduce import reference as reduce_reference
from structnet.kernels.segment_reduce import torch_form as reduce_torch
from structnet.kernels.segment_reduce import triton_form as reduce_triton
from structnet.kernels.segment_reduce.op import REDUCTIONS
from structnet.kernels.segment_rnn import torch_form as rnn_torch
from structnet.kernels.segment_rnn import triton_form as rnn_triton
from structnet.kernels.segment_scan import reference, torch_form, triton_form
from tests.kernels.conftest import normal, pointer

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LENGTHS = [[0, 3, 1, 0, 5], [7], [0, 0], [1, 1, 1]]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("gates, width", [(1, 3), (2, 4), (5, 5)])
@pytest.mark.parametrize("log", [False, True])
def test_scan_forward_and_backward(lengths, reverse, initial, gates, width, log):
    rows, ptr = sum(lengths), pointer(lengths).to(DEVICE)
    gate, x = torch.sigmoid(normal(rows, gates)).to(DEVICE), normal(rows, width).to(DEVICE)
    first = normal(len(lengths), width, seed=2).to(DEVICE) if initial else None
    h = reference.segment_scan(gate, x, ptr, first, reverse)
    gate = gate.log() if log else gate
    torch.testing.assert_close(triton_form.forward(gate, x, ptr, first, reverse, log), h, rtol=1e-12, atol=1e-12)
    grad = normal(rows, width, seed=4).to(DEVICE)
    got = triton_form.backward(grad, gate, h, ptr, first, reverse, log)
    for one, other in zip(got, torch_form.backward(grad, gate, h, ptr, first, reverse, log), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_chunks_by_hand():
    """Boundaries at rows 0, 4, 8, .. move to the next start within 4 rows; the ten rows of segment 3 are cut."""
    ptr = pointer([3, 0, 2, 10, 1, 1]).to(DEVICE)
    bounds, cut, head = (t.tolist() for t in chunks.plan(ptr, 17, 4, False))
    assert bounds == [0, 5, 8, 15, 16, 17] and cut == [-1, -1, 3, -1, -1, -1]
    assert head == [0, -1, -1, 2, -1, 3, *[-1] * 9, 4, 5]
    _, cut, head = (t.tolist() for t in chunks.plan(ptr, 17, 3, True))
    assert cut == [-1, -1, 3, 3, 3, -1, -1] and head == [-1, -1, 0, -1, 2, *[-1] * 9, 3, 4, 5]


def across_chunks(lengths, reverse, initial, log, gates, width):
    """Chunks of 3 rows, tiles of 2 rows x 2 channels, carries 2 boundaries at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "sizes", lambda rows, channels: chunks.Sizes(3, 2, 2, 2))
        test_scan_forward_and_backward(lengths, reverse, initial, gates, width, log)


@pytest.mark.parametrize("reverse, initial, log", [(False, False, False), (True, True, True), (True, False, True)])
@pytest.mark.parametrize("gates, width", [(1, 3), (2, 4)])
def test_scan_of_segments_that_are_cut(reverse, initial, log, gates, width):
    across_chunks([1, 16, 0, 2, 7, 4], reverse, initial, log, gates, width)


@settings(max_examples=12)
@given(st.lists(st.integers(0, 14), max_size=4), st.booleans(), st.booleans())
def test_scan_of_any_lengths(lengths, reverse, initial):
    across_chunks(lengths, reverse, initial, False, 2, 2)


@pytest.mark.filterwarnings("ignore:invalid value")  # NumPy's, from inside the broken segment
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("length", [3, 32])  # segments that are cut, and tiles with rows of two segments
def test_a_broken_segment_does_not_reach_its_neighbours(reverse, bad, length, monkeypatch):
    monkeypatch.setattr(chunks, "sizes", lambda rows, channels: chunks.Sizes(length, 2, 2, 2))
    ptr, kept = pointer([5, 8, 5]).to(DEVICE), [*range(5), *range(13, 18)]
    gate, x, grad = (normal(18, 2, seed=i).to(DEVICE) for i in range(3))
    clean = triton_form.forward(gate, x, ptr, None, reverse)
    gradients = triton_form.backward(grad, gate, clean, ptr, None, reverse)[:2]
    gate[5:13], x[5:13], grad[5:13] = bad, bad, bad
    gate[ptr[1:] - 1 if reverse else ptr[:-1]] = bad  # acts on nothing
    broken = triton_form.forward(gate, x, ptr, None, reverse)
    torch.testing.assert_close(broken[kept], clean[kept])
    again = triton_form.backward(grad, gate, broken, ptr, None, reverse)[:2]
    torch.testing.assert_close([t[kept] for t in again], [t[kept] for t in gradients])


def test_the_sizes_in_use_and_the_same_bits_twice():
    """Chunks and tiles as they are: a few hundred rows in the interpreter, a hundred thousand on a GPU."""
    times, width = (100, 64) if DEVICE == "cuda" else (1, 2)
    lengths = [300 * times, 0, 1, 130 * times, 64, *[3] * 5 * times]
    rows, ptr = sum(lengths), pointer(lengths).to(DEVICE)
    gate, x, grad = (normal(rows, width, seed=i).to(DEVICE) for i in range(3))
    gate = torch.sigmoid(gate)
    assert (chunks.plan(ptr, rows, chunks.sizes(rows, width).length, False).cut >= 0).any()

    def made(scan, backward, reduce):
        h = scan(gate, x, ptr, None, False)
        gradients = backward(grad, gate, h, ptr, None, False)
        return [h, *gradients, *reduce(x, ptr, "sum"), *reduce(x, ptr, "max")]

    first, second = (made(triton_form.forward, triton_form.backward, reduce_triton.reduce) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    expected = made(torch_form.segment_scan, torch_form.backward, reduce_torch.reduce)
    torch.testing.assert_close(first, expected, rtol=1e-9, atol=1e-9)


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
    for rows in (True, False):
        got, expected = (form.softmax(x, ptr, rows) for form in (reduce_triton, reduce_torch))
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_softmax_backward_and_gather(lengths):
    x, ptr = normal(sum(lengths), 3).to(DEVICE), pointer(lengths).to(DEVICE)
    y, grad = reduce_torch.softmax(x, ptr, True), normal(sum(lengths), 3, seed=2).to(DEVICE)
    expected = reduce_torch.softmax_backward(grad, y, ptr)
    torch.testing.assert_close(reduce_triton.softmax_backward(grad, y, ptr), expected, rtol=1e-12, atol=1e-12)
    values, largest = normal(len(lengths), 3).to(DEVICE), reduce_torch.reduce(x, ptr, "max")[1]
    for arg in (None, largest):
        got = reduce_triton.gather(values, ptr, arg, len(x))
        assert torch.equal(got, reduce_torch.gather(values, ptr, arg, len(x)))


CUT = [[1, 16, 0, 2, 7, 4], [13, 0, 0, 14]]


@pytest.mark.parametrize("lengths", CUT, ids=str)
def test_reductions_of_segments_that_are_cut(lengths, monkeypatch):
    monkeypatch.setattr(chunks, "sizes", lambda rows, channels: chunks.Sizes(3, 2, 2, 2))
    for kind in reduce_triton.KINDS:
        test_reduce(lengths, kind)
    test_softmax(lengths)
    test_softmax_backward_and_gather(lengths)


@settings(max_examples=12)
@given(st.lists(st.integers(0, 14), max_size=4), st.sampled_from(list(reduce_triton.KINDS)))
def test_reductions_of_any_lengths(lengths, kind):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "sizes", lambda rows, channels: chunks.Sizes(3, 2, 2, 2))
        test_reduce(lengths, kind)
        test_softmax(lengths)


@pytest.mark.parametrize("length", [3, 32])  # segments that are cut, and tiles with rows of two segments
def test_ties_nan_and_infinities(length, monkeypatch):
    """The first row of a tie, the first NaN; a whole segment of -inf has the logsumexp -inf; neighbours stay clean."""
    monkeypatch.setattr(chunks, "sizes", lambda rows, channels: chunks.Sizes(length, 2, 2, 2))
    ptr, x = pointer([11, 12, 2]).to(DEVICE), torch.zeros(25, 1, dtype=torch.float64, device=DEVICE)
    x[[4, 9]], x[[12, 15, 22]], x[23:] = 1.0, math.nan, -math.inf
    out, arg = reduce_triton.reduce(x, ptr, "max")
    assert arg.flatten().tolist() == [4, 12, 23] and out[0] == 1 and out[1].isnan() and out[2] == -math.inf
    assert reduce_triton.reduce(x, ptr, "min")[1].flatten().tolist() == [0, 12, 23]
    sums = reduce_triton.softmax(x, ptr, False)
    torch.testing.assert_close(sums[0].item(), math.log(9 + 2 * math.e))
    assert sums[1].isnan() and sums[2] == -math.inf


def test_sums_are_kept_in_float32(monkeypatch):
    monkeypatch.setattr(chunks, "sizes", lambda rows, channels: chunks.Sizes(16, 16, 1, 4))
    x, ptr = torch.full((160, 1), 0.01, dtype=torch.bfloat16, device=DEVICE), pointer([160]).to(DEVICE)
    exact = x[0].double() * 160
    for kind, value in (("sum", exact), ("mean", x[0].double())):
        assert torch.equal(reduce_triton.reduce(x, ptr, kind)[0][0], value.to(torch.bfloat16))


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("reverse, initial", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_block_scan(lengths, reverse, initial, size):
    rows, ptr = sum(lengths), pointer(lengths).to(DEVICE)
    transition, x = normal(rows, 2, size, size).to(DEVICE), normal(rows, 2, size).to(DEVICE)
    first = normal(len(lengths), 2, size, seed=2).to(DEVICE) if initial else None
    h = block_torch.block_scan(transition, x, ptr, first, reverse)
    got = block_triton.forward(transition, x, ptr, first, reverse)
    torch.testing.assert_close(got, h, rtol=1e-12, atol=1e-12)
    args = (normal(rows, 2, size, seed=4).to(DEVICE), transition, h, ptr, first, reverse)
    for one, other in zip(block_triton.backward(*args), block_torch.backward(*args), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lstm", [False, True])
@pytest.mark.parametrize("rows, width", [(1, 1), (5, 3), (2, 130)])
def test_gates_of_recurrent_cells(lstm, rows, width):
    def made(form):
        draw = [normal(rows, n * width, seed=i).to(DEVICE) for i, n in enumerate((4, 1, 1, 1, 1, 1, 1))]
        gates, h_before, c_before, dh, dc, carry_h, carry_c = draw
        h, c, out = torch.empty_like(h_before), torch.empty_like(h_before), torch.empty_like(gates)
        cells = (c_before, c, dc, carry_c) if lstm else (None, None, None, None)
        form.step(gates, h_before, cells[0], h, cells[1])
        form.step_back(dh, cells[2], gates, h_before, cells[0], cells[1], carry_h, cells[3], out)
        return [gates, h, out, carry_h, *([c, carry_c] if lstm else [])]

    torch.testing.assert_close(made(rnn_triton), made(rnn_torch), rtol=1e-12, atol=1e-12)


OPS = {
    "scan": lambda x, ptr, w: segment_scan(torch.sigmoid(x), x, ptr),
    "log scan, reversed": lambda x, ptr, w: log_scan(-x * x, x, ptr, reverse=True),
    "blocks": lambda x, ptr, w: block_scan(x.view(-1, 1, 2, 2), x[:, None, :2], ptr),
    "gru": lambda x, ptr, w: torch.cat(segment_rnn(x, ptr, w[:2])),
    "lstm": lambda x, ptr, w: torch.cat([t for pair in segment_rnn(x, ptr, w[2:], "lstm", reverse=True) for t in pair]),
    **{kind: lambda x, ptr, w, k=kind: segment_reduce(x, ptr, k) for kind in REDUCTIONS},
}


@pytest.mark.parametrize("call", OPS.values(), ids=OPS)
def test_ops_and_their_gradients_on_this_device_as_on_the_cpu(call):
    lengths, made = [2, 9, 1, 40, 3], []
    for device in ("cpu", DEVICE):
        draw = [normal(55, 4), *(normal(n, 4, seed=n) for n in (12, 12, 16, 16))]
        x, *w = (t.to(device).requires_grad_() for t in draw)
        out = call(x, pointer(lengths).to(device), w)
        grads = torch.autograd.grad(out.sin().sum(), [x, *w], allow_unused=True)
        made.append([t.cpu() for t in (out, *grads) if t is not None])
    torch.testing.assert_close(*made, rtol=1e-11, atol=1e-11)
