"""Ranking in row blocks against full matrices, scikit-learn and ties drawn at random."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from structnet.structures.pair_history import PairHistory
from structnet.structures.snapshots import EdgeStream
from structnet.tasks.floors import LINK_FLOORS, autoregression, forecast_floors
from structnet.tasks.ranking import all_pairs, best_of_negatives, expected_reciprocal


class Table:
    def __init__(self, scores):
        self.scores = scores

    def rows(self, source):
        return self.scores[source]

    def pairs(self, source, target):
        return self.scores[source, target]


def edges(generator, nodes=9, count=14):
    key = torch.randperm(nodes * nodes, generator=generator)[:count]
    return key // nodes, key % nodes


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("block", [1, 4, 100])
def test_all_pairs_is_the_full_matrix(ties, block):
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(9, 9, generator=generator, dtype=torch.float64)
    scores = (scores * 4).floor() if ties else scores
    source, target = edges(generator)
    found = all_pairs(Table(scores), source, target, 9, block=block)
    truth = torch.zeros(9, 9)
    truth[source, target] = 1
    assert found["map"].item() == pytest.approx(average_precision_score(truth.flatten(), scores.flatten()), abs=1e-12)
    rows = []
    for s in source.unique():
        each = []
        for t in target[source == s]:
            above, tied = (scores[s] > scores[s, t]).sum().item(), (scores[s] == scores[s, t]).sum().item()
            each.append(np.mean([1 / (above + k) for k in range(1, tied + 1)]))
        rows.append(np.mean(each))
    assert found["mrr"].item() == pytest.approx(np.mean(rows), abs=1e-12)
    assert set(all_pairs(Table(scores), source, target, 9, precision=False)) == {"mrr"}


def test_ties_are_the_mean_over_random_orders():
    generator = torch.Generator().manual_seed(0)
    draws = [1 / (3 + int(torch.randint(4, (1,), generator=generator))) for _ in range(4000)]
    assert expected_reciprocal(torch.tensor([2]), torch.tensor([4])).item() == pytest.approx(np.mean(draws), abs=5e-3)
    assert expected_reciprocal(torch.tensor([0, 4]), torch.tensor([1, 1])).tolist() == pytest.approx([1.0, 0.2])


def test_best_of_negatives_by_hand():
    scores = torch.tensor([[0.0, 5.0, 3.0, 9.0], [0.0] * 4, [1.0, 2.0, 3.0, 4.0]])
    source, target = torch.tensor([2, 0, 0]), torch.tensor([0, 1, 2])
    # source 0: best true is 5, of the false 0 and 9 one lies above: 1/2; source 2: 1 below 2, 3, 4: 1/4
    assert best_of_negatives(Table(scores), source, target, 4).item() == pytest.approx(0.375)
    assert best_of_negatives(Table(scores), source, target, 4, negatives=1, seed=3).item() in (0.5, 0.75, 1.0)


@pytest.mark.parametrize("name", LINK_FLOORS)
def test_floors_agree_with_themselves(name):
    """Rows and pairs of a floor are the same numbers."""
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randint(6, (2, 40), generator=generator)
    stream = EdgeStream.of(source, target, torch.arange(40), 6).both_ways()
    history = PairHistory.at(stream, stream.steps(5), stream.clock(5), now=5)
    scores = LINK_FLOORS[name](history)
    whole = scores.rows(torch.arange(6))
    grid = torch.arange(6).repeat_interleave(6), torch.arange(6).repeat(6)
    assert torch.equal(scores.pairs(*grid).view(6, 6), whole) and whole.unique().numel() > 1


def test_autoregression_finds_the_process():
    """x_t = 0.5 x_{t-1} - 0.3 x_{t-2} + 1, exactly."""
    values = [torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).double()] * 2
    values[1] = values[0].flip(0)
    for _ in range(12):
        values.append(0.5 * values[-1] - 0.3 * values[-2] + 1)
    found = autoregression(torch.stack(values), 2, 2, ridge=0)
    torch.testing.assert_close(found[:, 0], torch.tensor([-0.3, 0.5, 1.0], dtype=torch.float64), rtol=0, atol=1e-8)
    torch.testing.assert_close(found[:, 1], torch.tensor([-0.15, -0.05, 1.5], dtype=torch.float64), rtol=0, atol=1e-8)
    series = torch.stack(values)
    said = forecast_floors(series, series[10:12].movedim(0, 1), 2)
    torch.testing.assert_close(said["AR(2)"][:, 0], series[12], rtol=0, atol=1e-5)
    assert torch.equal(said["last value"][:, 1], series[11])
