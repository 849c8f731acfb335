"""Ordered Memory and CRvNN: the papers word by word, batches, work, parameter counts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structnet.errors import StructureError
from structnet.models.continuous_rvnn import ContinuousRvNN, ContinuousRvNNClassifier, Neighbours
from structnet.models.ordered_memory import OrderedMemory, OrderedMemoryClassifier
from structnet.structures import Segments
from tests.models import baseline_reference as literal

RAGGED = (1, 2, 3, 7, 1, 12, 5)
WIDTH = 6
ENCODERS = {
    "om": (lambda: OrderedMemory(WIDTH, slots=5), literal.ordered_memory),
    "crvnn": (lambda: ContinuousRvNN(WIDTH, threshold=0.6), literal.crvnn),
}


def build(name: str):
    torch.manual_seed(0)
    make, reference = ENCODERS[name]
    model = make().double()
    if name == "crvnn":
        model.score.weight.data *= 5  # merges that happen, so that samples halt at different rounds
    return model, reference


def batch(lengths):
    segments = Segments.from_lengths(torch.tensor(lengths))
    generator = torch.Generator().manual_seed(sum(lengths))
    return torch.randn(segments.num_rows, WIDTH, generator=generator, dtype=torch.float64, requires_grad=True), segments


@pytest.mark.parametrize("name", ENCODERS)
def test_equals_the_paper_word_by_word(name):
    model, reference = build(name)
    x, segments = batch(RAGGED)
    ours = model(x, segments)
    theirs = torch.stack([reference(model, part) for part in x.split(segments.lengths.tolist())])
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    cotangent = torch.randn(theirs.shape, dtype=theirs.dtype)
    wanted = [x, *model.parameters()]
    for a, b in zip(*(torch.autograd.grad((value * cotangent).sum(), wanted) for value in (ours, theirs))):
        assert a.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ENCODERS)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_batching_law(name, lengths):
    model, _ = build(name)
    x, segments = batch(lengths)
    together = model(x, segments)
    alone = [model(part, Segments.from_lengths(torch.tensor([len(part)]))) for part in x.split(lengths)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ENCODERS)
def test_float32(name):
    model, reference = build(name)
    x, segments = batch((30, 4))
    model, x = model.float(), x.detach().float()
    theirs = torch.stack([reference(model, part) for part in x.split([30, 4])])
    torch.testing.assert_close(model(x, segments), theirs, rtol=1e-4, atol=1e-4)


def test_neighbours_by_hand():
    x = torch.tensor([[1.0], [10.0], [100.0], [1000.0]], dtype=torch.float64)
    mass = torch.tensor([1.0, 0.25, 0.5, 1.0], dtype=torch.float64)
    near = Neighbours(mass, Segments.from_lengths(torch.tensor([4])))
    assert near.right(x).flatten().tolist() == [2.5 + 50 + 250, 50 + 500, 1000, 0]
    assert near.left(x).flatten().tolist() == [0, 1, 2.5 + 0.75, 50 + 2.5 + 0.25]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_neighbours_equal_the_matrices(mass):
    exist = torch.tensor(mass, dtype=torch.float64)
    x = torch.randn(len(exist), 3, dtype=torch.float64)
    near = Neighbours(exist, Segments.from_lengths(torch.tensor([len(exist)])))
    right, left = literal.neighbour_matrix(exist), literal.neighbour_matrix(exist.flip(0)).flip(0, 1)
    torch.testing.assert_close(near.right(x), right @ x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(near.left(x), left @ x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ENCODERS)
def test_nobody_pays_for_a_neighbour(name):
    model, _ = build(name)
    rows = []
    model.cell.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))

    def work(*parts):
        rows.clear()
        model(torch.cat(parts), Segments.from_lengths(torch.tensor([len(part) for part in parts])))
        return sum(rows)

    small, long = (part.detach() for part in batch((4, 40))[0].split([4, 40]))
    assert work(small, long) == work(small) + work(long)


def test_ordered_memory_composes_only_reached_slots():
    model, _ = build("om")
    rows = []
    model.cell.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    x, segments = batch((6,))
    model(x, segments)
    assert sum(rows) == 0 + 1 + 2 + 3 + 4 + 5  # one slot more is open after every token, none before the second


def test_crvnn_halts():
    model, reference = build("crvnn")
    rounds = []
    model.window.register_forward_pre_hook(lambda _, args: rounds.append(len(args[0])))
    x, segments = batch((12,))
    value = model(x, segments)
    assert len(rounds) < 12
    assert not torch.allclose(value[0], reference(model, x, halt=False))


def test_parameter_counts_of_the_papers():
    for classifier, count in ((OrderedMemoryClassifier, 444_673), (ContinuousRvNNClassifier, 493_697)):
        model = classifier()
        assert sum(p.numel() for p in model.encoder.parameters()) == count
        assert sum(p.numel() for p in model.head.parameters()) == 17_802


def test_empty():
    for name in ENCODERS:
        model, _ = build(name)
        with pytest.raises(StructureError, match="segment 1 without rows"):
            model(torch.zeros(2, WIDTH).double(), Segments.from_lengths(torch.tensor([2, 0])))
        nothing = Segments.from_lengths(torch.empty(0, dtype=torch.int64))
        assert model(torch.zeros(0, WIDTH).double(), nothing).shape == (0, WIDTH)
