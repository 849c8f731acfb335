"""Edge classification: of which sign are the edges of the present snapshot? With EvolveGCN's steps and splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data

from structnet.datasets.temporal.files import read_table
from structnet.errors import StructureError
from structnet.structures.snapshots import EdgeStream
from structnet.tasks.links import DATA, Links, LinkSplit, Steps
from structnet.tasks.task import Batch

RATED = ("otc", "alpha")


class EdgeClassSplit(LinkSplit):
    """One sample is one step: the window that ends with it, its edges, and whether the sum of their ratings is >= 0."""

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        if len(rows) != 1:
            raise StructureError("one step per batch", f"{len(rows)}", "batch_size=1")
        t = self.first + int(rows[0])
        graph = self.steps.snapshots[t]
        window = self.steps.window(t, self.task.history, self.task.width(self.steps))
        target = Data(edge_index=graph.edge_index, y=(graph.edge_attr[:, 0] >= 0).float())  # type: ignore[index]
        return Batch((window,), target, 1, {"step": torch.tensor([t])})


class EdgeClasses(Links):
    """Pareja et al. 2020, section 4.3: the majority sign of the ratings of an edge in its step, from the snapshots up
    to this step. F1 is that of the negative class, of all edges of a split together.

    Args:
        data: "otc" or "alpha". `folder`: where its files are.
        history: snapshots before t in a window.
        weight: on the negative class in the loss (the positive one has 1 - weight).

    The model is a scorer of pairs (`LinkPredictor`): a score above 0 says "positive".
    """

    name = "edges"

    def __init__(self, data: str = "otc", folder: str = "", history: int = 10, weight: float = 0.8):
        if data not in RATED:
            raise StructureError(f"data out of {', '.join(RATED)}", repr(data), 'data="otc"')
        super().__init__(data, folder, history)
        self.weight = weight

    def split(self, name: str) -> EdgeClassSplit:
        part = super().split(name)
        return EdgeClassSplit(name, self, part.steps, part.first, part.first + len(part))

    def from_file(self, path: str | Path) -> EdgeClassSplit:
        """`source,target,rating,time` a line, in the order of time; every step is asked."""
        table = torch.from_numpy(read_table(Path(path), 4, ","))
        stream = EdgeStream.of(table[:, 0].long(), table[:, 1].long(), table[:, 3], weight=table[:, 2])
        steps = Steps.of(stream, DATA[self.data].step, self.directed)
        return EdgeClassSplit(str(path), self, steps, self.history, steps.last)

    def loss(self, output: Any, batch: Batch) -> Tensor:
        truth = batch.target.y
        weight = torch.where(truth > 0, 1 - self.weight, self.weight)
        logits = output.pairs(*batch.target.edge_index)
        loss = F.binary_cross_entropy_with_logits(logits, truth, weight, reduction="sum")
        return loss / weight.sum().clamp(min=1e-9)

    def score(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        return _counts(output.pairs(*batch.target.edge_index) > 0, batch.target.y > 0)

    def summary(self, scores: dict[str, Tensor], keys: dict[str, Tensor]) -> dict[str, float]:
        return f1_summary(scores)

    def floors(self, split: str) -> dict[str, dict[str, float]]:
        """Every edge positive; and negative where the target's ratings before this step sum up below 0."""
        part, marks = self.split(split), {"all positive": [], "sign of the target's past": []}
        stream, step_of = part.steps.stream, part.steps.step_of
        assert stream.weight is not None
        for row in range(len(part)):
            target = part.batch(torch.tensor([row])).target
            past = step_of < part.first + row
            known = torch.zeros(stream.num_nodes).index_add(0, stream.target[past], stream.weight[past].float())
            said = {
                "all positive": torch.ones_like(target.y) > 0,
                "sign of the target's past": known[target.edge_index[1]] >= 0,
            }
            for name, answer in said.items():
                marks[name].append(_counts(answer, target.y > 0))
        return {name: f1_summary({k: torch.cat([m[k] for m in each]) for k in each[0]}) for name, each in marks.items()}


def _counts(said: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Per step `[1]`: counts for the F1 of the class False."""
    pairs = {"tp": ~said & ~truth, "fp": ~said & truth, "fn": said & ~truth, "right": said == truth}
    return (
        {"f1": f1(*(pairs[k].sum()[None].double() for k in ("tp", "fp", "fn")))}
        | {name: value.sum()[None] for name, value in pairs.items()}
        | {"count": torch.tensor([len(truth)])}
    )


def f1(tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
    """2 tp / (2 tp + fp + fn); 1 where nothing was to be found and nothing was said."""
    whole = 2 * tp + fp + fn
    return torch.where(whole > 0, 2 * tp / whole.clamp(min=1), 1.0)


def f1_summary(scores: dict[str, Tensor]) -> dict[str, float]:
    """From counts: the F1 of the minority class, its precision and recall, and the share of right answers."""
    tp, fp, fn, right, count = (scores[name].double().sum() for name in ("tp", "fp", "fn", "right", "count"))
    return {"f1": float(f1(tp, fp, fn)), "precision": float(tp / (tp + fp).clamp(min=1)),
            "recall": float(tp / (tp + fn).clamp(min=1)), "micro": float(right / count.clamp(min=1))}  # fmt: skip
