"""Series of graphs: cut from edges with times, from `TemporalData`, or taken over from other libraries' iterators."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import torch
from torch import Tensor
from torch_geometric.data import Data, TemporalData

from structnet.errors import StructureError
from structnet.structures.checks import as_index, check_range


class Snapshots(Sequence[Data]):
    """A list of PyG graphs in the order of time, that moves to a device as one; a slice is one again."""

    def __init__(self, graphs: Iterable[Data]):
        self.graphs = list(graphs)

    def __len__(self) -> int:
        return len(self.graphs)

    @overload
    def __getitem__(self, at: int) -> Data: ...
    @overload
    def __getitem__(self, at: slice) -> Snapshots: ...
    def __getitem__(self, at: Any) -> Any:
        return Snapshots(self.graphs[at]) if isinstance(at, slice) else self.graphs[at]

    def to(self, device: torch.device | str) -> Snapshots:
        return Snapshots(graph.to(device) for graph in self.graphs)  # type: ignore[arg-type]


@dataclass(frozen=True)
class EdgeStream:
    """Edges in the order of their times.

    Attributes:
        source, target: int64 `[E]`.
        time: `[E]`, never decreasing, in any unit.
        num_nodes: N.
        weight: `[E]` or None, e.g. a rating.
        forward: bool `[E]` or None: in a stream made by `both_ways`, whether the edge stood so in the original.

    `EdgeStream.read` and `TemporalData` go through `of`, which checks; no edge at all is a stream too.
    """

    source: Tensor
    target: Tensor
    time: Tensor
    num_nodes: int
    weight: Tensor | None = None
    forward: Tensor | None = None

    @classmethod
    def of(
        cls,
        source: Tensor,
        target: Tensor,
        time: Tensor,
        num_nodes: int | None = None,
        weight: Tensor | None = None,
        sort: bool = False,
    ) -> EdgeStream:
        """Checked: equal lengths, ids in range, times that do not go back (or `sort=True`: put in order, stable)."""
        source, target = as_index(source, "source"), as_index(target, "target")
        for name, value in (("target", target), ("time", time), ("weight", weight)):
            if value is not None and value.shape != source.shape:
                raise StructureError(f"{name} of shape {tuple(source.shape)}", str(tuple(value.shape)), "one per edge")
        both = torch.cat([source, target])
        nodes = num_nodes if num_nodes is not None else int(both.max()) + 1 if both.numel() else 0
        check_range(both, nodes, "source and target")
        if bool(time.isnan().any()):
            raise StructureError("a time for every edge", f"NaN at edge {int(time.isnan().nonzero()[0])}", "to drop it")
        back = (time.diff() < 0).nonzero()
        if back.numel() and not sort:
            at = int(back[0])
            got = f"time[{at}] = {time[at].item()} > time[{at + 1}] = {time[at + 1].item()}"
            raise StructureError("times that do not go back", got, "sort=True")
        if back.numel():
            order = time.argsort(stable=True)
            source, target, time = source[order], target[order], time[order]
            weight = None if weight is None else weight[order]
        return cls(source, target, time, nodes, weight)

    @classmethod
    def from_temporal_data(cls, data: TemporalData, sort: bool = False) -> EdgeStream:
        """PyG's stream of events; `data.msg` of one column becomes the weight."""
        message = data.msg if "msg" in data else None
        weight = message.flatten() if message is not None and message.numel() == data.num_events else None
        if data.src is None or data.dst is None or data.t is None:
            raise StructureError("TemporalData with src, dst and t", "one is missing", "TemporalData(src, dst, t)")
        return cls.of(data.src, data.dst, data.t, data.num_nodes, weight, sort)

    def both_ways(self) -> EdgeStream:
        """Every edge and, right after it, its reverse."""
        twice = lambda t: t.repeat_interleave(2)  # noqa: E731
        source = torch.stack([self.source, self.target], 1).flatten()
        target = torch.stack([self.target, self.source], 1).flatten()
        weight = None if self.weight is None else twice(self.weight)
        forward = torch.tensor([True, False]).repeat(self.source.numel())
        return replace(self, source=source, target=target, time=twice(self.time), weight=weight, forward=forward)

    def clock(self, length: float, start: float | None = None) -> Tensor:
        """The time of every edge in steps, float64 `[E]`."""
        first = start if start is not None else (self.time[0] if self.time.numel() else 0)
        return (self.time - first).double() / length

    def steps(self, length: float, start: float | None = None) -> Tensor:
        """The step of every edge, int64 `[E]`: floor((time - start) / length), start the first time. Whole numbers are
        binned in whole numbers, exactly."""
        if length <= 0:
            raise StructureError("steps of a positive length", f"{length}", "length=86400 for days of seconds")
        if self.time.numel() == 0:
            return torch.empty(0, dtype=torch.int64)
        since = self.time - (self.time[0] if start is None else start)
        if bool(since[0] < 0):
            raise StructureError(f"no edge before start={start}", f"time {self.time[0].item()}", "an earlier start")
        whole = not since.is_floating_point() and float(length).is_integer()
        return since.to(torch.int64) // int(length) if whole else self.clock(length, start).floor().to(torch.int64)

    def snapshots(self, steps: Tensor, count: int | None = None) -> Snapshots:
        """One graph per step 0 .. count - 1, empty steps too. Repeated pairs of a step are one edge: `edge_weight` is
        the number of events and, where the stream has weights, `edge_attr` `[E, 1]` their sum.

        Args:
            steps: of every edge, as `steps(length)` gives them, or any non-decreasing int64 `[E]`.
        """
        count = count if count is not None else int(steps.max()) + 1 if steps.numel() else 0
        ends = torch.searchsorted(steps, torch.arange(count), right=True).tolist()
        graphs = []
        for start, end in zip([0, *ends], ends):
            key = self.source[start:end] * self.num_nodes + self.target[start:end]
            pairs, place, number = key.unique(return_inverse=True, return_counts=True)
            edge_index = torch.stack([pairs // max(self.num_nodes, 1), pairs % max(self.num_nodes, 1)])
            graph = Data(edge_index=edge_index, edge_weight=number.float(), num_nodes=self.num_nodes)
            if self.weight is not None:
                total = torch.zeros(len(pairs)).index_add(0, place, self.weight[start:end].float())
                graph.edge_attr = total.unsqueeze(1)
            graphs.append(graph)
        return Snapshots(graphs)

    def by_events(self, size: int) -> Snapshots:
        """Graphs of `size` events each, the last of what is left."""
        if size < 1:
            raise StructureError("at least one event per snapshot", f"size={size}", "size=1000")
        return self.snapshots(torch.arange(self.source.numel()) // size)


def from_signal(signal: Iterable[Any]) -> Snapshots:
    """Graphs of a PyTorch Geometric Temporal signal, or of anything else that yields objects with `x`, `edge_index`
    and perhaps `edge_attr` (a weight per edge there), `y`: nothing of that library is imported.

    Equal graphs in a row share one `edge_index`, so that their operators are built once.
    """
    graphs: list[Data] = []
    for at, item in enumerate(signal):
        edge_index, weight = getattr(item, "edge_index", None), getattr(item, "edge_attr", None)
        if edge_index is None:
            raise StructureError("items with an edge_index", f"none in item {at}", "a signal of snapshots")
        data = Data(x=getattr(item, "x", None), y=getattr(item, "y", None), edge_index=edge_index.long())
        data.num_nodes = item.num_nodes if data.x is None else data.x.shape[0]
        if weight is not None:
            data.edge_weight = weight.flatten().float()
        if graphs and _same_graph(graphs[-1], data):
            data.edge_index = graphs[-1].edge_index
            if weight is not None:
                data.edge_weight = graphs[-1].edge_weight
        graphs.append(data)
    return Snapshots(graphs)


def _same_graph(one: Data, other: Data) -> bool:
    weights = [d.edge_weight if "edge_weight" in d else None for d in (one, other)]
    same = torch.equal(one.edge_index, other.edge_index)  # type: ignore[arg-type]
    if weights[0] is None or weights[1] is None:
        return same and weights[0] is weights[1]
    return same and torch.equal(*weights)  # type: ignore[arg-type]
