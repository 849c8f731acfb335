import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.utils import scatter, softmax

from structnet.errors import StructureError
from structnet.kernels import index_reduce, segment_gather, segment_reduce
from structnet.kernels.segment_reduce import op, reference
from structnet.structures import Segments
from tests.kernels.conftest import LENGTHS, TOLERANCE, WIDTHS, agree, normal, pointer

KINDS = op.REDUCTIONS


@pytest.fixture(params=["compiled", "torch"])
def form(request, monkeypatch):
    """Both forms through the one op."""
    if request.param == "torch":
        monkeypatch.setattr(op, "compiled_for", lambda x: None)
    return request.param


def test_three_rows_by_hand():
    x, ptr = torch.tensor([[1.0, 5.0], [3.0, 5.0], [2.0, 0.0]]), torch.tensor([0, 2, 2, 3])
    assert segment_reduce(x, ptr, "sum").tolist() == [[4, 10], [0, 0], [2, 0]]
    assert segment_reduce(x, ptr, "mean").tolist() == [[2, 5], [0, 0], [2, 0]]
    assert segment_reduce(x, ptr, "max").tolist() == [[3, 5], [0, 0], [2, 0]]
    assert segment_reduce(x, ptr, "min").tolist() == [[1, 5], [0, 0], [2, 0]]
    assert segment_reduce(x, ptr, "logsumexp")[1].tolist() == [-math.inf] * 2
    torch.testing.assert_close(segment_reduce(x, ptr, "softmax")[2], torch.ones(2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_ragged_edges(form, kind, lengths):
    x = normal(sum(lengths), 3).requires_grad_()
    agree(segment_reduce(x, pointer(lengths), kind), reference.segment_reduce(x, pointer(lengths), kind), [x], 1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_widths_and_types(form, kind, width, dtype):
    x, ptr = normal(sum(LENGTHS["mixed"]), width, dtype=dtype), pointer(LENGTHS["mixed"])
    slow = reference.segment_reduce(x.double(), ptr, kind).to(dtype)
    torch.testing.assert_close(segment_reduce(x, ptr, kind), slow, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@given(st.lists(st.integers(0, 12), min_size=1, max_size=8), st.sampled_from(KINDS))
def test_any_lengths(lengths, kind):
    x = normal(sum(lengths), 2).requires_grad_()
    agree(segment_reduce(x, pointer(lengths), kind), reference.segment_reduce(x, pointer(lengths), kind), [x], 1e-10)


@pytest.mark.parametrize("kind", ["max", "min"])
def test_of_equal_rows_the_first_takes_the_gradient(form, kind):
    x = torch.tensor([[2.0], [2.0], [1.0], [1.0], [2.0]], requires_grad=True)
    segment_reduce(x, torch.tensor([0, 5]), kind).sum().backward()
    assert x.grad.flatten().tolist() == ([1, 0, 0, 0, 0] if kind == "max" else [0, 0, 1, 0, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_any_order_of_rows_and_trailing_dimensions(form, kind):
    index, x = torch.tensor([2, 0, 2, 0, 4, 2]), normal(6, 2, 3).requires_grad_()
    order = index.argsort(stable=True)
    expected = segment_reduce(x[order], Segments.from_index(index[order], 6), kind)
    expected = expected[order.argsort()] if kind == "softmax" else expected
    agree(index_reduce(x, index, 6, kind), expected, [x], 1e-12)


def test_against_pyg():
    index, x = torch.tensor([2, 0, 2, 0, 4, 2]), normal(6, 3)
    torch.use_deterministic_algorithms(False)
    for kind in ("sum", "mean", "max", "min"):
        torch.testing.assert_close(index_reduce(x, index, 5, kind), scatter(x, index, 0, 5, kind))
    torch.testing.assert_close(index_reduce(x, index, 5, "softmax"), softmax(x, index, num_nodes=5))


@pytest.mark.parametrize("kind", ["max", "min"])
def test_unsorted_extremes_are_the_same_with_and_without_a_gradient(kind):
    index, x = torch.tensor([2, 0, 2, 0, 4, 2]), -normal(6, 2).abs() - 1  # below the zeros of empty segments
    x[1, 0] = math.nan
    plain, kept = index_reduce(x, index, 6, kind), index_reduce(x.clone().requires_grad_(), index, 6, kind)
    torch.testing.assert_close(plain, kept.detach(), rtol=0, atol=0, equal_nan=True)
    assert plain[1].tolist() == [0, 0] and plain[0, 0].isnan() and not plain[2:].isnan().any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("index", [[0, 5, 1], [0, -1, 1], [0, 1]])
def test_an_index_that_does_not_fit_is_refused(kind, index):
    for x in (normal(3, 1), normal(3, 1).requires_grad_()):
        with pytest.raises(StructureError, match="index"):
            index_reduce(x, torch.tensor(index), 2, kind)


def test_whole_numbers_stay_whole():
    x, ptr = torch.tensor([[2**24 + 1], [1]]), torch.tensor([0, 1, 2])
    assert segment_reduce(x, ptr).tolist() == x.tolist()
    for call in (lambda k: segment_reduce(x, ptr, k), lambda k: index_reduce(x, torch.tensor([0, 1]), 2, k)):
        for kind in ("mean", "softmax", "logsumexp"):
            with pytest.raises(StructureError, match="floating-point"):
                call(kind)


def test_half_precision_neither_overflows_nor_loses_its_sums():
    x, index = torch.full((5_000, 1), 100.0, dtype=torch.float16), torch.zeros(5_000, dtype=torch.long)
    assert index_reduce(x, index, 1, "mean").item() == 100
    share = segment_reduce(torch.zeros(70_000, 1, dtype=torch.float16), torch.tensor([0, 70_000]), "softmax")
    assert (share == torch.tensor(1 / 70_000).half()).all() and share.min() > 0


def test_extreme_logits_do_not_overflow(form):
    x, ptr = torch.tensor([[1e4], [-1e4], [1e4], [-math.inf], [-math.inf]]), torch.tensor([0, 3, 5])
    torch.testing.assert_close(segment_reduce(x, ptr, "softmax")[:3].flatten(), torch.tensor([0.5, 0.0, 0.5]))
    torch.testing.assert_close(segment_reduce(x, ptr, "logsumexp")[0], torch.tensor([1e4 + math.log(2)]))
    assert segment_reduce(x, ptr, "logsumexp")[1] == -math.inf


@pytest.mark.parametrize("kind", KINDS)
def test_nan_stays_in_its_segment_and_channel(form, kind):
    x = normal(6, 2)
    x[2, 0] = math.nan
    out = segment_reduce(x, torch.tensor([0, 2, 4, 6]), kind)
    bad = out.isnan()
    expected = torch.zeros_like(bad)
    expected[(slice(2, 4) if kind == "softmax" else 1), 0] = True
    assert torch.equal(bad, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck_opcheck_compile(kind):
    # the -inf of an empty segment has no numerical gradient
    x, ptr = normal(5, 2).requires_grad_(), pointer([2, 3] if kind == "logsumexp" else [2, 0, 3])
    assert torch.autograd.gradcheck(lambda t: segment_reduce(t, ptr, kind), x)
    assert torch.autograd.gradgradcheck(lambda t: segment_reduce(t, ptr, kind), x)
    torch.use_deterministic_algorithms(False)
    name = {"softmax": "segment_softmax", "logsumexp": "segment_logsumexp"}.get(kind, "segment_reduce")
    call, extra = getattr(torch.ops.structnet, name), () if kind in ("softmax", "logsumexp") else (kind,)
    torch.library.opcheck(call.default, (x, ptr, *extra))

    def first(t):
        out = call(t, ptr, *extra)
        return out[0] if extra else out

    compiled = torch.compile(first, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(*(torch.autograd.grad(f(x).sin().sum(), x) for f in (compiled, first)))


@pytest.mark.parametrize("kind", ["max", "min"])
def test_winning_rows_are_found_for_a_gradient_alone(form, kind):
    x, ptr = normal(9, 3), pointer([4, 0, 5])
    x[2, 1] = torch.nan
    value, rows = torch.ops.structnet.segment_reduce(x, ptr, kind)
    plain, none = torch.ops.structnet.segment_reduce(x, ptr, kind, False)
    assert rows.shape == value.shape and not none.numel()
    torch.testing.assert_close(plain, value, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(segment_reduce(x, ptr, kind), value, rtol=0, atol=0, equal_nan=True)
    with pytest.raises(StructureError, match="winners"):
        torch.ops.structnet.segment_reduce(x.requires_grad_(), ptr, kind, False)[0].sum().backward()


def test_gather_is_the_transpose_of_sum():
    s, values, x = Segments(pointer([2, 0, 3])), normal(3, 2), normal(5, 2)
    torch.testing.assert_close((segment_gather(values, s) * x).sum(), (values * segment_reduce(x, s)).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_with_any_number_of_threads(kind):
    lengths = [40_000, 0, 3_000] + [5] * 500
    x, ptr = normal(sum(lengths), 32, dtype=torch.float32), pointer(lengths)
    x.requires_grad_()
    made = []
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        out = segment_reduce(x, ptr, kind)
        made.append((out.detach(), torch.autograd.grad(out.sin().sum(), x)[0]))
    torch.set_num_threads(1)
    assert all(torch.equal(*pair) for other in made[1:] for pair in zip(made[0], other))


def test_int32_pointers_and_non_contiguous_input(form):
    x, ptr = normal(7, 6), pointer([3, 0, 4])
    strided = x.t().contiguous().t()
    assert not strided.is_contiguous()
    for kind in KINDS:
        expected = segment_reduce(x, ptr, kind)
        torch.testing.assert_close(segment_reduce(strided, ptr.int(), kind), expected)


def test_bad_calls():
    with pytest.raises(StructureError, match="sum, mean, max"):
        segment_reduce(torch.ones(2, 1), pointer([2]), "prod")
    with pytest.raises(StructureError, match="segments over 2 rows"):
        segment_reduce(torch.ones(2, 1), pointer([3]))
