"""Which rows, in which order."""

import torch

from structnet.training import TrainSettings
from structnet.training.sampler import budget_batches, epoch_batches, stream


def test_order_is_a_pure_function_of_seed_and_epoch():
    sizes = torch.cat([torch.arange(1, 50), torch.randint(1, 50, (951,))])
    settings = TrainSettings(batch_size=32)
    one, two = (epoch_batches(sizes, settings, 3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert torch.equal(torch.cat(one).sort().values, torch.arange(1000))
    assert not torch.equal(torch.cat(one), torch.cat(epoch_batches(sizes, settings, 4)))
    spread = torch.stack([sizes[b].max() - sizes[b].min() for b in one if len(b) == 32]).float().mean()
    mixed = epoch_batches(sizes, TrainSettings(batch_size=32, bucket=1), 3)
    assert spread < 0.5 * torch.stack([sizes[b].max() - sizes[b].min() for b in mixed]).float().mean()
    small = epoch_batches(sizes, TrainSettings(max_size=10), 0)
    assert sizes[torch.cat(small)].max() <= 10
    for epoch, limit in ((0, 12), (1, 24)):  # sizes up to 49, halved twice: every size equally often
        drawn = sizes[torch.cat(epoch_batches(sizes, TrainSettings(grow=2), epoch))]
        assert len(drawn) == 1000 and drawn.max() == limit
        assert torch.bincount(drawn)[1:].min() > 0.5 * 1000 / limit
        few = torch.cat(epoch_batches(sizes, TrainSettings(grow=2, epoch_rows=300), epoch))
        assert len(few) == 300 and sizes[few].max() <= limit
    assert stream(1, 2).initial_seed() != stream(2, 1).initial_seed()


def test_evaluation_batches_keep_to_their_budget():
    sizes = torch.tensor([5, 1, 9, 2, 40])
    batches = budget_batches(sizes, budget=10, most=3)
    assert sorted(torch.cat(batches).tolist()) == [0, 1, 2, 3, 4]
    assert all(len(b) == 1 or int(sizes[b].sum()) <= 10 for b in batches) and max(map(len, batches)) <= 3


def test_an_epoch_of_fewer_rows_draws_others_each_time():
    sizes, settings = torch.ones(1000, dtype=torch.long), TrainSettings(batch_size=32, epoch_rows=300)
    first, second = (set(torch.cat(epoch_batches(sizes, settings, epoch)).tolist()) for epoch in (0, 1))
    assert len(first) == len(second) == 300 and 30 < len(first & second) < 150
    assert len(torch.cat(epoch_batches(sizes, TrainSettings(epoch_rows=2000), 0))) == 1000
