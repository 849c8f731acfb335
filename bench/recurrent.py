"""GRU and LSTM over ragged sequences, width 64, forward and backward: ours, torch's packed form, a loop by hand."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.ragged import WIDTH, describe, lengths
from bench.registry import Case, Form, measure
from structnet.kernels import segment_rnn
from structnet.schedules import step_schedule
from structnet.structures import Segments

TESTS = "tests/kernels/test_segment_rnn.py"


def ours(x: Tensor, segments: Segments, rnn: nn.RNNBase) -> Tensor:
    states, _ = segment_rnn(x, segments, rnn.all_weights[0], rnn.mode.lower())
    return states[0] if rnn.mode == "LSTM" else states  # type: ignore[return-value]


def by_hand(x: Tensor, segments: Segments, rnn: nn.RNNBase) -> Tensor:
    """Time-major slices by `split`, one product for all inputs: what a careful user writes."""
    w_ih, w_hh, b_ih, b_hh = rnn.all_weights[0]
    schedule = step_schedule(segments)
    sides = torch.addmm(b_ih, x.index_select(0, schedule.rows), w_ih.t()).split(schedule.sizes)
    step = lstm_step if rnn.mode == "LSTM" else gru_step
    h = c = x.new_zeros(schedule.sizes[0], WIDTH)
    states = []
    for side in sides:
        h, c = step(side, torch.addmm(b_hh, h[: len(side)], w_hh.t()), h[: len(side)], c[: len(side)])
        states.append(h)
    return torch.cat(states).index_select(0, schedule.back)


def gru_step(side: Tensor, hidden: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    (r, z, n), (r_h, z_h, n_h) = side.chunk(3, 1), hidden.chunk(3, 1)
    r, z = torch.sigmoid(r + r_h), torch.sigmoid(z + z_h)
    n = torch.tanh(n + r * n_h)
    return n + z * (h - n), c


def lstm_step(side: Tensor, hidden: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = (side + hidden).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def packed(x: Tensor, segments: Segments, rnn: nn.RNNBase) -> Tensor:
    """torch's own, its PackedSequence built without padding."""
    schedule = step_schedule(segments)
    sequence = nn.utils.rnn.PackedSequence(x.index_select(0, schedule.rows), schedule.counts)
    return rnn(sequence)[0].data.index_select(0, schedule.back)


def case(segments: Segments, shape: str, rnn: nn.RNNBase) -> Case:
    x = torch.randn(segments.num_rows, WIDTH, requires_grad=True)
    inputs = [x, *rnn.parameters()]
    calls: dict[str, Callable[..., Tensor]] = {
        "structnet segment_rnn": ours, "loop by hand": by_hand, f"torch packed {rnn.mode}": packed
    }  # fmt: skip
    forms: dict[str, Form] = {
        name: lambda f=call: torch.autograd.grad(f(x, segments, rnn).sum(), inputs) for name, call in calls.items()
    }

    def check() -> None:
        first, *others = (call(x, segments, rnn) for call in calls.values())
        for other in others:
            torch.testing.assert_close(first, other, rtol=1e-3, atol=1e-4)

    return Case(forms, check, 0, segments.num_rows, describe(shape, segments))


def sequences() -> Segments:
    """2,000 sequences of 1 .. 48 steps, about 49,000 together."""
    return Segments.from_lengths(torch.randint(1, 49, (2_000,), generator=torch.Generator().manual_seed(0)))


def _power_law(rows: int, rnn: Callable[..., nn.RNNBase] = nn.GRU) -> Case:
    return case(lengths("power-law", rows), "power-law", rnn(WIDTH, WIDTH))


for _name, _rnn in (("gru", nn.GRU), ("lstm", nn.LSTM)):
    measure(f"recurrent/2000-sequences-{_name}", TESTS, repeats=3)(
        lambda r=_rnn: case(sequences(), "1 .. 48 steps", r(WIDTH, WIDTH))
    )
    for _rows in (1_000, 4_000, 16_000):
        measure(f"sizes/{_name}/{_rows}", TESTS, repeats=3)(lambda n=_rows, r=_rnn: _power_law(n, r))
measure("recurrent/200000-power-law-steps", TESTS, repeats=3)(lambda: _power_law(200_000))  # minutes for the packed one
