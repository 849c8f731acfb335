"""Dynamic link prediction: given the snapshots up to t, which edges has t + 1?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data

from structnet.datasets.cache import cached, checksum
from structnet.datasets.temporal import edges, sbm
from structnet.datasets.temporal.files import read_table
from structnet.errors import StructureError
from structnet.structures.pair_history import PairHistory
from structnet.structures.snapshots import EdgeStream, Snapshots
from structnet.tasks.floors import LINK_FLOORS
from structnet.tasks.ranking import all_pairs, best_of_negatives
from structnet.tasks.task import Batch, mean_scores


@dataclass(frozen=True)
class LinkData:
    """A stream, the length of a step in its unit, and the shares of all steps that train and (with these) validate."""

    load: Callable[[str], EdgeStream]
    step: float
    train: float
    validation: float


DATA = {
    "uci": LinkData(edges.college_messages, 190_080, 0.71, 0.1),
    "otc": LinkData(edges.bitcoin_otc, 1_200_000, 0.7, 0.1),
    "alpha": LinkData(edges.bitcoin_alpha, 1_200_000, 0.7, 0.1),
    "as": LinkData(edges.autonomous_systems, 1, 0.71, 0.1),
    "sbm": LinkData(lambda folder: sbm.block_model(), 1, 0.72, 0.1),
    "enron": LinkData(edges.enron10, 1, 0.6, 0.2),
}
PROTOCOLS = ("all_pairs", "best_of_1000")


@dataclass(frozen=True, eq=False)
class Steps:
    """A stream cut into steps, with everything that is asked of step t."""

    stream: EdgeStream
    step_of: Tensor
    clock: Tensor
    snapshots: Snapshots

    @classmethod
    def of(cls, stream: EdgeStream, length: float, directed: bool) -> Steps:
        stream = stream if directed else stream.both_ways()
        step_of = stream.steps(length)
        return cls(stream, step_of, stream.clock(length), stream.snapshots(step_of))

    @property
    def last(self) -> int:
        return len(self.snapshots) - 1

    def window(self, t: int, history: int, width: int) -> Snapshots:
        """Snapshots t - history .. t, x the one-hot out-degree (events), the last column for all larger ones."""
        return Snapshots(_with_degree(graph, width) for graph in self.snapshots[t - history : t + 1])

    def facts(self, t: int) -> PairHistory:
        return PairHistory.at(self.stream, self.step_of, self.clock, t)

    def width(self) -> int:
        """Columns of the one-hot degree: the largest out-degree of all steps and one."""
        graphs = self.snapshots
        return 1 + max(int(_degree(graph).max()) for graph in graphs if graph.edge_index.numel())  # type: ignore[union-attr]


class LinkSplit:
    """One sample is one step t, as a batch of its own: a window of snapshots, the history, the true edges of t + 1."""

    def __init__(self, name: str, task: Links, steps: Steps, first: int, end: int):
        self.name, self.task, self.steps, self.first = name, task, steps, first
        self.sizes = torch.full((max(end - first, 0),), 1 << 14)  # larger than any budget of a batch: one at a time

    def __len__(self) -> int:
        return len(self.sizes)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        if len(rows) != 1:
            raise StructureError("one step per batch", f"{len(rows)}", "batch_size=1")
        task, t = self.task, self.first + int(rows[0])
        window, facts = self.steps.window(t, task.history, task.width(self.steps)), self.steps.facts(t)
        true = self.steps.snapshots[t + 1].edge_index
        assert true is not None
        target = Data(edge_index=true, num_nodes=self.steps.stream.num_nodes)
        target.precision = task.precision or self.name != task.validation
        if generator is not None and task.loss_name == "cross_entropy":
            target.negative = _negatives(true, window, task.negatives, generator)
        return Batch((window, facts), target, 1, {"step": torch.tensor([t])})


class Links:
    """Link prediction with EvolveGCN's data, steps, splits and features (Pareja et al. 2020, released code).

    Args:
        data: a name in `DATA`. `folder`: where its files are.
        history: snapshots before t in a window.
        protocol: "all_pairs" (EvolveGCN: MRR and MAP among all pairs of nodes) or "best_of_1000" (ROLAND: the best true
            edge of a source among 1,000 random targets). Their figures must not be put into one table.
        directed: edges as they are; else every edge both ways, as EvolveGCN has them.
        loss: "cross_entropy" with `negatives` drawn false pairs per true one and `weight` on the true class (the
            paper), or "softmax" over all targets of each source that has a true edge, the mean of its true edges'
            logarithms.
        precision: MAP, which needs all N^2 scores, on the validation split too; the test split always has it.

    The split by steps: train `[history, floor(T p))`, validation up to `floor(T (p + q))`, test the rest, T the number
    of the last step; step t is asked for t + 1. The one-hot degree is as wide as the largest degree of *all* steps, as
    in the released code: it knows that much about the future.
    """

    name = "links"
    train, validation = "train", "validation"
    splits: tuple[str, ...] = ("validation", "test")
    in_range: frozenset[str] = frozenset()
    chance = 0.0

    def __init__(
        self,
        data: str = "uci",
        folder: str = "",
        history: int = 10,
        protocol: str = "all_pairs",
        directed: bool = False,
        loss: str = "cross_entropy",
        negatives: int = 50,
        weight: float = 0.9,
        precision: bool = False,
    ):
        for name, value, choices in (("data", data, DATA), ("protocol", protocol, PROTOCOLS),
                                     ("loss", loss, ("cross_entropy", "softmax"))):  # fmt: skip
            if value not in choices:
                raise StructureError(f"{name} out of {', '.join(choices)}", repr(value), next(iter(choices)))
        self.data, self.folder, self.history, self.protocol = data, folder, history, protocol
        self.directed, self.loss_name, self.negatives = directed, loss, negatives
        self.weight, self.precision = weight, precision

    def steps(self) -> Steps:
        return _steps(self.data, self.folder, self.directed)

    def width(self, steps: Steps) -> int:
        return _width(self.data, self.folder, self.directed)

    def borders(self, steps: Steps) -> dict[str, tuple[int, int]]:
        """First and end step of each split."""
        data, last = DATA[self.data], steps.last
        first, second = int(last * data.train), int(last * (data.train + data.validation))
        return {"train": (self.history, first), "validation": (first, second), "test": (second, last)}

    def split(self, name: str) -> LinkSplit:
        steps = self.steps()
        borders = self.borders(steps)
        if name not in borders:
            raise StructureError(f"one of {', '.join(borders)}", repr(name), 'split("test")')
        return LinkSplit(name, self, steps, *borders[name])

    def from_file(self, path: str | Path) -> LinkSplit:
        """`source target time` a line, in the order of time; every step is asked."""
        table = torch.from_numpy(read_table(Path(path), 3))
        stream = EdgeStream.of(table[:, 0].long(), table[:, 1].long(), table[:, 2])
        steps = Steps.of(stream, DATA[self.data].step, self.directed)
        return LinkSplit(str(path), self, steps, self.history, steps.last)

    def loss(self, output: Any, batch: Batch) -> Tensor:
        source, target = batch.target.edge_index
        if self.loss_name == "softmax":
            if not source.numel():
                return output.pairs(source, target).sum()
            sources, row = source.unique(return_inverse=True)
            said = output.rows(sources).log_softmax(-1)
            share = 1 / torch.bincount(row).to(said)[row] / len(sources)
            return -(said[row, target] * share).sum()
        false = batch.target.negative
        logits = torch.cat([output.pairs(source, target), output.pairs(*false)])
        truth = torch.zeros_like(logits)
        truth[: source.numel()] = 1
        weight = torch.where(truth > 0, self.weight, 1 - self.weight)
        return F.binary_cross_entropy_with_logits(logits, truth, weight, reduction="sum") / weight.sum()

    def score(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        source, target = batch.target.edge_index
        if not source.numel():
            return {}  # nothing is asked of an empty step
        if self.protocol == "best_of_1000":
            step = int(batch.keys["step"])
            return {"mrr": best_of_negatives(output, source, target, batch.target.num_nodes, seed=step)[None]}
        found = all_pairs(output, source, target, batch.target.num_nodes, batch.target.precision)
        return {name: value[None] for name, value in found.items()}

    summary = staticmethod(mean_scores)

    def floors(self, split: str) -> dict[str, dict[str, float]]:
        """The figures of everything that needs no training, on the same split by the same protocol (kept on disk)."""
        part = self.split(split)
        stream = part.steps.stream
        edges = {"source": stream.source.numpy(), "target": stream.target.numpy(), "step": part.steps.step_of.numpy()}
        name = f"floors/{self.data}-{split}-{self.protocol}-{self.precision}-{checksum(edges)[:20]}"

        def build() -> dict[str, np.ndarray]:
            marks = self._mark_floors(part)
            return {f"{floor}/{key}": np.array(value) for floor, m in marks.items() for key, value in m.items()}

        found: dict[str, dict[str, float]] = {floor: {} for floor in LINK_FLOORS}
        for key, value in cached(name, build).items():
            floor, metric = key.rsplit("/", 1)
            found[floor][metric] = float(value)
        return found

    def _mark_floors(self, part: LinkSplit) -> dict[str, dict[str, float]]:
        marks: dict[str, list[dict[str, Tensor]]] = {name: [] for name in LINK_FLOORS}
        for row in range(len(part)):
            t = part.first + row
            facts, true = part.steps.facts(t), part.steps.snapshots[t + 1].edge_index
            target = Data(
                edge_index=true, num_nodes=facts.num_nodes, precision=self.precision or part.name != self.validation
            )
            batch = Batch((None, facts), target, 1, {"step": torch.tensor([t])})
            for name, floor in LINK_FLOORS.items():
                marks[name].append(self.score(floor(facts), batch))
        return {name: _mean([m for m in each if m]) for name, each in marks.items()}


def _mean(marks: list[dict[str, Tensor]]) -> dict[str, float]:
    return mean_scores({key: torch.cat([mark[key] for mark in marks]) for key in marks[0]}, {})


def _negatives(true: Tensor, window: Snapshots, times: int, generator: torch.Generator) -> Tensor:
    """The released code's false pairs: sources among those of true edges, targets among nodes with an edge in the
    window, `times` as many as true ones; those that happen to be true, or loops, are dropped."""
    count = times * true.shape[1]
    active = torch.cat([graph.edge_index.flatten() for graph in window]).unique()  # type: ignore[union-attr]
    if not count or not active.numel():
        return true[:, :0]
    sources = true[0].unique()
    source = sources[torch.randint(len(sources), (count,), generator=generator)]
    target = active[torch.randint(len(active), (count,), generator=generator)]
    nodes = int(window[0].num_nodes or 0)
    fresh = ~torch.isin(source * nodes + target, true[0] * nodes + true[1]) & (source != target)
    return torch.stack([source[fresh], target[fresh]])


def _degree(graph: Data) -> Tensor:
    assert graph.edge_index is not None and graph.edge_weight is not None
    return torch.zeros(int(graph.num_nodes or 0)).index_add(0, graph.edge_index[0], graph.edge_weight).long()


def _with_degree(graph: Data, width: int) -> Data:
    x = F.one_hot(_degree(graph).clamp(max=width - 1), width).float()
    return Data(x=x, edge_index=graph.edge_index, edge_weight=graph.edge_weight, num_nodes=graph.num_nodes)


@cache
def _steps(name: str, folder: str, directed: bool) -> Steps:
    return Steps.of(DATA[name].load(folder), DATA[name].step, directed)


@cache
def _width(name: str, folder: str, directed: bool) -> int:
    return _steps(name, folder, directed).width()
