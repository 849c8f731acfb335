"""Signals on the nodes of a graph, which may change with time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from structnet.datasets.temporal.files import content, locate, read_table
from structnet.errors import StructureError

CHICKENPOX = "724b48cfb274b2ecbb855bdb99b970b5ef9dd3671694fa477435dc1e08293735"
ENGLAND = "497056cc4585b58951fd5cd17554fe0c535f68ea0c907a5b5727ae30e3913450"
SPEED = "7b732d86ae32b2930595becba28aff39dacbfb2197e250fc0332e1744ce2cbf4"
ROADS = "7a6eb41e10677992b5af50f5ab187c6c05c5c3a92cb973950cfddbf857361e76"
COVID = "b2d394655026b062018a2024c6031b2f6b7a8959c3f6387bb9d1a42c7229ca95"
TENNIS = "1f9c3501a96881bbc26c899483c3fce73f36081f2df29d91fcd33c6dc4edf9c8"


@dataclass(frozen=True)
class NodeSignal:
    """Values of N nodes over T steps.

    Attributes:
        values: float `[T, N, C]`.
        graphs: PyG graphs without features: one for all steps, or T of them.
        names: of the nodes, or empty.

    Iterating gives one `Data` per step, like a signal of PyTorch Geometric Temporal: x the value, y the next one.
    """

    values: Tensor
    graphs: tuple[Data, ...]
    names: tuple[str, ...] = ()

    def __post_init__(self):
        steps, nodes = self.values.shape[:2]
        if len(self.graphs) not in (1, steps):
            raise StructureError(f"one graph or {steps}", f"{len(self.graphs)}", "a graph per step")
        if any(graph.num_nodes != nodes for graph in self.graphs):
            raise StructureError(f"graphs of {nodes} nodes", f"{self.graphs[0].num_nodes}", "num_nodes")

    def __len__(self) -> int:
        return self.values.shape[0]

    def graph(self, step: int) -> Data:
        return self.graphs[step if len(self.graphs) > 1 else 0]

    def __iter__(self) -> Iterator[Data]:
        for step in range(len(self) - 1):
            graph = self.graph(step)
            yield Data(x=self.values[step], y=self.values[step + 1], edge_index=graph.edge_index,
                       edge_weight=graph.edge_weight, edge_attr=graph.edge_weight)  # fmt: skip


def chickenpox(folder: str | Path = "", check: bool = True) -> NodeSignal:
    """Weekly cases in 20 Hungarian counties, 521 weeks, standardised differences (Rozemberczki et al. 2021)."""
    raw = _json(locate(folder, "chickenpox.json"), CHICKENPOX if check else None)
    values = torch.tensor(raw["FX"]).unsqueeze(-1)
    return NodeSignal(values, (_graph(raw["edges"], None, values.shape[1]),), tuple(raw["node_ids"]))


def england_covid(folder: str | Path = "", check: bool = True) -> NodeSignal:
    """Daily cases in 129 regions of England, 61 days, with a graph of mobility per day; standardised over all."""
    raw = _json(locate(folder, "england_covid.json"), ENGLAND if check else None)
    values = torch.tensor(raw["y"], dtype=torch.float32)
    values = ((values - values.mean()) / values.std()).unsqueeze(-1)
    edges, weights = raw["edge_mapping"]["edge_index"], raw["edge_mapping"]["edge_weight"]
    days = range(raw["time_periods"])
    return NodeSignal(values, tuple(_graph(edges[str(t)], weights[str(t)], values.shape[1]) for t in days))


def metr_la_week(folder: str | Path = "", check: bool = True) -> NodeSignal:
    """One week of speeds of 207 sensors in Los Angeles, every 5 minutes (T-GCN's `los` files), miles per hour."""
    speed = read_table(locate(folder, "los_speed.csv"), 207, ",", True, SPEED if check else None)
    roads = read_table(locate(folder, "los_adj.csv"), 207, ",", False, ROADS if check else None)
    source, target = np.nonzero(roads)
    edges = np.stack([source, target], 1)[source != target]
    weights = roads[edges[:, 0], edges[:, 1]]
    return NodeSignal(torch.from_numpy(speed).float().unsqueeze(-1), (_graph(edges, weights, 207),))


def covid_by_country(folder: str | Path = "", check: bool = True) -> NodeSignal:
    """Cumulative counts of 188 countries over 120 days, 3 counters (JHU CSSE): log(1 + count). The graph links each
    country with the 8 of the most similar first 60 days (cosine of the daily differences)."""
    table = read_table(locate(folder, "regenn_covid19_d120.csv"), 5, ",", True, COVID if check else None)
    values = torch.from_numpy(table[:, 2:]).float().log1p().view(188, 120, 3).transpose(0, 1).contiguous()
    early = torch.nn.functional.normalize(values[:60].diff(dim=0).transpose(0, 1).flatten(1), dim=1)
    near = (early @ early.t()).fill_diagonal_(-2).topk(8).indices
    edges = torch.stack([near.flatten(), torch.arange(188).repeat_interleave(8)], 1).numpy()
    return NodeSignal(values, (_graph(np.concatenate([edges, edges[:, ::-1]]), None, 188),))


def twitter_tennis(folder: str | Path = "", check: bool = True) -> NodeSignal:
    """Mentions between 1,000 accounts in 120 hours of Roland Garros 2017; the value is log(1 + mentions received)."""
    raw = _json(locate(folder, "twitter_tennis_rg17.json"), TENNIS if check else None)
    hours = [raw[str(t)] for t in range(raw["time_periods"])]
    values = torch.tensor([hour["y"] for hour in hours], dtype=torch.float32).log1p().unsqueeze(-1)
    return NodeSignal(values, tuple(_graph(h["edges"], h["weights"], values.shape[1]) for h in hours))


def _json(path: Path, sha256: str | None) -> dict:
    try:
        return json.loads(content(path, sha256))
    except json.JSONDecodeError as error:
        raise StructureError(f"JSON in {path}", str(error), "the whole file (is it truncated?)") from error


def _graph(edges, weights, nodes: int) -> Data:
    edge_index = torch.from_numpy(np.array(edges, np.int64).reshape(-1, 2).T.copy())
    weight = torch.ones(edge_index.shape[1]) if weights is None else torch.from_numpy(np.array(weights, np.float32))
    return Data(edge_index=edge_index, edge_weight=weight, num_nodes=nodes)
