import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structnet.errors import StructureError
from structnet.kernels import associative_scan, segment_scan
from structnet.kernels.associative_scan import affine, attention, reference
from structnet.structures import Segments
from tests.kernels.conftest import LENGTHS, agree, normal, pointer


def matrices(earlier, later):
    """2 x 2 products: associative, not commutative."""
    return (later[0] @ earlier[0],)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_products_of_matrices(reverse, lengths):
    x = (normal(sum(lengths), 2, 2) / 2).requires_grad_()
    segments = Segments(pointer(lengths))
    fast = associative_scan(matrices, (x,), segments, reverse)[0]
    agree(fast, reference.associative_scan(matrices, (x,), segments.ptr, reverse)[0], [x], 1e-9)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6))
def test_affine_maps_are_the_segment_scan(lengths):
    gate, x = (torch.sigmoid(normal(sum(lengths), 2)).requires_grad_(), normal(sum(lengths), 2).requires_grad_())
    segments = Segments(pointer(lengths))
    agree(associative_scan(affine, (gate, x), segments)[1], segment_scan(gate, x, segments), [gate, x], 1e-10)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_attention_as_a_monoid(scale):
    """Every prefix is the masked softmax attention, also at logits of +-1e4."""
    logits, values = (scale * normal(12, 1)).requires_grad_(), normal(12, 3).requires_grad_()
    segments = Segments(pointer([5, 0, 7]))
    _, total, weighted = associative_scan(attention, (logits, torch.ones_like(logits), values), segments)
    index = segments.index
    mask = (index[:, None] == index) & (torch.arange(12)[:, None] >= torch.arange(12))
    expected = logits[:, 0].expand(12, 12).masked_fill(~mask, -math.inf).softmax(-1) @ values
    agree(weighted / total, expected, [logits, values], 1e-9)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_the_work_bound(lengths):
    calls = []

    def counted(earlier, later):
        calls.append(len(earlier[0]))
        return (earlier[0] + later[0],)

    x, segments = normal(sum(lengths), 1), Segments(pointer(lengths))
    out = associative_scan(counted, (x,), segments)[0]
    torch.testing.assert_close(out, reference.associative_scan(lambda a, b: (a[0] + b[0],), (x,), segments.ptr)[0])
    filled = sum(n > 0 for n in lengths)
    assert sum(calls) == sum((n >> level) - 1 for n in lengths for level in range(n.bit_length()))
    assert sum(calls) <= 2 * (sum(lengths) - filled)
    assert len(calls) == 2 * max(max(lengths).bit_length() - 1, 0)


def test_three_rows_by_hand():
    """Strings of letters as base-10 numbers with their lengths: appending is associative and does not commute."""
    letters, tens = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.full((4, 1), 10.0)

    def append(earlier, later):
        return earlier[0] * later[1] + later[0], earlier[1] * later[1]

    ptr = pointer([3, 1])
    for scan, segments in ((associative_scan, Segments(ptr)), (reference.associative_scan, ptr)):
        assert scan(append, (letters, tens), segments)[0].flatten().tolist() == [1, 12, 123, 4]
        assert scan(append, (letters, tens), segments, True)[0].flatten().tolist() == [321, 32, 3, 4]


def test_nothing_crosses_a_segment():
    x = torch.ones(6, 1)
    x[2:4] = math.nan
    out = associative_scan(lambda a, b: (a[0] * b[0],), (x,), Segments(pointer([2, 2, 2])))[0]
    assert out.isnan().flatten().tolist() == [False, False, True, True, False, False]


def test_second_derivatives():
    gate, x, segments = normal(6, 1).requires_grad_(), normal(6, 1).requires_grad_(), Segments(pointer([4, 2]))
    assert torch.autograd.gradgradcheck(lambda a, b: associative_scan(affine, (a, b), segments)[1], (gate, x))


def test_compile_without_a_graph_break():
    """With any operator, once the order of work is kept on the segments."""
    logits, values = normal(9, 1).requires_grad_(), normal(9, 2).requires_grad_()
    segments = Segments(pointer([4, 0, 5]))

    def call(logits, values):
        return associative_scan(attention, (logits, torch.ones_like(logits), values), segments)[2]

    expected = call(logits, values)
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    agree(compiled(logits, values), expected, [logits, values], 1e-12)


def test_the_result_shares_no_memory_with_the_elements():
    x = torch.ones(3, 1)
    associative_scan(affine, (x, x), Segments(pointer([1, 1, 1])))[0].zero_()
    assert x.sum() == 3


def test_rows_that_do_not_fit():
    with pytest.raises(StructureError, match="3 rows in every element"):
        associative_scan(affine, (torch.ones(3, 1), torch.ones(2, 1)), Segments(pointer([3])))
