"""Small random graphs and dense operators for tests."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data


def random_graph(nodes: int, edges: int, generator: torch.Generator, *, weighted: bool = False) -> Data:
    """A directed graph with float64 weights; with luck and few edges some nodes are isolated."""
    edge_index = torch.randint(0, max(nodes, 1), (2, edges), generator=generator)
    data = Data(edge_index=edge_index, num_nodes=nodes)
    if weighted:
        data.edge_weight = torch.rand(edges, dtype=torch.float64, generator=generator) + 0.1
    return data


def dense(data: Data) -> Tensor:
    """`A[target, source]`, repeated edges added up, edge by edge."""
    nodes = int(data.num_nodes or 0)
    matrix = torch.zeros(nodes, nodes, dtype=torch.float64)
    weights = data.edge_weight.tolist() if "edge_weight" in data else [1.0] * data.edge_index.shape[1]
    for (source, target), weight in zip(data.edge_index.t().tolist(), weights):
        matrix[target, source] += weight
    return matrix


def dense_laplacian(data: Data, lambda_max: float = 2.0) -> Tensor:
    """2 L / lambda_max - I with L = I - D^-1/2 A D^-1/2, D the weights that leave a node, no self-loops."""
    adjacency = dense(data)
    adjacency.fill_diagonal_(0)
    degree = adjacency.sum(0)
    scale = torch.where(degree > 0, degree.clamp(min=1e-300) ** -0.5, 0)
    identity = torch.eye(len(degree), dtype=torch.float64)
    laplacian = identity - scale[:, None] * adjacency * scale
    return 2 * laplacian / lambda_max - identity


def dense_normalised(data: Data) -> Tensor:
    """D~^-1/2 (A + I) D~^-1/2, D~ the sums of the rows of A + I."""
    adjacency = dense(data) + torch.eye(int(data.num_nodes or 0), dtype=torch.float64)
    scale = adjacency.sum(1) ** -0.5
    return scale[:, None] * adjacency * scale


def with_x(data: Data, *shape: int, generator: torch.Generator, grad: bool = False) -> Data:
    """The same graph (same `edge_index` tensor) with float64 features `[N, *shape]`."""
    x = torch.randn(int(data.num_nodes or 0), *shape, dtype=torch.float64, generator=generator)
    out = Data(x=x.requires_grad_(grad), edge_index=data.edge_index)
    if "edge_weight" in data:
        out.edge_weight = data.edge_weight
    return out
