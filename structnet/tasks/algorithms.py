"""Following a classical algorithm: train on up to 16 nodes, test on 64."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.utils import scatter, softmax

from structnet.datasets.algorithms import ALGORITHMS, Algorithm, Trace
from structnet.errors import StructureError
from structnet.structures.topology import ranges
from structnet.tasks.task import Batch

TRAIN_SIZES = (4, 7, 11, 13, 16)
# these ask one question a run, so 64 times the runs (32 for the range with the largest sum), as in CLRS-30
MANY = {"quickselect": 64, "minimum": 64, "binary_search": 64, "naive_string_matcher": 64, "kmp_matcher": 64,
        "segments_intersect": 64, "find_max_subarray": 32}  # fmt: skip


def collate(algorithm: Algorithm, runs: list[Trace]) -> Data:
    """Runs of any sizes as complete graphs in one `Data`, all on flat rows; edges grouped by target, senders in order.

    Attributes: edge_index; graph `[N]`; node_ptr, edge_ptr; num_nodes_of and lengths `[runs]`; inputs, outputs
    `{name: rows}` and hints `{name: [T, rows]}`, the last one repeated beyond a run's own length. A pointer is the
    number of the edge from the node that is pointed at.
    """
    sizes = np.array([len(run.inputs["pos"]) for run in runs])
    node_ptr, edge_ptr = (np.concatenate([[0], np.cumsum(count)]) for count in (sizes, sizes**2))
    each, local = np.repeat(sizes, sizes**2), ranges(np.zeros_like(sizes), sizes**2)
    first = np.repeat(node_ptr[:-1], sizes**2)
    lengths = np.array([run.length for run in runs])

    def joined(arrays: list[np.ndarray], location: str, kind: str) -> np.ndarray:
        if kind == "pointer":  # row of the pointing node among the edges, then the column
            arrays = [base + np.arange(n) * n + a for base, n, a in zip(edge_ptr, sizes, arrays)]
        elif location == "edge":
            arrays = [a.reshape(n * n, *a.shape[2:]) for n, a in zip(sizes, arrays)]
        return np.stack(arrays) if location == "graph" else np.concatenate(arrays)

    def stage(which: str, data: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
        return {
            name: _tensor(joined([d[name] for d in data], p.location, p.kind))
            for name, p in algorithm.probes(which).items()
        }

    hints = [run.hints for run in runs]
    steps = [
        stage("hint", [{k: v[min(t, n - 1)] for k, v in h.items()} for h, n in zip(hints, lengths)])
        for t in range(max(lengths))
    ]
    return Data(
        edge_index=_tensor(np.stack([first + local % each, first + local // each])), num_nodes=int(node_ptr[-1]),
        graph=_tensor(np.repeat(np.arange(len(runs)), sizes)), node_ptr=_tensor(node_ptr), edge_ptr=_tensor(edge_ptr),
        num_nodes_of=_tensor(sizes), lengths=_tensor(lengths), inputs=stage("input", [run.inputs for run in runs]),
        outputs=stage("output", [run.outputs for run in runs]),
        hints={name: torch.stack([step[name] for step in steps]) for name in steps[0]},
    )  # fmt: skip


class AlgorithmSplit:
    """Runs of one split. In training every batch is drawn anew, with random increasing positions: row r has size
    TRAIN_SIZES[r mod 5], and what is drawn depends on the generator alone."""

    def __init__(self, name: str, algorithm: Algorithm, count: int, size: int, seed: int):
        self.name, self.algorithm, self.seed = name, algorithm, seed
        rows = np.arange(count)
        self.nodes = np.array(TRAIN_SIZES)[rows % len(TRAIN_SIZES)] if name == "train" else np.full(count, size)
        self.sizes = torch.from_numpy(self.nodes**2)

    def __len__(self) -> int:
        return len(self.nodes)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        fresh = None if generator is None else int(torch.randint(2**62, (), generator=generator))
        seeds = [[self.seed, r] if fresh is None else [fresh, r] for r in rows.tolist()]
        runs = [
            self.algorithm.sample(np.random.default_rng(s), int(n)) for s, n in zip(seeds, self.nodes[rows.numpy()])
        ]
        if fresh is not None:
            for run in runs:
                run.inputs["pos"] = np.sort(np.random.default_rng([fresh, len(runs)]).random(len(run.inputs["pos"])))
        data = collate(self.algorithm, runs)
        return Batch((data,), data, len(runs), {"length": data.lengths})


class Algorithms:
    """One algorithm of CLRS-30 (Velickovic et al., 2022) from this library's samplers: training on 4, 7, 11, 13 and 16
    nodes, validation on 16, `test` on 64. Marked as there: the mean over outputs of the pooled accuracy, or of micro-F1
    for masks.

    Args:
        algorithm: a name in `structnet.datasets.algorithms.ALGORITHMS`.
        seed: of the fixed splits.
        runs: rows that make an epoch.

    Differs from CLRS-30 in the random streams (numbers are not comparable digit for digit) and in the loss, where hints
    are averaged over steps and outputs weigh as much as hints.
    """

    name = "algorithms"
    train, validation = "train", "validation"
    splits: tuple[str, ...] = ("validation", "test")
    in_range = frozenset({"validation"})
    chance = 0.0

    def __init__(self, algorithm: str = "quickselect", seed: int = 0, runs: int = 1000):
        if algorithm not in ALGORITHMS:
            raise StructureError(f"an algorithm out of {', '.join(ALGORITHMS)}", repr(algorithm), 'algorithm="bfs"')
        self.algorithm, self.seed, self.runs = algorithm, seed, runs
        self.probes = ALGORITHMS[algorithm].spec

    def split(self, name: str) -> AlgorithmSplit:
        if name not in ("train", *self.splits):
            raise StructureError("one of train, validation, test", repr(name), 'split("test")')
        return _split(self.algorithm, name, self.seed, self.runs)

    def from_file(self, path: str | Path) -> AlgorithmSplit:
        raise StructureError("a split by name: runs are sampled, not read", str(path), 'split("test")')

    def loss(self, output, batch: Batch) -> Tensor:
        data, total = batch.target, torch.zeros((), device=batch.target.graph.device)
        for name, logits in output.outputs.items():
            total = total + _loss(data, self.probes[name], logits[None], data.outputs[name][None]).mean()
        if data.hints and len(next(iter(data.hints.values()))) > 1:
            running = torch.arange(1, int(data.lengths.max()), device=data.lengths.device)[:, None] < data.lengths
            for name, logits in output.hints.items():
                said = _loss(data, self.probes[name], logits, data.hints[name][1:]) * running
                total = total + said.sum() / running.sum().clamp(min=1) / len(output.hints)
        return total

    def score(self, output, batch: Batch) -> dict[str, Tensor]:
        """Per run: `score`, and for each output what pooled figures are made of."""
        data, found, each = batch.target, {}, []
        for name, logits in output.outputs.items():
            counts = _counts(data, self.probes[name], logits, data.outputs[name])
            each.append(_ratio(counts))
            found |= {f"{name}.{key}": value for key, value in counts.items()}
        return {"score": torch.stack(each).mean(0), **found}

    def summary(self, scores: dict[str, Tensor], keys: dict[str, Tensor]) -> dict[str, float]:
        sums: dict[str, dict[str, Tensor]] = {}
        for key, value in scores.items():
            if key != "score":
                name, count = key.rsplit(".", 1)
                sums.setdefault(name, {})[count] = value.double().sum()
        pooled = {name: _ratio(counts) for name, counts in sums.items()}
        return {"score": float(torch.stack(list(pooled.values())).mean()), **{n: float(v) for n, v in pooled.items()}}


def _groups(data: Data, location: str, kind: str) -> Tensor:
    """The run of each row."""
    if location == "graph":
        return torch.arange(len(data.lengths), device=data.graph.device)
    return data.graph if location == "node" or kind == "pointer" else data.graph[_targets(data)]


def _targets(data: Data) -> Tensor:
    assert data.edge_index is not None
    return data.edge_index[1]


def _loss(data: Data, probe, logits: Tensor, target: Tensor) -> Tensor:
    """Mean loss of each run at each of T steps, `[T, runs]`; logits and targets `[T, rows, ...]`."""
    _, location, kind = probe
    runs = len(data.lengths)
    if kind == "mask_one":
        chosen = softmax(logits, data.graph, num_nodes=runs, dim=1).clamp(min=1e-12).log()
        return -scatter(chosen * target, data.graph, 1, runs)
    if kind == "pointer":
        chosen = softmax(logits, _targets(data), num_nodes=len(data.graph), dim=1).clamp(min=1e-12).log()
        return -scatter(chosen.gather(1, target), data.graph, 1, runs, "mean")
    if kind == "categorical":
        rows = -(logits.log_softmax(-1) * target).sum(-1)
    elif kind == "mask":
        rows = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    else:
        rows = (logits - target).square()
    return scatter(rows, _groups(data, location, kind), 1, runs, "mean")


def _counts(data: Data, probe, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
    """right and total of each run, or tp, fp and fn for masks."""
    _, location, kind = probe
    runs, groups = len(data.lengths), _groups(data, location, kind)
    if kind == "mask":
        said, true = (logits > 0).float(), target
        found = {"tp": said * true, "fp": said * (1 - true), "fn": (1 - said) * true}
        return {key: scatter(value, groups, dim_size=runs) for key, value in found.items()}
    if kind == "mask_one":
        best = scatter(logits, data.graph, dim_size=runs, reduce="max")
        right = scatter((logits == best[data.graph]) * target, data.graph, dim_size=runs)
        return {"right": right, "total": torch.ones_like(right)}
    if kind == "pointer":
        best = scatter(logits, _targets(data), dim_size=len(data.graph), reduce="max")
        rows = (logits[target] == best).float()
    else:
        rows = (logits.argmax(-1) == target.argmax(-1)).float()
    return {
        "right": scatter(rows, groups, dim_size=runs),
        "total": scatter(torch.ones_like(rows), groups, dim_size=runs),
    }


def _ratio(counts: dict[str, Tensor]) -> Tensor:
    """Accuracy, or F1 (1 where nothing was to be found and nothing was said)."""
    if "right" in counts:
        return counts["right"] / counts["total"]
    wrong = counts["fp"] + counts["fn"]
    return torch.where(counts["tp"] + wrong > 0, 2 * counts["tp"] / (2 * counts["tp"] + wrong).clamp(min=1), 1.0)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array if array.dtype.kind == "i" else array.astype(np.float32))


@cache
def _split(algorithm: str, name: str, seed: int, runs: int) -> AlgorithmSplit:
    count = runs if name == "train" else 32 * MANY.get(algorithm, 1)
    size, stream = {"train": (16, 1), "validation": (16, 2), "test": (64, 3)}[name]
    return AlgorithmSplit(name, ALGORITHMS[algorithm], count, size, 1000 * seed + stream)
