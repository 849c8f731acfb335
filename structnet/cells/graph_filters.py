"""Graph filters: the fixed part of a graph convolution, `[N, ..., F] -> [N, ..., M F]` before its weights.

A convolution is `filter.basis(x, operators) @ weight`. Filters are exchangeable: each says how many terms its basis has
and which operators it needs of a graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch_geometric.data import Data

from structnet.cells.graph_operator import GraphOperator, cached_operator
from structnet.errors import StructureError
from structnet.structures.checks import check_range

Operators = tuple[GraphOperator, ...]


class GraphFilter(Protocol):
    @property
    def terms(self) -> int: ...

    def operators(self, data: Data) -> Operators:
        """The operators of a graph, normalised once (cached by `data.edge_index`)."""
        ...

    def basis(self, x: Tensor, operators: Operators) -> Tensor:
        """The terms side by side, first term first: `[N, ..., terms * F]`."""
        ...


@dataclass(frozen=True)
class ChebyshevFilter:
    """Chebyshev polynomials of the rescaled Laplacian (Defferrard et al. 2016), as in GCRN (Seo et al. 2018).

        L = I - D^-1/2 A D^-1/2;  L~ = 2 L / lambda_max - I;  T_0 = x, T_1 = L~ x, T_k = 2 L~ T_{k-1} - T_{k-2}

    Args:
        order: K, the number of terms: a polynomial of degree K - 1 that sees K - 1 hops.
        lambda_max: largest eigenvalue; 2 bounds it for every graph, and leaves L~ with a zero diagonal.

    D counts the edges that leave a node, as in PyG's `ChebConv`; self-loops are dropped. A node without edges has
    L = 1 there; a negative degree is refused. Cost: K - 1 sparse products.
    """

    order: int = 3
    lambda_max: float = 2.0

    def __post_init__(self):
        if self.order < 1:
            raise StructureError("a filter with at least one term", f"order={self.order}", "order=3")

    @property
    def terms(self) -> int:
        return self.order

    def operators(self, data: Data) -> Operators:
        return graph_operators(scaled_laplacian, data, lambda_max=self.lambda_max) if self.order > 1 else ()

    def basis(self, x: Tensor, operators: Operators) -> Tensor:
        if self.order == 1:
            return x
        (laplacian,) = operators
        terms = [x, laplacian @ x]
        for _ in range(2, self.order):
            terms.append(2 * (laplacian @ terms[-1]) - terms[-2])
        return torch.cat(terms, -1)


@dataclass(frozen=True)
class DiffusionFilter:
    """Random walks along and against the edges: DCRNN (Li et al., ICLR 2018, eq. 2).

        sum over k < K of  theta_k1 (D_O^-1 W)^k x + theta_k2 (D_I^-1 W^T)^k x

    Args:
        order: K. The two terms with k = 0 are the same and counted once: 2 K - 1 terms.

    For row i, (D_O^-1 W) x averages over the edges that leave i. A node without edges in a direction, or with weights
    that sum to 0, gives 0 there.
    Differs from the paper's released code, which replaces powers by a Chebyshev-like recursion.
    """

    order: int = 3

    def __post_init__(self):
        if self.order < 1:
            raise StructureError("a filter with at least one term", f"order={self.order}", "order=3")

    @property
    def terms(self) -> int:
        return 2 * self.order - 1

    def operators(self, data: Data) -> Operators:
        return graph_operators(random_walks, data) if self.order > 1 else ()

    def basis(self, x: Tensor, operators: Operators) -> Tensor:
        terms = [x]
        for operator in operators:
            walk = x
            for _ in range(1, self.order):
                walk = operator @ walk
                terms.append(walk)
        return torch.cat(terms, -1)


FILTERS = {"chebyshev": ChebyshevFilter, "diffusion": DiffusionFilter}


def graph_filter(name: str, order: int) -> GraphFilter:
    if name not in FILTERS:
        raise StructureError(f"a filter out of {', '.join(FILTERS)}", repr(name), 'filter="chebyshev"')
    return FILTERS[name](order)


def graph_operators(build, data: Data, **options) -> Operators:
    """Operators of a PyG graph, its weights in `data.edge_weight` (1 where absent), in the type of `data.x`."""
    num_nodes = data.num_nodes
    if data.edge_index is None or num_nodes is None:
        raise StructureError("a graph with edge_index and nodes", str(data), "Data(x=x, edge_index=edge_index)")
    kind = data.x.dtype if data.x is not None and data.x.is_floating_point() else torch.get_default_dtype()
    weight = data.edge_weight if "edge_weight" in data else None
    return cached_operator(build, data.edge_index, num_nodes, weight, dtype=kind, **options)


def scaled_laplacian(
    edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None, *, lambda_max: float, dtype: torch.dtype
) -> Operators:
    """L~ = 2 L / lambda_max - I of the symmetrically normalised Laplacian."""
    source, target, weight = _edges(edge_index, num_nodes, edge_weight, dtype)
    other = source != target
    source, target, weight = source[other], target[other], weight[other]
    degree = _degree(source, weight, num_nodes)
    _refuse(degree < 0, degree, "non-negative degrees")
    scale = degree.pow(-0.5).masked_fill(degree == 0, 0.0)
    value = -2 / lambda_max * scale[source] * weight * scale[target]
    diagonal = 2 / lambda_max - 1
    if diagonal != 0:
        nodes = torch.arange(num_nodes, device=source.device)
        source, target = torch.cat([source, nodes]), torch.cat([target, nodes])
        value = torch.cat([value, value.new_full((num_nodes,), diagonal)])
    return (GraphOperator(source, target, value, num_nodes),)


def random_walks(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None, *, dtype: torch.dtype) -> Operators:
    """D_O^-1 W and D_I^-1 W^T."""
    source, target, weight = _edges(edge_index, num_nodes, edge_weight, dtype)
    along, against = _shares(source, weight, num_nodes), _shares(target, weight, num_nodes)
    return GraphOperator(target, source, along, num_nodes), GraphOperator(source, target, against, num_nodes)


def normalised_adjacency(
    edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None, *, dtype: torch.dtype
) -> Operators:
    """D~^-1/2 (A + I) D~^-1/2 with D~ the sums of the rows of A + I (edges into a node): Kipf and Welling 2017."""
    source, target, weight = _edges(edge_index, num_nodes, edge_weight, dtype)
    nodes = torch.arange(num_nodes, device=source.device)
    source, target = torch.cat([source, nodes]), torch.cat([target, nodes])
    weight = torch.cat([weight, weight.new_ones(num_nodes)])
    degree = _degree(target, weight, num_nodes)
    _refuse(degree <= 0, degree, "positive degrees (with a self-loop of 1)")
    scale = degree.pow(-0.5)
    return (GraphOperator(source, target, scale[source] * weight * scale[target], num_nodes),)


def _edges(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None, dtype: torch.dtype):
    check_range(edge_index.flatten(), num_nodes, "edge_index")
    source, target = edge_index
    weight = torch.ones(source.numel(), device=source.device) if edge_weight is None else edge_weight
    if weight.shape != source.shape:
        raise StructureError(f"one weight per edge, {tuple(source.shape)}", str(tuple(weight.shape)), "edge_weight [E]")
    return source, target, weight.to(dtype)


def _degree(index: Tensor, weight: Tensor, num_nodes: int) -> Tensor:
    return weight.new_zeros(num_nodes).index_add(0, index, weight)


def _shares(index: Tensor, weight: Tensor, num_nodes: int) -> Tensor:
    """Each edge's share of the weights at its node."""
    total = _degree(index, weight, num_nodes)[index]
    return (weight / total).masked_fill(total == 0, 0.0)


def _refuse(wrong: Tensor, degree: Tensor, wanted: str) -> None:
    if not torch.compiler.is_compiling() and wrong.any():  # a trace has no values to look at
        at = int(wrong.nonzero()[0])
        raise StructureError(wanted, f"{float(degree[at])} at node {at}", "edge_weight.abs()")
