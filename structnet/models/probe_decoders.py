"""What is read off the rows of a step: a decoder per probe, those of a kind as one product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.utils import scatter

Read = Callable[[Tensor, Tensor, Tensor, Data], Sequence[Tensor]]  # nodes, edges, graphs, data -> logits of each


class NodeDecoder(nn.Module):
    def __init__(self, width: int, classes: int):
        super().__init__()
        self.nodes = nn.Linear(3 * width, classes)

    @staticmethod
    def several(decoders: Sequence[NodeDecoder]) -> Read:
        sizes, of_nodes = [d.nodes.out_features for d in decoders], beside([d.nodes for d in decoders])
        return lambda nodes, edges, graphs, data: F.linear(nodes, *of_nodes).split(sizes, -1)


class EdgeDecoder(nn.Module):
    def __init__(self, width: int, classes: int):
        super().__init__()
        self.source, self.target = nn.Linear(3 * width, classes), nn.Linear(3 * width, classes)
        self.edges = nn.Linear(2 * width, classes)

    @staticmethod
    def several(decoders: Sequence[EdgeDecoder]) -> Read:
        sizes = [d.edges.out_features for d in decoders]
        of_source, of_target = beside([d.source for d in decoders]), beside([d.target for d in decoders])
        of_edges = beside([d.edges for d in decoders])

        def read(nodes: Tensor, edges: Tensor, graphs: Tensor, data: Data) -> Sequence[Tensor]:
            assert data.edge_index is not None
            source, target = data.edge_index
            ends = F.linear(nodes, *of_source)[source] + F.linear(nodes, *of_target)[target]
            return (ends + F.linear(edges, *of_edges)).split(sizes, -1)

        return read


class GraphDecoder(nn.Module):
    def __init__(self, width: int, classes: int):
        super().__init__()
        self.nodes, self.graphs = nn.Linear(3 * width, classes), nn.Linear(width, classes)

    @staticmethod
    def several(decoders: Sequence[GraphDecoder]) -> Read:
        sizes = [d.nodes.out_features for d in decoders]
        of_nodes, of_graphs = beside([d.nodes for d in decoders]), beside([d.graphs for d in decoders])

        def read(nodes: Tensor, edges: Tensor, graphs: Tensor, data: Data) -> Sequence[Tensor]:
            most = scatter(nodes, data.graph, dim_size=len(graphs), reduce="max")
            return (F.linear(most, *of_nodes) + F.linear(graphs, *of_graphs)).split(sizes, -1)

        return read


class PointerDecoder(nn.Module):
    """Score of the pointer target -> source: w max(A z_target, B z_source + C e)."""

    def __init__(self, width: int):
        super().__init__()
        self.target, self.source = nn.Linear(3 * width, width), nn.Linear(3 * width, width)
        self.edges, self.out = nn.Linear(2 * width, width), nn.Linear(width, 1)

    @staticmethod
    def several(decoders: Sequence[PointerDecoder]) -> Read:
        of_target, of_source = beside([d.target for d in decoders]), beside([d.source for d in decoders])
        of_edges, width = beside([d.edges for d in decoders]), decoders[0].out.in_features

        def read(nodes: Tensor, edges: Tensor, graphs: Tensor, data: Data) -> Sequence[Tensor]:
            assert data.edge_index is not None
            source, target = data.edge_index
            here = F.linear(nodes, *of_source)[source] + F.linear(edges, *of_edges)
            best = torch.maximum(F.linear(nodes, *of_target)[target], here)
            return [d.out(part) for d, part in zip(decoders, best.split(width, -1))]

        return read


def decoder(location: str, kind: str, classes: int, width: int) -> nn.Module:
    if kind == "pointer":
        return PointerDecoder(width)
    return {"node": NodeDecoder, "edge": EdgeDecoder, "graph": GraphDecoder}[location](width, classes)


def beside(maps: Sequence[nn.Linear]) -> tuple[Tensor, Tensor]:
    """Weight and bias of several linear maps of one input, their outputs side by side."""
    return torch.cat([m.weight for m in maps]), torch.cat([m.bias for m in maps])


def summed(maps: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Weight and bias of the sum of several linear maps, their inputs side by side."""
    return torch.cat([m.weight for m in maps], 1), torch.stack([m.bias for m in maps]).sum(0)
