"""One answer out of several classes, by models that answer once or in every round."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from structnet.tasks.task import Batch, mean_scores


class Questions:
    """Loss and marks of a task with one class per sample. Logits are `[S, classes]`, or `output.logits` `[rounds, S,
    classes]` of a recurrent model: the loss is the mean over all rounds handed out, the last one is marked."""

    def loss(self, output: Any, batch: Batch) -> Tensor:
        logits = by_round(output)
        target = batch.target.expand(len(logits), -1)
        return F.cross_entropy(logits.flatten(0, 1).float(), target.flatten())

    def score(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        last = by_round(output)[-1].float()
        right = (last.argmax(-1) == batch.target).float()
        return {"accuracy": right, "loss": F.cross_entropy(last, batch.target, reduction="none")}

    summary = staticmethod(mean_scores)


def by_round(output: Any) -> Tensor:
    """Logits `[rounds, S, classes]`, one round for a model that answers once."""
    logits = output if isinstance(output, torch.Tensor) else output.logits
    return logits if logits.dim() == 3 else logits[None]
