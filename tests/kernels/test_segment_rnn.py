import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from structnet.errors import StructureError
from structnet.kernels import segment_rnn
from structnet.kernels.segment_rnn import cpu, op, packed, reference, torch_form
from structnet.native import library
from structnet.structures import Segments
from tests.kernels.conftest import LENGTHS, TOLERANCE, normal, pointer

CELLS = {"gru": nn.GRUCell, "lstm": nn.LSTMCell}
LAYERS = {"gru": nn.GRU, "lstm": nn.LSTM}


@pytest.fixture(params=["compiled", "compiled, no tail", "torch"])
def form(request, monkeypatch):
    """All CPU forms through the one op: a call per step, many steps in one call, torch's operations."""
    if request.param == "torch":
        monkeypatch.setattr(packed, "compiled_for", lambda x: None)
    if request.param == "compiled, no tail":
        monkeypatch.setattr(cpu, "NARROW", 0)
    return request.param


def tensors(state):
    return list(state) if isinstance(state, tuple) else [state]


def arguments(lengths, kind, inputs=3, width=4, dtype=torch.float64, initial=True):
    parts = op.PARTS[kind]
    x = normal(sum(lengths), inputs, dtype=dtype).requires_grad_()
    shapes = ((parts * width, inputs), (parts * width, width), (parts * width,), (parts * width,))
    weights = [(normal(*s, dtype=dtype, seed=i) / width**0.5).requires_grad_() for i, s in enumerate(shapes)]
    start = [normal(len(lengths), width, dtype=dtype, seed=7 + i).requires_grad_() for i in range(parts - 2)]
    return x, pointer(lengths), weights, (start[0] if kind == "gru" else tuple(start)) if initial else None


def agree(fast, slow, inputs, tolerance):
    """States, last states and every gradient, with random cotangents for both."""
    got, expected = ([*tensors(a), *tensors(b)] for a, b in (fast, slow))
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)
    inputs = [t for t in inputs if t is not None and t.requires_grad]
    weight = [normal(*t.shape, dtype=t.dtype, seed=20 + i) for i, t in enumerate(got)]
    # + 0 * sum: an input that nothing depends on has a gradient of zeros
    tied = 0 * sum(i.sum() for i in inputs)
    totals = [sum((t * w).sum() for t, w in zip(outs, weight)) + tied for outs in (got, expected)]
    grads = [torch.autograd.grad(total, inputs, retain_graph=True) for total in totals]
    torch.testing.assert_close(*grads, rtol=20 * tolerance, atol=20 * tolerance)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", CELLS)
def test_three_sequences_are_calls_of_torchs_cell(form, kind, reverse):
    cell = CELLS[kind](3, 5).double()
    x, ptr = normal(6, 3), pointer([2, 0, 4])
    states, last = segment_rnn(x, ptr, tuple(cell.parameters()), kind, reverse=reverse)
    for s, (a, b) in enumerate([(0, 2), (2, 2), (2, 6)]):
        h = None
        for t in reversed(range(a, b)) if reverse else range(a, b):
            h = cell(x[t], h)
            torch.testing.assert_close([s[t] for s in tensors(states)], tensors(h), rtol=1e-12, atol=1e-12)
        expected = [torch.zeros(5).double()] * len(tensors(last)) if h is None else tensors(h)
        torch.testing.assert_close([t[s] for t in tensors(last)], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_weights_of_two_bidirectional_layers_as_torch_has_them(form, kind):
    lengths = [3, 1, 4]
    rnn = LAYERS[kind](3, 5, num_layers=2, bidirectional=True).double()
    x, segments = normal(8, 3), Segments(pointer(lengths))
    expected = nn.utils.rnn.pack_sequence(x.split(lengths), enforce_sorted=False)
    expected = torch.cat(nn.utils.rnn.unpack_sequence(rnn(expected)[0]))
    for layer in range(2):
        both = [segment_rnn(x, segments, rnn.all_weights[2 * layer + d], kind, reverse=d == 1)[0] for d in range(2)]
        x = torch.cat([tensors(states)[0] for states in both], 1)
    torch.testing.assert_close(x, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("initial, reverse", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_ragged_edges(form, kind, lengths, initial, reverse):
    x, ptr, weights, start = arguments(lengths, kind, initial=initial)
    if sum(lengths) > 500:  # the reference is a loop over rows
        lengths = [200, 1, 3]
        x, ptr, weights, start = arguments(lengths, kind, initial=initial)
    slow = reference.segment_rnn(x, ptr, weights, kind, start, reverse)
    fast = segment_rnn(x, ptr, weights, kind, start, reverse)
    agree(fast, slow, [x, *weights, *tensors(start)] if initial else [x, *weights], 1e-10)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("width", [1, 3, 32, 100, 128])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_widths_and_types(form, kind, width, dtype):
    lengths = [5, 0, 1, 7] + [2] * 20
    x, ptr, weights, start = arguments(lengths, kind, 3, width, dtype)
    if dtype == torch.bfloat16:
        wide = segment_rnn(x.double(), ptr, [w.double() for w in weights], kind)[1]
        narrow = segment_rnn(x, ptr, weights, kind)[1]
        for one, other in zip(tensors(narrow), tensors(wide), strict=True):
            torch.testing.assert_close(one, other.to(dtype), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
        return
    slow = reference.segment_rnn(x, ptr, weights, kind, start)
    agree(segment_rnn(x, ptr, weights, kind, start), slow, [x, *weights, *tensors(start)], TOLERANCE[dtype])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=24), st.booleans(), st.sampled_from(sorted(CELLS)))
def test_any_lengths(lengths, reverse, kind):
    x, ptr, weights, start = arguments(lengths, kind, 2, 3)
    slow = reference.segment_rnn(x, ptr, weights, kind, start, reverse)
    agree(segment_rnn(x, ptr, weights, kind, start, reverse), slow, [x, *weights, *tensors(start)], 1e-10)


@pytest.mark.parametrize("kind", CELLS)
def test_the_tail_and_steps_of_their_own_agree(kind, monkeypatch):
    """Wide steps, then narrow ones in one call, with a last block that is not full."""
    lengths = [9, 7, 5, 3, 2] + [1] * 40
    x, ptr, weights, start = arguments(lengths, kind, 3, 40)
    slow = segment_rnn(x, ptr, weights, kind, start)
    for narrow in (0, 3, 100):
        monkeypatch.setattr(cpu, "NARROW", narrow)
        agree(segment_rnn(x, ptr, weights, kind, start), slow, [x, *weights, *tensors(start)], 1e-12)


@pytest.mark.parametrize("kind", CELLS)
def test_a_sequence_alone_and_in_a_batch(form, kind):
    lengths = [4, 30, 0, 2, 17] + [1] * 20
    x, ptr, weights, start = arguments(lengths, kind)
    states, last = segment_rnn(x, ptr, weights, kind, start)
    for s, (a, b) in enumerate(zip(ptr.tolist(), ptr.tolist()[1:])):
        own = start[s : s + 1] if kind == "gru" else tuple(t[s : s + 1] for t in start)
        one, end = segment_rnn(x[a:b], pointer([b - a]), weights, kind, own)
        for got, expected in zip(tensors(states) + tensors(last), tensors(one) + tensors(end), strict=True):
            got = got[a:b] if len(got) == len(x) else got[s : s + 1]
            torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_int32_pointers_non_contiguous_input_no_bias():
    x, ptr, weights, start = arguments([3, 0, 4], "gru")
    expected = segment_rnn(x, ptr, [*weights[:2], *(torch.zeros_like(w) for w in weights[2:])], "gru", start)
    torch.testing.assert_close(segment_rnn(x, ptr.int(), weights[:2], "gru", start), expected)
    strided = [t.detach().t().contiguous().t() for t in (x, *weights[:2], start)]
    torch.testing.assert_close(segment_rnn(strided[0], Segments(ptr), strided[1:3], "gru", strided[3]), expected)


@pytest.mark.parametrize("kind", CELLS)
def test_gradients_asked_for_one_input_only(form, kind):
    x, ptr, weights, start = arguments([3, 0, 4], kind)
    inputs = [x, *weights, *tensors(start)]
    for wanted in range(len(inputs)):
        some = [t.detach().requires_grad_(i == wanted) for i, t in enumerate(inputs)]
        begin = some[5] if kind == "gru" else (some[5], some[6])
        slow = reference.segment_rnn(some[0], ptr, some[1:5], kind, begin)
        agree(segment_rnn(some[0], ptr, some[1:5], kind, begin), slow, some, 1e-10)


@pytest.mark.parametrize("kind", CELLS)
def test_gradcheck_twice_and_opcheck(form, kind):
    x, ptr, weights, start = arguments([2, 0, 3], kind, 2, 2)

    def call(x, *rest):
        begin = rest[4] if kind == "gru" else rest[4:]
        states, last = segment_rnn(x, ptr, rest[:4], kind, begin)
        return (*tensors(states), *tensors(last))

    inputs = (x, *weights, *tensors(start))
    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=True)
    torch.use_deterministic_algorithms(False)
    order = Segments(ptr)
    schedule = packed_arguments(order)
    first = [t.detach()[schedule[3]].requires_grad_() for t in tensors(start)]
    c0 = first[1] if kind == "lstm" else first[0].detach()[:0]
    args = (x, *schedule[:3], first[0], c0, *weights[:2], op._bias(weights, kind).detach())
    torch.library.opcheck(torch.ops.structnet.segment_rnn.default, args)


def packed_arguments(segments):
    schedule = op.step_schedule(segments)
    return schedule.rows, schedule.back, schedule.counts, schedule.segment_order[: schedule.sizes[0]]


@pytest.mark.parametrize("kind", CELLS)
def test_compile_without_a_graph_break(kind):
    x, ptr, weights, start = arguments([2, 0, 3], kind)
    segments = Segments(ptr)
    expected = segment_rnn(x, segments, weights, kind, start)  # builds the schedule that is kept on the segments
    call = lambda x, *w: segment_rnn(x, segments, w, kind, start)  # noqa: E731
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    agree(compiled(x, *weights), expected, [x, *weights], 1e-12)


@pytest.mark.parametrize("kind", CELLS)
def test_nan_stays_in_its_sequence(form, kind):
    x, ptr, weights, _ = arguments([2, 3, 2] + [1] * 20, kind)
    x = x.detach()
    x[3] = math.nan
    states, last = segment_rnn(x, ptr, weights, kind)
    for t in tensors(states):
        assert t[3:5].isnan().all() and t[:3].isfinite().all() and t[5:].isfinite().all()
    assert tensors(last)[0].isnan().any(1).nonzero().tolist() == [[1]]


@pytest.mark.skipif(library() is None, reason="the compiled library is off")
@pytest.mark.parametrize("x", [-1e4, -100.0, -30.0, -1e-3, -1e-20, 0.0, 1e-7, 0.3, 20.0, 1e4, math.inf, -math.inf])
def test_gates_at_the_ends_of_their_range(x):
    """The compiled sigmoid and tanh against torch's, through one step of either cell."""
    for lstm in (False, True):
        gates = torch.full((1, 160), x, dtype=torch.float64)
        gates[:, 80:120] = 0.0 if not lstm else x  # q: 0 * r may not be 0 * inf
        made = []
        for form in (cpu, torch_form):
            here, before = gates.clone(), torch.ones(1, 40, dtype=torch.float64)
            h, c = torch.empty_like(before), torch.empty_like(before) if lstm else None
            form.step(here, before, before if lstm else None, h, c)
            made.append([here, h])
        torch.testing.assert_close(*made, rtol=1e-14, atol=1e-300)


def test_the_same_bits_twice_with_any_number_of_threads():
    x, ptr, weights, start = arguments([60, 0, 40] + [9] * 20 + [2] * 600, "gru", 16, 64, torch.float32)
    inputs = [x, *weights, start]
    for threads in (1, 2):
        torch.set_num_threads(threads)
        runs = []
        for _ in range(2):
            states, last = segment_rnn(x, ptr, weights, "gru", start)
            runs.append([states, last, *torch.autograd.grad(states.sin().sum() + last.sum(), inputs)])
        assert all(torch.equal(one, two) for one, two in zip(*runs))
    torch.set_num_threads(1)


def test_memory_is_proportional_to_the_steps():
    """What is kept for the backward pass: x, states and four activations a channel, however long the longest is."""
    for lengths in ([600] + [1] * 400, [10] * 100):
        x, ptr, weights, _ = arguments(lengths, "gru", 8, 8, torch.float32)
        kept = {}

        def note(t, kept=kept):
            kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
            states, _ = segment_rnn(x, ptr, weights)
        assert sum(kept.values()) <= 1000 * (8 + 8 + 4 * 8) * 4 + 3 * 1000 * 8 + 60_000
        states.sum().backward()


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda w: segment_rnn(torch.ones(3, 3), pointer([3]), w, "rnn"), "gru, lstm"),
        (lambda w: segment_rnn(torch.ones(3, 3), pointer([3]), w[:3]), "2 weights"),
        (lambda w: segment_rnn(torch.ones(3, 2), pointer([3]), w), "[(12, 2), (12, 4)"),
        (lambda w: segment_rnn(torch.ones(3, 3), pointer([3]), w, "lstm"), 'kind="lstm"'),
        (lambda w: segment_rnn(torch.ones(3, 3), pointer([4]), w), "segments over 3 rows"),
        (lambda w: segment_rnn(torch.ones(3, 3), pointer([3]), w, initial=torch.ones(2, 4)), "[1, 4]"),
        (lambda w: segment_rnn(torch.ones(3, 3), pointer([3]), [w[0], w[1].double(), *w[2:]]), "of one dtype"),
    ],
)
def test_bad_calls(call, words):
    weights = [t.detach().float() for t in arguments([3], "gru")[2]]
    with pytest.raises(StructureError) as error:
        call(weights)
    assert words in str(error.value)
