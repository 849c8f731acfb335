"""Node classification in graphs that change completely: illicit transactions (Weber et al. 2019)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data

from structnet.datasets.temporal.edges import elliptic
from structnet.errors import StructureError
from structnet.structures.snapshots import Snapshots
from structnet.tasks.edge_classes import f1, f1_summary
from structnet.tasks.task import Batch


class NodeClassSplit:
    """One sample is one step, a batch of its own: the window that ends with it; labelled nodes only are asked."""

    def __init__(self, name: str, snapshots: Snapshots, history: int, first: int, end: int):
        self.name, self.snapshots, self.history, self.first = name, snapshots, history, first
        self.sizes = torch.full((max(end - first, 0),), 1 << 14)

    def __len__(self) -> int:
        return len(self.sizes)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        if len(rows) != 1:
            raise StructureError("one step per batch", f"{len(rows)}", "batch_size=1")
        t = self.first + int(rows[0])
        target = Data(y=self.snapshots[t].y)
        return Batch((self.snapshots[max(t - self.history, 0) : t + 1],), target, 1, {"step": torch.tensor([t])})


class NodeClasses:
    """Which transactions are illicit: F1 of that class over all labelled nodes of a split.

    Args:
        folder: with the three files of the Elliptic release.
        history: snapshots before t in a window (5, as released).
        weight: on the illicit class in the loss.
        train, validation: shares of the 49 steps (31, 5 and 13 of them, as in Pareja et al. 2020).

    `floors` is a random forest that sees each transaction's own features and no graph (Weber et al. 2019: F1 0.788 on
    their split); it needs scikit-learn.
    """

    name = "nodes"
    train, validation = "train", "validation"
    splits: tuple[str, ...] = ("validation", "test")
    in_range: frozenset[str] = frozenset()
    chance = 0.0

    def __init__(
        self, folder: str = "", history: int = 5, weight: float = 0.7, train: float = 0.64, validation: float = 0.1
    ):
        self.folder, self.history, self.weight, self.shares = folder, history, weight, (train, validation)

    def split(self, name: str) -> NodeClassSplit:
        snapshots = _load(self.folder)
        first = int(len(snapshots) * self.shares[0])
        second = first + round(len(snapshots) * self.shares[1])
        borders = {"train": (0, first), "validation": (first, second), "test": (second, len(snapshots))}
        if name not in borders:
            raise StructureError(f"one of {', '.join(borders)}", repr(name), 'split("test")')
        return NodeClassSplit(name, snapshots, self.history, *borders[name])

    def from_file(self, path: str | Path) -> NodeClassSplit:
        """A folder with the three files; every step is asked."""
        snapshots = _load(str(path))
        return NodeClassSplit(str(path), snapshots, self.history, 0, len(snapshots))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        known = batch.target.y >= 0
        truth = batch.target.y[known].to(output.dtype)
        weight = torch.where(truth > 0, self.weight, 1 - self.weight)
        loss = F.binary_cross_entropy_with_logits(output[known], truth, weight, reduction="sum")
        return loss / weight.sum().clamp(min=1e-9)

    def score(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        known = batch.target.y >= 0
        said, truth = output[known] > 0, batch.target.y[known] > 0
        counts = {"tp": said & truth, "fp": said & ~truth, "fn": ~said & truth, "right": said == truth}
        sums = {name: value.sum()[None].double() for name, value in counts.items()}
        found = f1(sums["tp"], sums["fp"], sums["fn"])
        return {"f1": found, **sums, "count": known.sum()[None]}

    def summary(self, scores: dict[str, Tensor], keys: dict[str, Tensor]) -> dict[str, float]:
        return f1_summary(scores)

    def floors(self, split: str) -> dict[str, dict[str, float]]:
        part, train = self.split(split), self.split("train")
        forest = _forest(train)
        marks = []
        for row in range(len(part)):
            batch = part.batch(torch.tensor([row]))
            chance = forest.predict_proba(batch.inputs[0][-1].x.numpy())[:, 1]
            marks.append(self.score(torch.from_numpy(chance) - 0.5, batch))
        return {"random forest": f1_summary({k: torch.cat([m[k] for m in marks]) for k in marks[0]})}


def _forest(train: NodeClassSplit) -> Any:
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError as error:
        raise StructureError("scikit-learn for the random forest", str(error), "pip install scikit-learn") from error
    graphs = [train.snapshots[train.first + row] for row in range(len(train))]
    x = torch.cat([graph.x for graph in graphs])  # type: ignore[misc]
    y = torch.cat([graph.y for graph in graphs])  # type: ignore[misc]
    forest = RandomForestClassifier(50, max_features=0.3, random_state=0)  # type: ignore[arg-type]
    return forest.fit(x[y >= 0].numpy(), y[y >= 0].numpy())


@cache
def _load(folder: str) -> Snapshots:
    return elliptic(folder)
