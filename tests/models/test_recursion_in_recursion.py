"""RIR: the published loop word by word, batches, draws, work."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structnet.errors import StructureError
from structnet.models.recursion_in_recursion import RecursionInRecursion, RecursionInRecursionClassifier
from structnet.structures import Segments
from tests.models import beam_reference

WIDTH = 6
RAGGED = (1, 2, 13, 5, 6, 30, 3, 9)  # chunks of 4: one level, two and three; last chunks of 1, 2, 4


def build(beam: int = 3, chunk: int = 4, **settings) -> RecursionInRecursion:
    torch.manual_seed(0)
    model = RecursionInRecursion(WIDTH, beam, chunk, slice=4, noise="none", **settings).double().eval()
    for layer in (model.inner.scorer[0], model.inner.scorer[2]):
        layer.weight.data *= 3  # chunks whose beams differ in weight
    return model


def batch(lengths):
    segments = Segments.from_lengths(torch.tensor(lengths))
    generator = torch.Generator().manual_seed(sum(lengths))
    return torch.randn(segments.num_rows, WIDTH, generator=generator, dtype=torch.float64, requires_grad=True), segments


def middle_of_share(scores, b: int, draws: int) -> int:
    """The beam in whose stretch of [0, 1], as long as its probability, the middle of the b-th of equal shares lies."""
    point, total = (b - 0.5) / draws, 0.0
    for at, p in enumerate(scores.softmax(0).tolist()):
        total += p
        if point <= total:
            return at
    return len(scores) - 1


@pytest.mark.parametrize("beam", [1, 3, 5])
def test_equals_the_published_loop(beam):
    model, (x, segments) = build(beam), batch(RAGGED)
    cell, scorer = model.inner.cell, model.inner.scorer
    parts = x.split(segments.lengths.tolist())
    theirs = torch.stack([beam_reference.rir(cell, scorer, part, beam, 4, middle_of_share) for part in parts])
    ours = model(x, segments)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    wanted, cotangent = [x, *model.parameters()], torch.randn(theirs.shape, dtype=theirs.dtype)
    both = [
        torch.autograd.grad((v * cotangent).sum(), wanted, allow_unused=True, materialize_grads=True)
        for v in (ours, theirs)
    ]
    for a, b in zip(*both):
        assert beam == 1 or a.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(model(x, segments), ours, rtol=1e-12, atol=1e-12)


@given(st.lists(st.integers(1, 25), min_size=1, max_size=5))
def test_batching_law(lengths):
    model, (x, segments) = build(), batch(lengths)
    alone = [model(part, Segments.from_lengths(torch.tensor([len(part)]))) for part in x.split(lengths)]
    torch.testing.assert_close(model(x, segments), torch.cat(alone), rtol=1e-12, atol=1e-12)


def test_draws_follow_the_softmax():
    model, many = build(deterministic=False), 20_000
    beams, scores = Segments.from_lengths(torch.tensor([1, 3])), torch.tensor([5.0, 0.0, math.log(3), math.log(4)])
    torch.manual_seed(0)
    chunk, which = torch.ones(many, dtype=torch.int64), torch.arange(1, many + 1)
    shares = torch.bincount(model._draw(beams, scores, chunk, which, torch.full((many,), many))) / many
    torch.testing.assert_close(shares, torch.tensor([1 / 8, 3 / 8, 4 / 8]), rtol=0, atol=0.02)
    model.deterministic = True
    which, draws = torch.arange(1, 9), torch.full((8,), 8)
    assert model._draw(beams, scores, chunk[:8], which, draws).tolist() == [0, 1, 1, 1, 2, 2, 2, 2]
    assert model._draw(beams, scores, chunk[:8] - 1, which, draws).tolist() == [0] * 8


def test_published_inference_is_random_and_ours_need_not_be():
    x, segments = batch((40,))
    drawn, fixed = build(5, deterministic=False), build(5)
    assert torch.stack([drawn(x, segments) for _ in range(6)]).std(0).max() > 1e-6
    assert torch.equal(fixed(x, segments), fixed(x, segments))
    fixed.train()
    assert torch.stack([fixed(x, segments) for _ in range(6)]).std(0).max() > 1e-6


def test_without_chunks_it_is_a_beam_tree():
    x, segments = batch(RAGGED)
    whole, large = build(chunked=False), build(chunk=100)
    torch.testing.assert_close(whole(x, segments), whole.inner(x, segments), rtol=0, atol=0)
    torch.testing.assert_close(whole(x, segments), large(x, segments), rtol=1e-12, atol=1e-12)


def test_work():
    """c log_c n steps instead of n, and nobody pays for a neighbour."""
    model, calls = build(3, 4), []
    model.inner.cell.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))

    def work(*lengths):
        calls.clear()
        x, segments = batch(lengths)
        with torch.no_grad():
            model(x, segments)
        return sum(calls), sum(1 for rows in calls if rows)

    rows, steps = work(64)
    assert steps == 9  # three levels of 3 merges
    assert rows <= 3 * (16 + 4 + 1) * 3
    parts = batch((9, 50))[0].detach().split([9, 50])

    def count(*parts):
        calls.clear()
        with torch.no_grad():
            model(torch.cat(parts), Segments.from_lengths(torch.tensor([len(p) for p in parts])))
        return sum(calls)

    assert count(*parts) == count(parts[0]) + count(parts[1])


def test_parameters_and_edges():
    model = RecursionInRecursionClassifier()
    parts = (model.leaves.linear, model.leaves.norm, model.encoder)
    assert sum(p.numel() for part in parts for p in part.parameters()) == 419_585  # without S4D
    encoder = build()
    with pytest.raises(StructureError, match="segment 1 without rows"):
        encoder(torch.zeros(2, WIDTH).double(), Segments.from_lengths(torch.tensor([2, 0])))
    nothing = Segments.from_lengths(torch.empty(0, dtype=torch.int64))
    assert encoder(torch.zeros(0, WIDTH).double(), nothing).shape == (0, WIDTH)


def test_the_first_list_takes_the_best_of_every_chunk():
    model = build().train()
    chunks, beams = Segments.from_lengths(torch.tensor([2, 1])), Segments.from_lengths(torch.tensor([2, 3, 2]))
    levels = [model._align(chunks, beams, torch.zeros(7, dtype=torch.float64)) for _ in range(20)]
    for level in levels:
        assert level.lists.tolist() == [3, 2] and level.sizes.tolist() == [2, 1]
        assert level.row[:2].tolist() == [0, 2]  # the first list; of equally good beams the first
        assert level.row[6:].tolist() == [5, 6]  # one chunk alone is done: its beams as they are
    assert len({tuple(level.row[2:6].tolist()) for level in levels}) > 1
