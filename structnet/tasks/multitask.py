"""Six questions about random graphs, on graphs larger than any that was trained on."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from structnet.datasets.cache import cached
from structnet.datasets.multitask import GRAPH_LABELS, NODE_LABELS, draw
from structnet.errors import StructureError
from structnet.structures.topology import ranges
from structnet.tasks.task import Batch

LABELS = (*NODE_LABELS, *GRAPH_LABELS)
LARGER = ((20, 25), (25, 30), (30, 35), (35, 40), (40, 45), (45, 50), (60, 65), (75, 80), (95, 100))
# name -> sizes and graphs of each size
SIZES = {"train": (range(15, 25), 512), "validation": (range(15, 25), 64), "test": (range(15, 25), 128),
         **{f"{a}-{b}": (range(a, b), 256) for a, b in LARGER}}  # fmt: skip


class GraphSplit:
    """Graphs as flat arrays. A batch holds one `Data`: x `[N, 2]`, edge_index, graph `[N]`, sizes `[G]`; the target is
    `[N, 3]` for the nodes and `[G, 3]` for the graphs, in units of the largest label of the training split."""

    def __init__(self, name: str, arrays: dict[str, np.ndarray], unit: np.ndarray):
        self.name, self.arrays = name, arrays
        self.nodes = torch.from_numpy(arrays["nodes"] / unit[:3])
        self.graphs = torch.from_numpy(arrays["graphs"] / unit[3:])
        self.sizes = torch.from_numpy(np.diff(arrays["ptr"]))

    def __len__(self) -> int:
        return len(self.sizes)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        at, a = rows.numpy(), self.arrays
        sizes, edges = self.sizes[rows], np.diff(a["edge_ptr"])[at]
        nodes = ranges(a["ptr"][at], a["ptr"][at + 1])
        first = np.repeat(np.cumsum(sizes.numpy()) - sizes.numpy(), edges)
        edge_index = a["edge_index"][:, ranges(a["edge_ptr"][at], a["edge_ptr"][at + 1])] + first
        data = Data(x=torch.from_numpy(a["x"][nodes]), edge_index=torch.from_numpy(edge_index),
                    graph=torch.arange(len(at)).repeat_interleave(sizes), sizes=sizes)  # fmt: skip
        return Batch((data,), Targets(self.nodes[nodes], self.graphs[rows]), len(at), {"size": sizes})


class Targets:
    """What is asked of the nodes `[N, 3]` and of the graphs `[G, 3]` of a batch."""

    def __init__(self, nodes: Tensor, graphs: Tensor):
        self.nodes, self.graphs = nodes, graphs

    def to(self, device: torch.device | str) -> Targets:
        return Targets(self.nodes.to(device), self.graphs.to(device))


class Multitask:
    """The multitask benchmark of Corso et al., 2020: of each node steps from a source, eccentricity and Laplacian of a
    value; of each graph whether it is connected, diameter and spectral radius. 5,120 training graphs of 15 to 24
    nodes, 640 for validation, 1,280 for the test, and 1,280 in each of nine ranges up to 99 nodes.

    Scores: mean squared errors by label, as log10 (smaller is better), and first `score`, the negative mean of them.

    Args:
        seed: of all splits.

    Differs from the paper in the random streams, and in "connected": the authors' test, powers of the adjacency
    matrix, calls a connected bipartite graph (every tree) unconnected.
    """

    name = "multitask"
    train, validation = "train", "validation"
    splits = tuple(name for name in SIZES if name != "train")
    in_range = frozenset({"validation", "test"})
    chance = 0.0

    def __init__(self, seed: int = 0):
        self.seed = seed

    def split(self, name: str) -> GraphSplit:
        if name not in SIZES:
            raise StructureError(f"one of {', '.join(SIZES)}", repr(name), 'split("test")')
        train = _arrays("train", self.seed)
        unit = np.concatenate([train["nodes"].max(0), train["graphs"].max(0)])
        return GraphSplit(name, _arrays(name, self.seed), unit)

    def from_file(self, path: str | Path) -> GraphSplit:
        raise StructureError("a split by name: graphs are drawn, not read", str(path), 'split("test")')

    def loss(self, output: Any, batch: Batch) -> Tensor:
        return self._errors(output, batch).mean()

    def score(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        errors = self._errors(output, batch)
        return {"score": errors.mean(1), **dict(zip(LABELS, errors.T))}

    def summary(self, scores: dict[str, Tensor], keys: dict[str, Tensor]) -> dict[str, float]:
        logs = {name: float(scores[name].double().mean().log10()) for name in LABELS}
        return {"score": -sum(logs.values()) / len(logs), **logs}

    def _errors(self, output: Any, batch: Batch) -> Tensor:
        """Squared error of each graph and label, `[G, 6]`; of its nodes the mean."""
        data, target = batch.inputs[0], batch.target
        total = output.graphs.new_zeros(target.graphs.shape)
        of_nodes = total.index_add(0, data.graph, (output.nodes - target.nodes).square()) / data.sizes[:, None]
        return torch.cat([of_nodes, (output.graphs - target.graphs).square()], 1)


@cache
def _arrays(name: str, seed: int) -> dict[str, np.ndarray]:
    sizes, each = SIZES[name]
    rng = np.random.default_rng([seed, list(SIZES).index(name)])
    return cached(f"multitask/{name}-{seed}", lambda: draw(np.repeat(np.array(sizes), each), rng))
