"""The compiled rounds against the torch form, which test_candidate_network.py holds against the equations."""

import pytest
import torch

from structnet import native
from structnet.kernels.candidate_rounds import CandidateWeights, candidate_rounds, torch_form

needs_library = pytest.mark.skipif(native.library() is None, reason="no compiled library")


def problem(n: int, width: int, hidden: int, boards: int = 3, dtype=torch.float32):
    draw = torch.Generator().manual_seed(n + width)
    random = lambda *shape: torch.randn(*shape, generator=draw, dtype=dtype)  # noqa: E731
    shapes = CandidateWeights.shapes(width, hidden)
    parts = (random(*shape) / (9 * shape[-2] if len(shape) > 1 else 2) ** 0.5 for shape in shapes)
    weights = CandidateWeights(*(part.requires_grad_() for part in parts))
    given = torch.rand(boards, n * n, generator=draw) < 0.4
    puzzles = torch.randint(0, n + 1, (boards, n * n), generator=draw) * given
    return weights, random(boards, n, n, n, width).requires_grad_(), puzzles


@needs_library
@pytest.mark.parametrize("n, width, hidden", [(4, 16, 16), (6, 32, 80), (9, 48, 32), (9, 32, 64), (16, 16, 48)])
@pytest.mark.parametrize("rounds, kept, near", [(1, 1, 1e-4), (3, 1, 1e-3), (3, 3, 1e-3)])
def test_compiled_equals_torch_in_outputs_and_every_gradient(n, width, hidden, rounds, kept, near):
    """Against float64, relative to each tensor's norm: rounding turns a few ReLUs near 0 on or off."""
    weights, state, puzzles = problem(n, width, hidden)
    results = []
    for form, dtype in ((candidate_rounds, torch.float32), (torch_form.candidate_rounds, torch.float64)):
        w, h = CandidateWeights(*(part.to(dtype) for part in weights)), state.to(dtype)
        outputs = form(w, h, puzzles, rounds, kept)
        draw = torch.Generator().manual_seed(0)
        loss = sum((x * torch.randn(x.shape, generator=draw)).sum() for x in outputs)
        results.append((*outputs, *torch.autograd.grad(loss, [*weights, state])))
    assert results[0][0].shape == (kept, 3, n * n, n)
    for fast, exact in zip(*results):
        assert (fast - exact).norm() < near * exact.norm()


@needs_library
def test_only_some_gradients_and_no_gradient():
    weights, state, puzzles = problem(4, 16, 32)
    expected = torch_form.candidate_rounds(weights, state, puzzles, 5, 2)
    with torch.no_grad():
        quiet = candidate_rounds(weights, state, puzzles, 5, 2)
    for a, b in zip(quiet, expected):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    still = CandidateWeights(*(part.detach() for part in weights))
    for pick in (0, 1):  # the gradient of one output alone
        grads = [torch.autograd.grad(form(still, state, puzzles, 2, 1)[pick].sin().sum(), state)[0]
                 for form in (candidate_rounds, torch_form.candidate_rounds)]  # fmt: skip
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


def test_nothing_to_do():
    weights, state, puzzles = problem(4, 16, 16)
    logits, last = candidate_rounds(weights, state, puzzles, 0, 1)
    assert logits.shape == (0, 3, 16, 4) and torch.equal(last, state)
    logits, last = candidate_rounds(weights, state[:0], puzzles[:0], 2, 1)
    assert logits.shape == (1, 0, 16, 4) and last.shape == (0, 4, 4, 4, 16)


@needs_library
def test_the_batching_law_bit_for_bit_and_repeatability():
    weights, state, puzzles = problem(9, 32, 64, boards=4)
    with torch.no_grad():
        whole = candidate_rounds(weights, state, puzzles, 4, 4)
        for at in range(4):
            one = slice(at, at + 1)
            alone = candidate_rounds(weights, state[one], puzzles[one], 4, 4)
            assert torch.equal(alone[0], whole[0][:, one]) and torch.equal(alone[1], whole[1][one])
    losses = [candidate_rounds(weights, state, puzzles, 2, 2)[0].sum() for _ in range(2)]
    grads = [torch.autograd.grad(loss, [*weights, state]) for loss in losses]
    assert all(torch.equal(a, b) for a, b in zip(*grads))


@needs_library
def test_large_gates_saturate_without_nan():
    weights, state, puzzles = problem(4, 16, 16)
    big = weights._replace(update_bias=torch.tensor([200.0] * 8 + [-200.0] * 8 + [1.0] * 16))
    with torch.no_grad():
        fast, slow = (form(big, state, puzzles, 2, 1)[1] for form in (candidate_rounds, torch_form.candidate_rounds))
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-5)


@needs_library
def test_the_registered_op_passes_opcheck():
    weights, state, puzzles = problem(4, 16, 16, boards=1)
    flat = weights.flat().detach().requires_grad_()
    torch.library.opcheck(torch.ops.structnet.candidate_rounds.default, (flat, state, puzzles, 16, 2, 2, True))
