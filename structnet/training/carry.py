"""Carried states: a sample keeps its place in the batch for several updates and goes on from where it was left."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from structnet.tasks.task import Batch, Task


class Carry:
    """Deep supervision over more rounds than fit one gradient: each update differentiates a few rounds, the states
    after them are the starts of the next update. A place is given to a fresh sample after `most` updates, and when its
    sample is solved, by the toss of a coin (so that the network also sees, and learns to keep, solved states).

    The model has `first_state(*inputs)` and takes the state as its last argument; its output has `state`.
    """

    def __init__(self, model: nn.Module, task: Task, most: int):
        self.model, self.task, self.most = model, task, most
        self.places: dict[int, dict[str, Tensor]] = {}  # by part of the batch: what waits there

    def mix(self, part: int, fresh: Batch) -> Batch:
        """The batch to train on: who stays, from their states, and fresh samples from the first state."""
        start = self.model.first_state(*fresh.inputs)  # type: ignore[operator]
        held = self.places.get(part)
        if held is None:
            return Batch((*fresh.inputs, start), fresh.target, fresh.size)
        rows = torch.arange(len(held["stays"]), device=start.device) % fresh.size  # the last batch of an epoch is short
        old = [held[str(at)] for at in range(len(fresh.inputs))]
        new = (*fresh.inputs, fresh.target, start)
        mixed = [_choose(held["stays"], a, b[rows]) for a, b in zip((*old, held["target"], held["state"]), new)]
        return Batch((*mixed[:-2], mixed[-1]), mixed[-2], len(rows))

    def keep(self, part: int, batch: Batch, output: Any) -> None:
        """Note where the samples of a batch that `mix` gave were left."""
        with torch.no_grad():
            solved = next(iter(self.task.score(output, batch).values())) >= 1
        held = self.places.get(part)
        age = torch.randint(0, self.most, (batch.size,)) if held is None else torch.where(held["stays"], held["age"], 0)
        age = age.to(solved.device) + 1
        stays = (age < self.most) & ~(solved & (torch.rand(batch.size, device=solved.device) < 0.5))
        inputs = {str(at): value for at, value in enumerate(batch.inputs[:-1])}
        left = {"target": batch.target, "state": output.state.detach(), "age": age, "stays": stays}
        self.places[part] = {**inputs, **left}


def _choose(stays: Tensor, old: Tensor, new: Tensor) -> Tensor:
    return torch.where(stays.view(-1, *(1,) * (old.dim() - 1)), old, new)
