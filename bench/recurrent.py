"""GRU over ragged sequences, width 64, forward and backward: segment_rnn, packed nn.GRU, a loop written by hand."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.registry import Case, Form, measure
from bench.segment import WIDTH, describe, lengths
from structnet.kernels import segment_rnn
from structnet.schedules import step_schedule
from structnet.structures import Segments

TESTS = "tests/kernels/test_segment_rnn.py"


def by_hand(x: Tensor, segments: Segments, gru: nn.GRU) -> Tensor:
    """Time-major slices by `split`, one product for all inputs: what a careful user writes."""
    w_ih, w_hh, b_ih, b_hh = gru.all_weights[0]
    schedule = step_schedule(segments)
    sides = torch.addmm(b_ih, x.index_select(0, schedule.rows), w_ih.t()).split(schedule.sizes)
    h, states = x.new_zeros(schedule.sizes[0], WIDTH), []
    for side in sides:
        h = h[: len(side)]
        (r, z, n), (r_h, z_h, n_h) = side.chunk(3, 1), torch.addmm(b_hh, h, w_hh.t()).chunk(3, 1)
        r, z = torch.sigmoid(r + r_h), torch.sigmoid(z + z_h)
        n = torch.tanh(n + r * n_h)
        h = n + z * (h - n)
        states.append(h)
    return torch.cat(states).index_select(0, schedule.back)


def packed(x: Tensor, segments: Segments, gru: nn.GRU) -> Tensor:
    """torch's own, its PackedSequence built without padding."""
    schedule = step_schedule(segments)
    sequence = nn.utils.rnn.PackedSequence(x.index_select(0, schedule.rows), schedule.counts)
    return gru(sequence)[0].data.index_select(0, schedule.back)


def case(segments: Segments, note: str, **peers: Callable) -> Case:
    gru, x = nn.GRU(WIDTH, WIDTH), torch.randn(segments.num_rows, WIDTH, requires_grad=True)
    inputs = [x, *gru.parameters()]
    calls = {"structnet segment_rnn": lambda x, segments, gru: segment_rnn(x, segments, gru.all_weights[0])[0], **peers}
    forms: dict[str, Form] = {
        name.replace("_", " "): lambda f=call: torch.autograd.grad(f(x, segments, gru).sum(), inputs)
        for name, call in calls.items()
    }

    def check() -> None:
        first, *others = (call(x, segments, gru) for call in calls.values())
        for other in others:
            torch.testing.assert_close(first, other, rtol=1e-3, atol=1e-4)

    return Case(forms, check, 0, segments.num_rows, note)


def sequences() -> Segments:
    """2,000 sequences of 1 .. 48 steps, about 49,000 together."""
    return Segments.from_lengths(torch.randint(1, 49, (2_000,), generator=torch.Generator().manual_seed(0)))


@measure("recurrent/2000-sequences", TESTS, repeats=3)
def _short() -> Case:
    segments = sequences()
    return case(segments, describe("1 .. 48 steps", segments), loop_by_hand=by_hand, torch_packed_GRU=packed)


def _power_law(rows: int) -> Case:
    segments = lengths("power-law", rows)
    return case(segments, describe("power-law", segments), loop_by_hand=by_hand, torch_packed_GRU=packed)


measure("recurrent/200000-power-law-steps", TESTS, repeats=3)(lambda: _power_law(200_000))  # minutes for the packed one
for _rows in (1_000, 4_000, 16_000):
    measure(f"sizes/gru/{_rows}", TESTS, repeats=3)(lambda n=_rows: _power_law(n))
