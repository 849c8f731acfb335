"""Rounds of the candidate network: the registered op and the choice of its form."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.kernels.candidate_rounds import cpu, torch_form
from structnet.kernels.candidate_rounds.weights import CandidateWeights
from structnet.native import library

REGISTER = 16  # floats; the compiled form wants whole registers


def candidate_rounds(
    weights: CandidateWeights, state: Tensor, puzzles: Tensor, rounds: int, kept: int = 1
) -> tuple[Tensor, Tensor]:
    """`rounds` rounds on regular boards (README.md has the equations); nothing but the states is kept for the gradient.

    Args:
        weights: of one round, the same for all.
        state: `[boards, n, n, digits, width]`.
        puzzles: int64 `[boards, n * n]`, 0 = empty.
        kept: logits of this many last rounds are returned.

    Returns logits `[kept, boards, n * n, n]` and the last state. Gradients for weights and state, once (the torch form:
    any number of times). No boards or no rounds give empty logits and the state as it is.
    """
    width, hidden = weights.own.shape
    fits = width % REGISTER == 0 and hidden % REGISTER == 0 and state.dtype == weights.own.dtype == torch.float32
    if not (fits and state.device.type == "cpu" and library() is not None and rounds and len(puzzles)):
        return torch_form.candidate_rounds(weights, state, puzzles, rounds, kept)
    every = torch.is_grad_enabled() and (state.requires_grad or any(part.requires_grad for part in weights))
    out = torch.ops.structnet.candidate_rounds(weights.flat(), state, puzzles.long(), hidden, rounds, kept, every)
    return out[0], out[1]


@torch.library.custom_op("structnet::candidate_rounds", mutates_args=())
def _forward(
    weights: Tensor, state: Tensor, puzzles: Tensor, hidden: int, rounds: int, kept: int, every: bool
) -> tuple[Tensor, Tensor, Tensor]:
    logits, states = cpu.forward(weights.contiguous(), state, puzzles.contiguous(), hidden, rounds, kept, every)
    last = states[:, rounds if every else rounds % 2].clone()
    return logits, last, states if every else states.new_empty(0)


@_forward.register_fake
def _(weights, state, puzzles, hidden, rounds, kept, every):
    logits = state.new_empty(kept, *puzzles.shape, state.shape[-2])
    states = state.new_empty(state.shape[0], rounds + 1, *state.shape[1:]) if every else state.new_empty(0)
    return logits, state.new_empty(state.shape), states


@torch.library.custom_op("structnet::candidate_rounds_backward", mutates_args=())
def _backward(
    weights: Tensor, states: Tensor, puzzles: Tensor, hidden: int, dlogits: Tensor, dstate: Tensor
) -> tuple[Tensor, Tensor]:
    missing = states.shape[1] - 1 - len(dlogits)  # rounds whose logits were not kept
    dlogits = torch.cat([dlogits.new_zeros(missing, *dlogits.shape[1:]), dlogits]) if missing else dlogits.contiguous()
    return cpu.backward(weights.contiguous(), states, puzzles.contiguous(), hidden, dlogits, dstate)


@_backward.register_fake
def _(weights, states, puzzles, hidden, dlogits, dstate):
    return torch.empty_like(weights), states.new_empty(states.shape[0], *states.shape[2:])


def _save(ctx, inputs, output):
    weights, _, puzzles, ctx.hidden, *_ = inputs
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[2])
    ctx.save_for_backward(weights, output[2], puzzles, output[0])


def _differentiate(ctx, dlogits, dlast, _):
    weights, states, puzzles, logits = ctx.saved_tensors
    dlogits = torch.zeros_like(logits) if dlogits is None else dlogits
    dlast = torch.zeros_like(states[:, 0]) if dlast is None else dlast
    inputs = (weights, states, puzzles, ctx.hidden, dlogits, dlast)
    dweights, dstart = torch.ops.structnet.candidate_rounds_backward(*inputs)
    return dweights, dstart, None, None, None, None, None


_forward.register_autograd(_differentiate, setup_context=_save)
