"""OneSoft and straight-through training against the published procedures word by word."""

from __future__ import annotations

import math

import pytest
import torch

from structnet.errors import StructureError
from structnet.models import BeamTreeClassifier, BeamTreeEncoder
from structnet.structures import Segments
from tests.models import beam_reference
from tests.models.test_beam_tree import RAGGED, batch, compare_values, encoder


def relaxed(beam: int, relaxation: str, noise: str = "none", dtype=torch.float64) -> BeamTreeEncoder:
    model = encoder("parent", beam, dtype, relaxation=relaxation, noise=noise).train()
    model.scorer.weight.data *= 5  # trees that matter
    return model


@pytest.mark.parametrize("beam", [1, 2, 3, 5, 8])
def test_one_soft_equals_the_published_procedure(beam):
    model, (x, segments) = relaxed(beam, "one_soft"), batch(RAGGED)
    parts = x.split(segments.lengths.tolist())
    theirs = torch.stack([beam_reference.one_soft(model.cell, model.scorer, part, beam) for part in parts])
    compare_values(model(x, segments), theirs, x, model, 1e-10)
    assert beam == 1 or not torch.allclose(theirs, model.encode(x, segments).value)  # it does soften


def test_one_soft_with_noise(monkeypatch):
    """Gumbel noise inside a beam, here one that depends on the place alone."""
    model, (x, segments) = relaxed(3, "one_soft", "within"), batch(RAGGED)

    def noise(step, beam, place):
        return 2 * math.sin(3 * place)

    def fixed(self):
        return self.copy_(torch.tensor([math.exp(-noise(0, 0, j)) for j in range(self.shape[-1])]).to(self))

    monkeypatch.setattr(torch.Tensor, "exponential_", fixed)
    parts = x.split(segments.lengths.tolist())
    theirs = torch.stack([beam_reference.one_soft(model.cell, model.scorer, part, 3, noise) for part in parts])
    compare_values(model(x, segments), theirs, x, model, 1e-10)
    without = torch.stack([beam_reference.one_soft(model.cell, model.scorer, part, 3) for part in parts])
    assert not torch.allclose(theirs, without)


def test_one_soft_float32():
    model, (x, segments) = relaxed(3, "one_soft", dtype=torch.float32), batch(RAGGED, torch.float32)
    parts = x.split(segments.lengths.tolist())
    theirs = torch.stack([beam_reference.one_soft(model.cell, model.scorer, part, 3) for part in parts])
    compare_values(model(x, segments), theirs, x, model, 1e-5)


def test_straight_through_equals_the_mask_formula():
    model, (x, segments) = relaxed(1, "straight_through"), batch(RAGGED)
    parts = x.split(segments.lengths.tolist())
    theirs = torch.stack([beam_reference.straight_through(model.cell, model.scorer, part) for part in parts])
    compare_values(model(x, segments), theirs, x, model, 1e-10)
    torch.testing.assert_close(model(x, segments), model.encode(x, segments).value)  # forward it is greedy
    assert torch.autograd.grad(model(x, segments).sum(), model.scorer.weight)[0].abs().sum() > 0


def test_gumbel_tree_explores_in_training_and_is_greedy_in_evaluation():
    model, (x, segments) = relaxed(1, "straight_through", "within"), batch((12, 9))
    values = torch.stack([model(x, segments) for _ in range(8)])
    assert values.std(0).max() > 1e-3
    model.eval()
    torch.testing.assert_close(model(x, segments), model.encode(x, segments).value, rtol=0, atol=0)


@pytest.mark.parametrize("beam, relaxation", [(3, "one_soft"), (1, "straight_through")])
def test_an_empty_segment_is_named_in_training_too(beam, relaxation):
    model, segments = relaxed(beam, relaxation), Segments.from_lengths([2, 0, 3])
    for mode in (True, False):
        with pytest.raises(StructureError, match="segment 1 without rows"):
            model.train(mode)(torch.zeros(5, 6, dtype=torch.float64), segments)
    with pytest.raises(StructureError, match="5 leaf rows"):
        model.train()(torch.zeros(4, 6, dtype=torch.float64), Segments.from_lengths([2, 3]))


def test_relaxed_training_leaves_evaluation_alone():
    model, (x, segments) = relaxed(3, "one_soft").eval(), batch(RAGGED)
    torch.testing.assert_close(model(x, segments), encode_hard(model, x, segments), rtol=0, atol=0)


def encode_hard(model, x, segments):
    other = encoder("parent", model.beam)
    other.load_state_dict(model.state_dict())
    return other(x, segments)


def test_training_mode_trains_and_leaves_dropout_on():
    torch.manual_seed(0)
    model = BeamTreeClassifier(width=8, scorer="children", noise="both", dropout=0.2).train()
    segments = Segments.from_lengths(torch.tensor([4, 9]))
    model(torch.randint(0, 15, (13,)), segments).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert model.encoder.cell.dropout == 0.2
