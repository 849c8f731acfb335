import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structnet.errors import StructureError
from structnet.kernels import log_scan, segment_scan
from structnet.kernels.segment_scan import op, reference, torch_form
from structnet.structures import Segments
from tests.kernels.conftest import LENGTHS, TOLERANCE, WIDTHS, agree, normal, pointer

FORMS = {"op": segment_scan, "torch": torch_form.segment_scan}


def arguments(lengths, width, gates, dtype=torch.float64, initial=True):
    rows = sum(lengths)
    gate = torch.sigmoid(normal(rows, gates)).to(dtype).requires_grad_()
    x = normal(rows, width, dtype=dtype).requires_grad_()
    first = normal(len(lengths), width, dtype=dtype, seed=3).requires_grad_() if initial else None
    return gate, x, pointer(lengths), first


def test_three_rows_by_hand():
    gate, x = torch.tensor([[9.0], [2.0], [3.0]]), torch.tensor([[1.0], [1.0], [5.0]])
    assert segment_scan(gate, x, torch.tensor([0, 2, 3])).flatten().tolist() == [1, 3, 5]
    start = torch.tensor([[1.0], [2.0]])
    assert segment_scan(gate, x, torch.tensor([0, 2, 3]), start).flatten().tolist() == [10, 21, 11]
    assert segment_scan(gate, x, torch.tensor([0, 2, 3]), reverse=True).flatten().tolist() == [10, 1, 5]


def test_the_reference_against_a_closed_form():
    gate = torch.full((6, 1), 0.5, dtype=torch.float64)
    out = reference.segment_scan(gate, torch.ones(6, 2, dtype=torch.float64), pointer([6]))
    torch.testing.assert_close(out[:, 0], 2 - 0.5 ** torch.arange(6, dtype=torch.float64))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_ragged_edges(form, reverse, initial, lengths):
    gate, x, ptr, first = arguments(lengths, 6, 3, initial=initial)
    slow = reference.segment_scan(gate, x, ptr, first, reverse)
    agree(FORMS[form](gate, x, ptr, first, reverse), slow, [gate, x, *([first] if initial else [])], 1e-10)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_widths_and_types(form, width, dtype):
    for gates in {1, width}:
        gate, x, ptr, first = arguments(LENGTHS["mixed"], width, gates, dtype)
        wide = [t.detach().double().requires_grad_() for t in (gate, x, first)]
        slow = reference.segment_scan(wide[0], wide[1], ptr, wide[2]).to(dtype)
        out = FORMS[form](gate, x, ptr, first)
        torch.testing.assert_close(out, slow, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
        if dtype != torch.bfloat16:
            got = torch.autograd.grad(out.sum(), (gate, x, first))
            expected = torch.autograd.grad(slow.sum(), wide)
            for one, other in zip(got, expected, strict=True):
                torch.testing.assert_close(one, other.to(dtype), rtol=20 * TOLERANCE[dtype], atol=20 * TOLERANCE[dtype])


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.booleans(), st.sampled_from([1, 2, 4]))
def test_any_lengths(lengths, reverse, gates):
    gate, x, ptr, first = arguments(lengths, 4, gates)
    slow = reference.segment_scan(gate, x, ptr, first, reverse)
    for form in FORMS.values():
        agree(form(gate, x, ptr, first, reverse), slow, [gate, x, first], 1e-10)


def test_int32_pointers_non_contiguous_input_and_segments():
    gate, x, ptr, first = arguments([3, 0, 4], 6, 6)
    expected = segment_scan(gate, x, ptr, first)
    torch.testing.assert_close(segment_scan(gate, x, ptr.int(), first), expected)
    torch.testing.assert_close(segment_scan(gate, x, Segments(ptr), first), expected)
    strided = [t.detach().t().contiguous().t() for t in (gate, x, first)]
    assert not strided[0].is_contiguous()
    torch.testing.assert_close(segment_scan(strided[0], strided[1], ptr, strided[2]), expected)


@pytest.mark.parametrize("wanted", range(3))
def test_gradients_asked_for_one_input_only(wanted):
    gate, x, ptr, first = arguments([3, 0, 4], 2, 1)
    inputs = [t.detach().requires_grad_(i == wanted) for i, t in enumerate((gate, x, first))]
    slow = reference.segment_scan(inputs[0], inputs[1], ptr, inputs[2])
    agree(segment_scan(inputs[0], inputs[1], ptr, inputs[2]), slow, inputs, 1e-10)


def test_gradcheck_twice_and_opcheck():
    gate, x, ptr, first = arguments([2, 0, 3], 2, 1)
    call = lambda *t: segment_scan(t[0], t[1], ptr, t[2])  # noqa: E731
    assert torch.autograd.gradcheck(call, (gate, x, first))
    assert torch.autograd.gradgradcheck(call, (gate, x, first))
    torch.use_deterministic_algorithms(False)
    for initial in (first, None):
        torch.library.opcheck(torch.ops.structnet.segment_scan.default, (gate, x, ptr, initial, False))


def test_compile_without_a_graph_break():
    gate, x, ptr, first = arguments([2, 0, 3], 2, 1)
    compiled = torch.compile(lambda *t: torch.ops.structnet.segment_scan(t[0], t[1], ptr, t[2], False).sin(),
                             fullgraph=True, backend="aot_eager")  # fmt: skip
    expected = segment_scan(gate, x, ptr, first).sin()
    got = compiled(gate, x, first)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(*(torch.autograd.grad(o.sum(), (gate, x, first)) for o in (got, expected)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_broken_segment_does_not_reach_its_neighbours(form, bad):
    gate, x, ptr, first = (t.detach() for t in arguments([3, 4, 2], 2, 2))
    clean = FORMS[form](gate, x, ptr, first)
    gate[3:7], x[4] = bad, bad
    gate.requires_grad_()
    out = FORMS[form](gate, x, ptr, first)
    torch.testing.assert_close(out[[0, 1, 2, 7, 8]], clean[[0, 1, 2, 7, 8]])
    grad = torch.autograd.grad(out[[0, 1, 2, 7, 8]].sum(), gate)[0]
    assert grad[[0, 1, 2, 7, 8]].isfinite().all()


@pytest.mark.parametrize("form", ["compiled", "torch"])
@pytest.mark.parametrize("gates", [1, 2, 6])
@pytest.mark.parametrize("reverse, initial", [(False, False), (True, True)])
def test_log_gates(form, gates, reverse, initial, monkeypatch):
    """Against the gates themselves, down to a gate of exp(-800) and of 0."""
    if form == "torch":
        monkeypatch.setattr(op, "compiled_for", lambda x: None)
    _, x, ptr, first = arguments([4, 0, 5, 70], 6, 1, initial=initial)
    z = 3 * normal(79, gates)
    z[2], z[5], z[70] = 800.0, math.inf, 1e-12
    log_gate = (-torch.nn.functional.softplus(z)).requires_grad_()
    inputs = [log_gate, x, *([first] if initial else [])]
    expected = reference.segment_scan(log_gate.exp(), x, ptr, first, reverse)
    agree(log_scan(log_gate, x, ptr, first, reverse), expected, inputs, 1e-12)


def test_log_gates_twice_and_opcheck():
    gate, x, ptr, first = arguments([2, 0, 3], 2, 1)
    call = lambda *t: log_scan(-t[0], t[1], ptr, t[2])  # noqa: E731
    assert torch.autograd.gradcheck(call, (gate, x, first))
    assert torch.autograd.gradgradcheck(call, (gate, x, first))
    torch.use_deterministic_algorithms(False)
    torch.library.opcheck(
        torch.ops.structnet.segment_scan.default, ((-gate).detach().requires_grad_(), x, ptr, first, False, True)
    )


def test_the_same_bits_with_any_number_of_threads_and_without_the_library(monkeypatch):
    drawn = arguments([30_000, 5, 2_000] + [3] * 900, 32, 32, torch.float32, False)
    gate, x, ptr = (t.detach() for t in drawn[:3])
    inputs, made = [gate.requires_grad_(), x.requires_grad_()], []
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        out = segment_scan(gate, x, ptr)
        made.append((out.detach(), *torch.autograd.grad(out.sin().sum(), inputs)))
    torch.set_num_threads(1)
    assert all(torch.equal(*pair) for other in made[1:] for pair in zip(made[0], other))
    one = made[0][0]
    monkeypatch.setattr(op, "compiled_for", lambda x: None)
    torch.testing.assert_close(segment_scan(gate, x, ptr), one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: segment_scan(torch.ones(3, 2), torch.ones(3, 3), pointer([3])), "G dividing D"),
        (lambda: segment_scan(torch.ones(3), torch.ones(3, 3), pointer([3])), "gate[:, None]"),
        (lambda: segment_scan(torch.ones(3, 1), torch.ones(3, 3), pointer([4])), "segments over 3 rows"),
        (lambda: segment_scan(torch.ones(3, 1), torch.ones(3, 3), pointer([3]), torch.ones(2, 3)), "initial [1, 3]"),
    ],
)
def test_bad_calls(call, words):
    with pytest.raises(StructureError) as error:
        call()
    assert words in str(error.value)
