"""BT-Cell against the published procedure word by word, and what it promises about work and batches."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structnet.errors import StructureError
from structnet.models import BeamTreeClassifier, BeamTreeEncoder
from structnet.native import library
from structnet.recursion import fold_tree
from structnet.search import Found, Options, driver, search_trees
from structnet.structures import Segments
from tests.models import beam_reference

SCORERS = ("parent", "children")
RAGGED = (1, 2, 3, 7, 1, 12, 5)
MASK = 2**64 - 1


def encoder(scorer: str, beam: int, dtype=torch.float64, width: int = 6, **settings) -> BeamTreeEncoder:
    torch.manual_seed(0)
    return BeamTreeEncoder(width, beam, scorer, slice=4, **settings).to(dtype).eval()


def batch(lengths, dtype=torch.float64, width: int = 6):
    segments = Segments.from_lengths(torch.tensor(lengths))
    generator = torch.Generator().manual_seed(sum(lengths))
    return torch.randn(segments.num_rows, width, generator=generator, dtype=dtype, requires_grad=True), segments


def reference_values(model: BeamTreeEncoder, x, segments, **noise):
    return [
        beam_reference.beam_tree(model.cell, model.scorer, part, model.beam, model.lazy, **noise)
        for part in x.split(segments.lengths.tolist())
    ]


def compare(model: BeamTreeEncoder, x, segments, tolerance: float, references) -> None:
    """Value, scores, and the gradients of all parameters and leaves under a random cotangent."""
    ours = model.encode(x, segments)
    theirs = torch.stack([beam_reference.value(beams) for beams in references])
    assert ours.beams.lengths.tolist() == [len(beams) for beams in references]
    scores = torch.stack([b.score for beams in references for b in beams])
    torch.testing.assert_close(ours.scores, scores, rtol=tolerance, atol=tolerance)
    compare_values(ours.value, theirs, x, model, tolerance)


def compare_values(ours, theirs, x, model, tolerance):
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    wanted = [x, *model.parameters()]
    cotangent = torch.randn(theirs.shape, dtype=theirs.dtype, generator=torch.Generator().manual_seed(1))
    for a, b in zip(
        torch.autograd.grad((ours * cotangent).sum(), wanted, allow_unused=True, materialize_grads=True),
        torch.autograd.grad((theirs * cotangent).sum(), wanted, allow_unused=True, materialize_grads=True),
    ):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("beam", [1, 2, 3, 5, 8])
def test_equals_the_published_procedure(scorer, beam):
    model, (x, segments) = encoder(scorer, beam), batch(RAGGED)
    compare(model, x, segments, 1e-10, reference_values(model, x, segments))


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("beam", [1, 2, 5])
def test_marginal_beams_sum_over_orders(scorer, beam):
    """Value, scores and all gradients; and in every sample the beams are different trees."""
    model, (x, segments) = encoder(scorer, beam, marginal=True), batch((1, 2, 4, 9, 14))
    compare(model, x, segments, 1e-10, reference_values(model, x, segments, marginal=True))
    out = model.encode(x, segments, record=True)
    trees = out.trees(segments)
    first = int(out.beams.ptr[-2])
    assert len({nested(trees, first + b) for b in range(beam)}) == beam
    with torch.no_grad():
        torch.testing.assert_close(model.encode(x, segments).scores, out.scores, rtol=1e-12, atol=1e-12)


def test_marginal_probability_by_hand():
    """Two merges in either order: with room for all hypotheses, the orders of ((0 1) (2 3)) become one beam."""
    model, (x, segments) = encoder("children", 8, marginal=True), batch((4,))
    out = model.encode(x, segments, record=True)
    trees = [nested(out.trees(segments), b) for b in range(out.beams.num_rows)]
    assert len(trees) == len(set(trees)) == 5  # Catalan(3), not the 3! orders
    torch.testing.assert_close(out.scores.exp().sum(), x.new_tensor(1.0))  # all orders of all trees


@pytest.mark.parametrize("activations", ["replay", "none"])
def test_activations_come_from_anywhere(activations):
    """Kept by the search (all other tests here), composed again, or composed again in the backward pass."""
    model, (x, segments) = encoder("parent", 4, activations=activations), batch((2, 7, 1, 5))
    compare(model, x, segments, 1e-10, reference_values(model, x, segments))


def test_kept_activations_compose_nothing_twice():
    model, (x, segments) = encoder("children", 3), batch((9, 4))
    rows = []
    model.cell.inner.register_forward_hook(lambda _, args, out: rows.append(len(out)))
    value = model.encode(x, segments).value
    search = sum(rows)
    assert search <= 3 * (8 + 3)
    value.sum().backward()
    assert sum(rows) == search
    model.train()
    model.cell.dropout = 0.5  # the search is without dropout: composed again
    model.encode(x, segments)
    assert sum(rows) > 2 * search
    model.activations = "none"
    before = sum(rows)
    model.encode(x, segments).value.sum().backward()
    assert sum(rows) > before + 2 * search


@pytest.mark.parametrize("scorer", SCORERS)
def test_equals_the_published_procedure_float32(scorer):
    model, (x, segments) = encoder(scorer, 5, torch.float32), batch(RAGGED, torch.float32)
    compare(model, x, segments, 1e-5, reference_values(model, x, segments))


@pytest.mark.parametrize("scorer", SCORERS)
def test_equals_the_published_procedure_with_noise(scorer, monkeypatch):
    """The noise of the search is a hash of (seed, sample, step, beam, place), restated here."""
    model, (x, segments) = encoder(scorer, 3, noise="both"), batch(RAGGED)
    monkeypatch.setattr(model, "_seeds", lambda: (11, 12))

    def noisy(seed, sample):
        return lambda step, beam, place: gumbel(seed, sample, step, beam, place)

    references = [
        beam_reference.beam_tree(model.cell, model.scorer, part, 3, model.lazy, noisy(11, s), noisy(12, s))
        for s, part in enumerate(x.split(segments.lengths.tolist()))
    ]
    compare(model, x, segments, 1e-10, references)
    assert not torch.allclose(model.encode(x, segments).value, encoder(scorer, 3).encode(x, segments).value)


def gumbel(seed, *place):
    for part in place:
        seed = mix((seed + 0x9E3779B97F4A7C15 * (part + 1)) & MASK)
    return -math.log(-math.log(((seed >> 11) + 0.5) * 2.0**-53))


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("distinct, marginal", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("seeds", [(0, 0), (3, 0), (3, 4)])
def test_plain_and_compiled_beams_are_the_same(lazy, distinct, marginal, seeds, monkeypatch):
    if library() is None:
        pytest.skip("no compiled library")
    model, (x, segments) = encoder("children" if lazy else "parent", 4), batch(RAGGED)
    options = Options(4, lazy, distinct, marginal, True, *seeds)
    compiled = search_trees(model.cell, model.scorer, x, segments, options)
    monkeypatch.setattr(driver, "library", lambda: None)
    plain = search_trees(model.cell, model.scorer, x, segments, options)
    torch.testing.assert_close(compiled[1], plain[1], rtol=0, atol=0)
    for field in fields(Found):
        a, b = getattr(compiled[0], field.name), getattr(plain[0], field.name)
        a, b = (a.ptr, b.ptr) if isinstance(a, Segments) else (a, b)
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 8), st.sampled_from(SCORERS))
def test_search_without_gradients_says_the_same(lengths, beam, scorer):
    model, (x, segments) = encoder(scorer, beam), batch(lengths)
    with torch.no_grad():
        searched = model.encode(x, segments)
    torch.testing.assert_close(searched.value, model.encode(x, segments).value.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scorer", SCORERS)
def test_batching_law(scorer):
    model, (x, segments) = encoder(scorer, 4), batch((5, 1, 30, 2, 9))
    together = model.encode(x, segments).value
    for s, part in enumerate(x.split(segments.lengths.tolist())):
        alone = model.encode(part, Segments.from_lengths(torch.tensor([len(part)]))).value[0]
        torch.testing.assert_close(together[s], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scorer", SCORERS)
def test_beams_are_trees_and_folding_them_gives_their_roots(scorer):
    model, (x, segments) = encoder(scorer, 5), batch(RAGGED)
    out = model.encode(x, segments, record=True)
    trees = out.trees(segments)
    assert trees.num_trees == out.beams.num_rows
    rows = torch.cat([torch.arange(segments.ptr[s], segments.ptr[s + 1]) for s in out.beams.index.tolist()])
    torch.testing.assert_close(fold_tree(model.cell, x[rows], trees), out.roots, rtol=1e-12, atol=1e-12)
    for s, beams in enumerate(reference_values(model, x, segments)):
        for b, beam in enumerate(beams):
            assert nested(trees, int(out.beams.ptr[s]) + b) == beam.trees[0]


def nested(trees, which):
    first = int(trees.ptr[which])
    ptr, index = trees.child_ptr.tolist(), trees.child_index.tolist()

    def walk(v):
        children = index[ptr[v] : ptr[v + 1]]
        return tuple(map(walk, children)) if children else v - first

    return walk(int(trees.ptr[which + 1]) - 1)


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("beam", [1, 5])
def test_work_law(scorer, beam):
    """Cell rows of each sample are within n - 1 + 2 K (n - 1), counted at the cell, and nobody pays for a neighbour."""
    model = encoder(scorer, beam)
    calls = []
    model.cell.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))

    def work(lengths):
        x, segments = batch(lengths)
        calls.clear()
        search_trees(model.cell, model.scorer, x.detach(), segments, Options(beam, model.lazy))
        return sum(calls), len(calls)

    rows, steps = work((40,))
    assert steps == 40
    assert rows <= (beam * 39 if model.lazy else 39 + 2 * beam * 39)
    small = torch.randn(3, 6, dtype=torch.float64)
    giant = torch.randn(60, 6, dtype=torch.float64)

    def count(*parts):
        calls.clear()
        segments = Segments.from_lengths(torch.tensor([len(p) for p in parts]))
        search_trees(model.cell, model.scorer, torch.cat(parts), segments, Options(beam, model.lazy))
        return sum(calls)

    assert count(small, giant) == count(small) + count(giant)


def test_one_beam_is_greedy():
    model, (x, segments) = encoder("parent", 1), batch((6,))
    nodes = list(x.detach())
    while len(nodes) > 1:
        parents = [model.cell(a[None], b[None])[0] for a, b in zip(nodes, nodes[1:])]
        at = int(torch.stack([model.scorer(p[None])[0] for p in parents]).argmax())
        nodes[at : at + 2] = [parents[at]]
    torch.testing.assert_close(model.encode(x, segments).value[0], nodes[0])


def test_distinct_beams_hold_different_trees():
    model, (x, segments) = encoder("children", 5, distinct=True), batch((14,))
    trees = [nested(model.encode(x, segments, record=True).trees(segments), b) for b in range(5)]
    assert len(set(trees)) == 5
    plain = encoder("children", 5)
    assert len({nested(plain.encode(x, segments, record=True).trees(segments), b) for b in range(5)}) < 5


def test_parameter_counts_of_the_paper():
    for scorer, count in (("parent", 411_393), ("children", 419_585)):
        model = BeamTreeClassifier(scorer=scorer)
        parts = (model.leaves.linear, model.leaves.norm, model.encoder)
        assert sum(p.numel() for part in parts for p in part.parameters()) == count


def test_bad_input_is_named():
    model = encoder("parent", 2)
    with pytest.raises(StructureError, match="segment 1 without rows"):
        model(torch.zeros(2, 6, dtype=torch.float64), Segments.from_lengths(torch.tensor([2, 0])))
    with pytest.raises(StructureError, match="2 leaf rows"):
        model(torch.zeros(3, 6, dtype=torch.float64), Segments.from_lengths(torch.tensor([2])))
    with pytest.raises(StructureError, match="beam >= 1"):
        encoder("parent", 0)(*batch((2,)))
    with pytest.raises(StructureError, match="none, within, both"):
        BeamTreeEncoder(4, noise="gumbel")
    with pytest.raises(StructureError, match="search, replay, none"):
        BeamTreeEncoder(4, activations="all")


@pytest.mark.parametrize("lengths", [(), (1,), (1, 1)])
@pytest.mark.parametrize("relaxation", ["hard", "one_soft"])
def test_nothing_to_merge(lengths, relaxation):
    """A single leaf is its own value; no sample gives no row."""
    model = encoder("parent", 3, relaxation=relaxation).train()
    segments = Segments.from_lengths(torch.tensor(lengths, dtype=torch.int64))
    x = torch.randn(len(lengths), 6, dtype=torch.float64, requires_grad=True)
    value = model(x, segments)
    torch.testing.assert_close(value, x)
    assert torch.autograd.grad(value.sum(), x)[0].eq(1).all()
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x, segments), x.detach())
