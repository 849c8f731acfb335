"""Marking a model on a split."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from structnet.tasks.task import Split, Task
from structnet.training.sampler import budget_batches

BUDGET, MOST = 1 << 14, 512  # total sample size and rows per batch: memory stays small at any length


@contextmanager
def evaluation_mode(model: nn.Module):
    """No gradients, no dropout; the mode is put back afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def evaluate(
    model: nn.Module,
    task: Task,
    split: Split,
    rows: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = False,
    wrong: list[int] | None = None,
) -> dict[str, Any]:
    """Scores of `model` on `split` (its first `rows`, 0 for all). Rows whose headline score is below 1 are added to
    `wrong`.

    Returns the task's summary, `count`, and under `by` the headline score for each value of each key.
    """
    sizes = split.sizes[:rows] if rows else split.sizes
    scores: dict[str, list[Tensor]] = {}
    keys: dict[str, list[Tensor]] = {}
    with evaluation_mode(model):
        for chosen in tqdm(budget_batches(sizes, BUDGET, MOST), split.name, disable=not progress, leave=False):
            batch = split.batch(chosen)
            moved = batch.to(device)
            found = task.score(model(*moved.inputs), moved)
            for name, value in found.items():
                scores.setdefault(name, []).append(value.cpu())
            if wrong is not None:
                wrong += chosen[next(iter(found.values())).cpu() < 1].tolist()
            for name, value in batch.keys.items():
                keys.setdefault(name, []).append(value)
    flat_scores = {name: torch.cat(parts) for name, parts in scores.items()}
    flat_keys = {name: torch.cat(parts) for name, parts in keys.items()}
    headline = next(iter(flat_scores))
    by = {name: _by(flat_scores[headline], key) for name, key in flat_keys.items()}
    return {**task.summary(flat_scores, flat_keys), "count": len(sizes), "by": by}


def _by(score: Tensor, key: Tensor) -> dict[str, dict[str, float]]:
    """Mean score and count for each value of a key; many values are put into ten equal bins."""
    values = key.unique()
    if len(values) <= 32:
        groups = {str(int(v)): key == v for v in values}
    else:
        edges = torch.linspace(float(key.min()), float(key.max()) + 1, 11).long()
        groups = {f"{int(a)}-{int(b) - 1}": (key >= a) & (key < b) for a, b in zip(edges, edges[1:])}
    return {
        name: {"mean": float(score[mask].double().mean()), "count": int(mask.sum())}
        for name, mask in groups.items()
        if bool(mask.any())
    }
