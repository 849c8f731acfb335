import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structnet.errors import StructureError
from structnet.kernels import block_scan, segment_scan
from structnet.kernels.block_scan import op, reference
from structnet.structures import Segments
from tests.kernels.conftest import LENGTHS, TOLERANCE, agree, normal, pointer


@pytest.fixture(params=["compiled", "torch"])
def form(request, monkeypatch):
    """Both forms through the one op."""
    if request.param == "torch":
        monkeypatch.setattr(op, "compiled_for", lambda x: None)
    return request.param


def arguments(lengths, heads, size, initial=True):
    rows = sum(lengths)
    transition = (normal(rows, heads, size, size) / 2 / size).requires_grad_()
    first = normal(len(lengths), heads, size, seed=3).requires_grad_() if initial else None
    return transition, normal(rows, heads, size).requires_grad_(), pointer(lengths), first


def test_parity_by_hand():
    """A swap at every 1: the state's two entries say whether there were evenly or oddly many."""
    swap, stay = torch.tensor([[0.0, 1], [1, 0]]), torch.eye(2)
    bits = [1, 0, 1, 1, 1]
    transition = torch.stack([swap if b else stay for b in bits])[:, None]
    start = torch.tensor([[[1.0, 0]], [[1.0, 0]]])
    out = block_scan(transition, torch.zeros(5, 1, 2), torch.tensor([0, 3, 5]), start)
    assert out[:, 0, 1].tolist() == [1, 1, 0, 1, 0]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_ragged_edges(form, lengths, size, initial, reverse):
    lengths = [300, 1, 3] if sum(lengths) > 500 else lengths  # the reference is a loop over rows
    transition, x, ptr, first = arguments(lengths, 2, size, initial)
    slow = reference.block_scan(transition, x, ptr, first, reverse)
    agree(block_scan(transition, x, ptr, first, reverse), slow, [transition, x, *([first] if initial else [])], 1e-10)


@pytest.mark.parametrize("size", range(1, 10))
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_sizes_and_types(form, size, dtype):
    transition, x, ptr, first = arguments([3, 0, 20, 1], 3, size)
    slow = reference.block_scan(transition, x, ptr, first)
    narrow = [t.detach().to(dtype) for t in (transition, x, first)]
    out = block_scan(narrow[0], narrow[1], ptr, narrow[2])
    torch.testing.assert_close(out, slow.to(dtype), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@given(st.lists(st.integers(0, 12), min_size=1, max_size=8), st.booleans(), st.sampled_from([1, 2, 4]))
def test_any_lengths(lengths, reverse, size):
    transition, x, ptr, first = arguments(lengths, 2, size)
    slow = reference.block_scan(transition, x, ptr, first, reverse)
    agree(block_scan(transition, x, ptr, first, reverse), slow, [transition, x, first], 1e-10)


def test_int32_pointers_non_contiguous_input_and_segments():
    transition, x, ptr, first = (t.detach() for t in arguments([3, 0, 4], 2, 3))
    expected = block_scan(transition, x, ptr, first)
    strided = [t.transpose(0, 1).contiguous().transpose(0, 1) for t in (transition, x, first)]
    assert not strided[0].is_contiguous()
    torch.testing.assert_close(block_scan(strided[0], strided[1], ptr.int(), strided[2]), expected)
    torch.testing.assert_close(block_scan(transition, x, Segments(ptr), first), expected)


@pytest.mark.parametrize("wanted", range(3))
def test_gradients_asked_for_one_input_only(form, wanted):
    transition, x, ptr, first = arguments([3, 0, 4], 2, 2)
    inputs = [t.detach().requires_grad_(i == wanted) for i, t in enumerate((transition, x, first))]
    slow = reference.block_scan(inputs[0], inputs[1], ptr, inputs[2])
    agree(block_scan(inputs[0], inputs[1], ptr, inputs[2]), slow, inputs, 1e-10)


@pytest.mark.parametrize("initial", [False, True])
def test_opcheck_and_compile_without_a_graph_break(initial):
    transition, x, ptr, first = arguments([2, 0, 3], 2, 2, initial)
    segments, inputs = Segments(ptr), [transition, x, *([first] if initial else [])]
    torch.use_deterministic_algorithms(False)
    torch.library.opcheck(torch.ops.structnet.block_scan.default, (transition, x, ptr, first, False))
    expected = block_scan(transition, x, segments, first)
    compiled = torch.compile(lambda a, b, *c: block_scan(a, b, segments, *c), fullgraph=True, backend="aot_eager")
    agree(compiled(*inputs), expected, inputs, 1e-12)


def test_the_same_bits_with_any_number_of_threads():
    transition, x, ptr, _ = arguments([9_000, 5, 700] + [3] * 300, 4, 4, False)
    grads = []
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        out = block_scan(transition, x, ptr)
        grads.append([out.detach(), *torch.autograd.grad(out.sin().sum(), (transition, x))])
    torch.set_num_threads(1)
    assert all(torch.equal(*pair) for other in grads[1:] for pair in zip(grads[0], other))


def test_blocks_of_one_are_the_diagonal_scan():
    transition, x, ptr, first = arguments([3, 0, 4], 5, 1)
    expected = segment_scan(transition[..., 0, 0], x[..., 0], ptr, first[..., 0])
    torch.testing.assert_close(block_scan(transition, x, ptr, first)[..., 0], expected)


def test_gradcheck_twice(form):
    transition, x, ptr, first = arguments([2, 0, 3], 1, 2)
    assert torch.autograd.gradcheck(lambda a, b, c: block_scan(a, b, ptr, c), (transition, x, first))
    assert torch.autograd.gradgradcheck(lambda a, b, c: block_scan(a, b, ptr, c), (transition, x, first))


def test_nan_stays_in_its_segment(form):
    transition, x, ptr, _ = (None if t is None else t.detach() for t in arguments([2, 2, 2], 1, 2, False))
    transition[2:4] = math.nan
    x[3] = math.inf
    out = block_scan(transition, x, ptr)
    assert out[[0, 1, 4, 5]].isfinite().all() and not out[3].isfinite().any()
    transition.requires_grad_(), x.requires_grad_()
    grads = torch.autograd.grad(block_scan(transition, x, ptr)[[0, 1, 4, 5]].sum(), (transition, x))
    assert all(g[[0, 1, 4, 5]].isfinite().all() for g in grads)


@pytest.mark.parametrize(
    "shape, initial, words",
    [((3, 1, 2, 3), None, "[N, H, d, d]"), ((3, 1, 2, 2), torch.ones(2, 1, 2), "initial (1, 1, 2)")],
)
def test_bad_calls(shape, initial, words):
    with pytest.raises(StructureError) as error:
        block_scan(torch.ones(shape), torch.ones(3, 1, 2), pointer([3]), initial)
    assert words in str(error.value)
