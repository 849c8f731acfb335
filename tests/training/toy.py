"""A toy task that trains in a blink: the sign of the sum of four numbers. Run as a script it is one training run."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from structnet.tasks.task import Batch, mean_scores
from structnet.training import Trainer, TrainSettings


class ToySplit:
    def __init__(self, name: str, rows: int):
        self.name, self.rows = name, rows
        self.x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(rows))
        self.sizes = torch.arange(rows) % 7 + 1

    def __len__(self) -> int:
        return self.rows

    def batch(self, rows, generator=None) -> Batch:
        x = self.x[rows]
        if generator is not None:
            x = x + 0.01 * torch.randn(x.shape, generator=generator)
        return Batch((x,), (self.x[rows].sum(-1) > 0).long(), len(rows), {"size": self.sizes[rows]})


class Toy:
    name, train, validation = "toy", "train", "validation"
    splits, in_range, chance = ("validation",), frozenset({"validation"}), 0.5

    def split(self, name: str) -> ToySplit:
        return ToySplit(name, 101 if name == "train" else 60)

    def loss(self, output, batch):
        return F.cross_entropy(output, batch.target)

    def score(self, output, batch):
        return {"accuracy": (output.argmax(-1) == batch.target).float()}

    summary = staticmethod(mean_scores)


class ToyModel(nn.Sequential):
    def __init__(self, width: int = 8, dropout: float = 0.2):
        super().__init__(nn.Linear(4, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, 2))


SETTINGS = {"epochs": 6, "batch_size": 16, "lr": 0.05, "evaluate_every": 5, "ema": 0.9, "threads": 1}


def trainer(folder: Path, **changes) -> Trainer:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    return Trainer(ToyModel(), Toy(), TrainSettings(**{**SETTINGS, **changes}), folder, quiet=True)


if __name__ == "__main__":  # one run in a process of its own: folder, then name=value settings
    import time

    pairs = dict(pair.split("=") for pair in sys.argv[2:])
    pause = float(pairs.pop("pause", 0))
    run = trainer(Path(sys.argv[1]), **{k: float(v) if "." in v else int(v) for k, v in pairs.items()})
    update = run._update

    def slowly(*arguments):
        update(*arguments)
        time.sleep(pause)

    run._update = slowly  # type: ignore[method-assign]
    run.fit()
