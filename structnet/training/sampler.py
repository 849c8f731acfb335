"""Which samples, in which order: a pure function of (seed, epoch)."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.training.settings import TrainSettings


def stream(*numbers: int) -> torch.Generator:
    """A generator that depends on all the numbers, e.g. (seed, epoch) or (seed, step, rank)."""
    state = 0
    for number in numbers:  # a 63-bit linear congruence: different tuples, different streams
        state = (state * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return torch.Generator().manual_seed(state)


def epoch_batches(sizes: Tensor, settings: TrainSettings, epoch: int) -> list[Tensor]:
    """Row numbers of each batch of an epoch: every row once, or `settings.epoch_rows` of them (the last batch may be
    smaller), like sizes together (`settings.bucket`). The first `settings.grow` epochs draw as many rows of limited
    size instead, every size equally often: small samples show what an operation does, and in the data as it is they
    are rare."""
    rows = torch.arange(len(sizes)) if not settings.max_size else (sizes <= settings.max_size).nonzero().flatten()
    if not len(rows):
        raise StructureError(f"training samples of at most {settings.max_size}", "none", "a larger max_size")
    generator, count = stream(settings.seed, epoch), min(settings.epoch_rows or len(rows), len(rows))
    if epoch < settings.grow:
        limit = int(sizes[rows].max()) / 2 ** (settings.grow - epoch)
        weight = 1.0 / torch.bincount(sizes[rows]).clamp(min=1)[sizes[rows]]
        weight[sizes[rows] > max(limit, int(sizes[rows].min()))] = 0.0
        rows = rows[torch.multinomial(weight, count, replacement=True, generator=generator)]
    else:
        rows = rows[torch.randperm(len(rows), generator=generator)[:count]]
    drawn = rows.split(settings.bucket * settings.batch_size)
    if settings.bucket > 1:
        drawn = [part[sizes[part].argsort(stable=True)] for part in drawn]
    batches = [batch for part in drawn for batch in part.split(settings.batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def budget_batches(sizes: Tensor, budget: int, most: int) -> list[Tensor]:
    """Rows for evaluation, smallest first: at most `budget` in total size and `most` rows a batch."""
    order = sizes.argsort(stable=True)
    batches, start, used = [], 0, 0
    for at, size in enumerate(sizes[order].tolist()):
        if at > start and (used + size > budget or at - start == most):
            batches.append(order[start:at])
            start, used = at, 0
        used += size
    return [*batches, order[start:]] if len(order) else []
