"""GRU and LSTM over ragged sequences: the registered op and its backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.kernels.ragged import as_ptr
from structnet.kernels.segment_rnn import packed, torch_form
from structnet.schedules import step_schedule
from structnet.structures import Segments

State: TypeAlias = "Tensor | tuple[Tensor, ...]"
PARTS = {"gru": 3, "lstm": 4}


def segment_rnn(
    x: Tensor,
    segments: Segments | Tensor,
    weights: Sequence[Tensor],
    kind: str = "gru",
    initial: State | None = None,
    reverse: bool = False,
) -> tuple[State, State]:
    """A GRU or an LSTM over every segment, all segments side by side.

        gru:   r, z = sigmoid(W x_t + b + U h_{t-1} + c)
               n = tanh(W x_t + b + r (U h_{t-1} + c)),  h_t = (1 - z) n + z h_{t-1}
        lstm:  i, f, o = sigmoid(W x_t + b + U h_{t-1} + c),  g = tanh(W x_t + b + U h_{t-1} + c)
               c_t = f c_{t-1} + i g,  h_t = o tanh(c_t)           (each gate has rows of its own in W, U, b, c)

    Args:
        x: `[N, inputs]`, rows in time order inside each segment.
        segments: `Segments` or a pointer tensor `[S + 1]`.
        weights: `(weight_ih, weight_hh)` or `(weight_ih, weight_hh, bias_ih, bias_hh)` as torch has them, e.g.
            `tuple(torch.nn.GRUCell(...).parameters())` or `torch.nn.LSTM(...).all_weights[layer]`.
        kind: "gru" or "lstm".
        initial: state before the first row, `[S, D]` (LSTM: a pair h, c); zeros if None.
        reverse: from the last row of each segment to the first.

    Returns the states after each row `[N, D]`, in the order of x, and the last state of each segment `[S, D]` (LSTM:
    pairs). An empty segment keeps its initial state. Gradients for every float input, twice (the second through torch's
    own operations). NaN stays in its segment. Computed in the type of the weights.

    Cost: one product for the input side of all rows, one per time step for the hidden side, and on the way back one per
    step and one per weight: linear in N. Kept for the backward pass: 4 D numbers a row beside the states. (Torch's
    packed sequences make a gradient of the whole for the slice of every step: quadratic in the number of steps.)

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014; Hochreiter and Schmidhuber,
    "Long short-term memory", 1997. Differs from the papers in: as in torch and cuDNN, r gates the product with U (the
    paper gates the state before it), and the LSTM has a forget gate.

    Raises:
        StructureError: unknown kind, weights or states that do not fit.
    """
    _check(x, weights, kind)
    x = x.to(weights[0].dtype)
    ptr = as_ptr(segments, len(x), x.device)
    owner = segments if isinstance(segments, Segments) else Segments.trusted(ptr)
    start = _initial(x, initial, len(owner), weights[1].shape[1], kind)
    schedule = step_schedule(owner, reverse)
    filled = schedule.segment_order[: schedule.sizes[0] if schedule.sizes else 0]
    first = [t.index_select(0, filled) for t in start]
    h, c, _ = torch.ops.structnet.segment_rnn(
        x, schedule.rows, schedule.back, schedule.counts, first[0], first[-1] if kind == "lstm" else first[0][:0],
        weights[0], weights[1], _bias(weights, kind),
    )  # fmt: skip
    ends = (ptr[:-1] if reverse else ptr[1:] - 1).index_select(0, filled)
    states = (h, c)[: len(start)]
    last = tuple(s.index_copy(0, filled, t.index_select(0, ends)) for s, t in zip(start, states))
    return (h, last[0]) if kind == "gru" else (states, last)


def _check(x: Tensor, weights: Sequence[Tensor], kind: str) -> None:
    if kind not in PARTS:
        raise StructureError(f"kind out of {', '.join(PARTS)}", repr(kind), 'kind="gru"')
    if len(weights) not in (2, 4):
        raise StructureError("2 weights, or 2 weights and 2 biases", str(len(weights)), "tuple(cell.parameters())")
    rows, width = PARTS[kind] * weights[1].shape[1], weights[1].shape[1]
    expected = [(rows, x.shape[-1]), (rows, width), (rows,), (rows,)][: len(weights)]
    got = [tuple(w.shape) for w in weights]
    if x.dim() != 2 or got != expected:
        raise StructureError(f"x [N, inputs] and weights {expected}", f"x {tuple(x.shape)}, {got}", f'kind="{kind}"?')
    if len({w.dtype for w in weights}) > 1:
        raise StructureError("weights of one dtype", str([w.dtype for w in weights]), "cell.float()")


def _initial(x: Tensor, initial: State | None, segments: int, width: int, kind: str) -> tuple[Tensor, ...]:
    count = 1 if kind == "gru" else 2
    if initial is None:
        return (x.new_zeros(segments, width),) * count
    given = (initial,) if isinstance(initial, Tensor) else tuple(initial)
    if [tuple(t.shape) for t in given] != [(segments, width)] * count:
        got = str([tuple(t.shape) for t in given])
        raise StructureError(f"{count} initial state(s) [{segments}, {width}]", got, "one row a segment")
    return tuple(t.to(x.dtype) for t in given)


def _bias(weights: Sequence[Tensor], kind: str) -> Tensor:
    """`[4 D]` in the order of the gates; only the candidate of a GRU keeps its two sides apart."""
    width = weights[1].shape[1]
    if len(weights) == 2:
        return weights[0].new_zeros(4 * width)
    x, h = weights[2:]
    return x + h if kind == "lstm" else torch.cat([(x + h)[: 2 * width], h[2 * width :], x[2 * width :]])


@torch.library.custom_op("structnet::segment_rnn", mutates_args=())
def _forward(
    x: Tensor,
    rows: Tensor,
    back: Tensor,
    sizes: Tensor,
    h0: Tensor,
    c0: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    bias: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """States in the order of x, and the activations in the order of steps."""
    with torch.autocast(x.device.type, enabled=False):
        h, c, gates = packed.forward(x, rows, sizes, h0, c0, w_ih, w_hh, bias)
    h, c = (t[len(h0) :].index_select(0, back) if len(t) else t.clone() for t in (h, c))
    return h, c, gates


@_forward.register_fake
def _(x, rows, back, sizes, h0, c0, w_ih, w_hh, bias):
    width = w_hh.shape[1]
    c = x.new_empty(len(x), width) if len(w_hh) == 4 * width else c0.new_empty(c0.shape)
    return x.new_empty(len(x), width), c, x.new_empty(len(x), 4 * width)


@torch.library.custom_op("structnet::segment_rnn_backward", mutates_args=())
def _backward(
    dh: Tensor,
    dc: Tensor,
    x: Tensor,
    rows: Tensor,
    back: Tensor,
    sizes: Tensor,
    h0: Tensor,
    c0: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    bias: Tensor,
    h: Tensor,
    c: Tensor,
    gates: Tensor,
    need_x: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    lstm = len(w_hh) == 4 * w_hh.shape[1]
    h, c = (_in_steps(h0, h, rows), _in_steps(c0, c, rows) if lstm else c)
    dh, dc = dh.index_select(0, rows), dc.index_select(0, rows) if lstm else dc
    with torch.autocast(x.device.type, enabled=False):  # a backward pass may run inside an autocast region
        dgates, dh0, dc0 = packed.backward(dh, dc, sizes, h, c, gates, w_hh)
        dx, dw_ih, dw_hh, dbias = packed.weight_gradients(x, rows, sizes, h, dgates, w_ih, w_hh, need_x)
    return dx.index_select(0, back) if need_x else dx, dh0, dc0, dw_ih, dw_hh, dbias


def _in_steps(initial: Tensor, states: Tensor, rows: Tensor) -> Tensor:
    """States in the order of steps, behind the initial ones."""
    made = packed.after(initial, len(states))
    torch.index_select(states, 0, rows, out=made[len(initial) :])
    return made


@_backward.register_fake
def _(dh, dc, x, rows, back, sizes, h0, c0, w_ih, w_hh, bias, h, c, gates, need_x):
    dx = torch.empty_like(x) if need_x else x.new_empty(0, x.shape[1])
    return dx, *map(torch.empty_like, (h0, c0, w_ih, w_hh, bias))


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs, *output)
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)  # zeros for the activations would be the largest tensor of all


def _differentiate(ctx, dh, dc, _):
    need_x, (h, c) = ctx.needs_input_grad[0], ctx.saved_tensors[-3:-1]
    dh, dc = (torch.zeros_like(t) if g is None else g for t, g in ((h, dh), (c, dc)))
    dx, dh0, dc0, *dweights = torch.ops.structnet.segment_rnn_backward(dh, dc, *ctx.saved_tensors, need_x)
    return dx if need_x else None, None, None, None, dh0, dc0, *dweights


_forward.register_autograd(_differentiate, setup_context=_save)


def _save_backward(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:11])
    ctx.need_x = inputs[14]


def _differentiate_twice(ctx, *grads):
    """The recursion once more as differentiable operations, and twice through it. All of the second derivative goes to
    the first inputs: h, c and gates are functions of them, so nothing is left to send to these."""
    dh, dc, x, rows, back, sizes, *inputs = ctx.saved_tensors
    inputs = [t.detach().requires_grad_() for t in (dh, dc, x, *inputs)]
    with torch.enable_grad():
        h, c = torch_form.states(inputs[2], rows, back, sizes.tolist(), *inputs[3:])
        made = torch.autograd.grad((h, c), inputs[2:], inputs[:2], create_graph=True, allow_unused=True)
        pairs = [(m, g) for m, g in zip(made, grads) if m is not None and m.requires_grad and m.shape == g.shape]
        out = torch.autograd.grad([m for m, _ in pairs], inputs, [g for _, g in pairs], allow_unused=True)
    return *out[:3], None, None, None, *out[3:], None, None, None, None


_backward.register_autograd(_differentiate_twice, setup_context=_save_backward)
