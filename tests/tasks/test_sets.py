"""Answers by another way, the balanced distribution, and what a batch holds."""

import statistics
from collections import Counter
from functools import reduce

import numpy as np
import pytest
import torch

from structnet.datasets.sets import QUESTIONS, sample
from structnet.errors import StructureError
from structnet.models.set_model import AGGREGATORS, SetModel
from structnet.tasks.sets import Sets

SLOW = {
    "minimum": min,
    "second_minimum": lambda v: sorted(v)[1],
    "third_minimum": lambda v: sorted(v)[2],
    "fifth_minimum": lambda v: sorted(v)[4],
    "median": statistics.median_low,
    "mode": lambda v: min(x for x, count in Counter(v).items() if count == max(Counter(v).values())),
    "xor": lambda v: reduce(lambda a, b: a ^ b, v),
    "sum_mod_2": lambda v: sum(v) % 2,
    "sum_mod_3": lambda v: sum(v) % 3,
    "sum_mod_7": lambda v: sum(v) % 7,
    "distinct_less_one": lambda v: len(set(v)) - 1,
}


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("balanced", [False, True])
def test_answers(name, balanced):
    if balanced and QUESTIONS[name].rank is None:
        pytest.skip("not about a rank")
    lengths = np.random.default_rng(0).integers(QUESTIONS[name].smallest, 40, 200)
    values, answers = sample(name, lengths, np.random.default_rng(1), balanced)
    for row, answer in zip(np.split(values, np.cumsum(lengths)[:-1]), answers):
        assert SLOW[name](row.tolist()) == answer and row.min() >= 0 and row.max() < 256


def test_a_constant_guess_is_worth_nothing_on_the_balanced_sets():
    lengths = np.full(20_000, 200)
    published, balanced = (sample("second_minimum", lengths, np.random.default_rng(0), b)[1] for b in (False, True))
    assert 0.26 < np.bincount(published).max() / 20_000 < 0.30
    assert np.bincount(balanced).max() / 20_000 < 0.008


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_alone_as_in_a_batch(aggregator):
    torch.manual_seed(0)
    model, split = SetModel(aggregator, 16).double().eval(), Sets().split("train")
    whole = model(*split.batch(torch.arange(20)).inputs).logits
    for row in range(20):
        alone = model(*split.batch(torch.tensor([row])).inputs).logits
        assert (alone - whole[row]).abs().max() <= 1e-12


def test_training_order_is_drawn_and_sets_stay_together():
    split, rows = Sets().split("train"), torch.arange(50)
    (fixed, segments), (drawn, _) = (split.batch(rows, g).inputs for g in (None, torch.Generator().manual_seed(0)))
    assert not torch.equal(fixed, drawn)
    for a, b in zip(fixed.split(segments.lengths.tolist()), drawn.split(segments.lengths.tolist())):
        assert torch.equal(a.sort().values, b.sort().values)


def test_penalty_only_in_training():
    model, batch = SetModel("lcm", 16, associativity=1.0), Sets().split("train").batch(torch.arange(4))
    assert model(*batch.inputs).penalty > 0 and model.eval()(*batch.inputs).penalty == 0


def test_a_file_of_sets(tmp_path):
    path = tmp_path / "sets.txt"
    path.write_text("5 3 9\n1 1\n")
    assert Sets().from_file(path).answers.tolist() == [5, 1]
    path.write_text("5 3 9\n7\n")
    with pytest.raises(StructureError, match="line 2"):
        Sets().from_file(path)


def test_names_and_sizes_are_checked():
    with pytest.raises(StructureError, match="a question out of"):
        Sets("third maximum")
    with pytest.raises(StructureError, match="at least 2 elements"):
        sample("second_minimum", np.array([1]), np.random.default_rng(0))
    with pytest.raises(StructureError, match="about a rank"):
        sample("xor", np.array([3]), np.random.default_rng(0), balanced=True)
