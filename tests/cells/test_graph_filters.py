"""Graph operators and filters against dense matrices and PyG."""

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import ChebConv

from structnet.cells import graph_filters, graph_operator
from structnet.cells.graph_filters import ChebyshevFilter, DiffusionFilter, graph_operators, normalised_adjacency
from structnet.cells.graph_operator import GraphOperator, cached_operator
from structnet.errors import StructureError
from tests.graphs import dense, dense_laplacian, dense_normalised, random_graph, with_x


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("nodes", "edges"), [(1, 0), (5, 0), (6, 9), (30, 200)])
def test_the_operator_is_its_matrix_with_all_derivatives(nodes, edges, generator):
    data = random_graph(nodes, edges, generator, weighted=True)
    operator = GraphOperator(*data.edge_index, data.edge_weight, nodes)
    x = torch.randn(nodes, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    close(operator @ x, torch.einsum("ts,s...->t...", dense(data), x))
    torch.autograd.gradcheck(lambda t: operator @ t, x)
    torch.autograd.gradgradcheck(lambda t: operator @ t.sin(), x)


def test_no_nodes_and_one_dimension():
    nothing = torch.empty(0, dtype=torch.int64)
    assert (GraphOperator(nothing, nothing, torch.empty(0), 0) @ torch.empty(0, 4)).shape == (0, 4)
    one = GraphOperator(torch.tensor([0]), torch.tensor([1]), torch.tensor([2.0]), 2)
    assert (one @ torch.tensor([3.0, 5.0])).tolist() == [0.0, 6.0]  # by hand: 0 -> 1 with weight 2


@pytest.mark.parametrize("lambda_max", [2.0, 1.5])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_chebyshev_terms(order, lambda_max, generator):
    data = with_x(random_graph(9, 12, generator, weighted=True), 2, 3, generator=generator)
    filter = ChebyshevFilter(order, lambda_max)
    got = filter.basis(data.x, filter.operators(data)).split(3, -1)
    laplacian = dense_laplacian(data, lambda_max)
    terms = [torch.eye(9, dtype=torch.float64), laplacian]
    for _ in range(2, order):
        terms.append(2 * laplacian @ terms[-1] - terms[-2])
    assert len(got) == filter.terms == order
    for one, term in zip(got, terms):
        close(one, torch.einsum("ts,s...->t...", term, data.x))


def test_chebyshev_is_the_convolution_of_pyg(generator):
    data = with_x(random_graph(20, 60, generator, weighted=True), 4, generator=generator)
    peer = ChebConv(4, 5, 3).double()
    filter = ChebyshevFilter(3)
    weight = torch.cat([lin.weight.t() for lin in peer.lins])
    ours = filter.basis(data.x, filter.operators(data)) @ weight + peer.bias
    theirs = peer(data.x, data.edge_index, data.edge_weight, lambda_max=torch.tensor(2.0, dtype=torch.float64))
    close(ours, theirs)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_diffusion_terms(order, generator):
    data = with_x(random_graph(8, 14, generator, weighted=True), 3, generator=generator)
    weights = dense(data).t()  # W[i, j]: from i to j
    out = weights / weights.sum(1, keepdim=True).clamp(min=1e-300)
    back = weights.t() / weights.t().sum(1, keepdim=True).clamp(min=1e-300)
    terms = [data.x]
    for walk in (out, back):
        terms += [torch.linalg.matrix_power(walk, k) @ data.x for k in range(1, order)]
    filter = DiffusionFilter(order)
    assert filter.terms == len(terms)
    close(filter.basis(data.x, filter.operators(data)), torch.cat(terms, -1))


def test_a_walk_from_weights_of_zero():
    """By hand: 0 -> 1 weighs nothing, 1 -> 2 all of what leaves 1 and enters 2; the rest is 0, not 0 / 0."""
    data = Data(x=torch.tensor([[1.0], [2.0], [4.0]]), edge_index=torch.tensor([[0, 1], [1, 2]]))
    data.edge_weight = torch.tensor([0.0, 3.0])
    filter = DiffusionFilter(2)
    along, against = filter.basis(data.x, filter.operators(data))[:, 1:].unbind(1)
    assert along.tolist() == [0.0, 4.0, 0.0] and against.tolist() == [0.0, 0.0, 2.0]


def test_weights_below_zero_where_degrees_allow_them(generator):
    """Signed weights whose sums stay positive are as good as any."""
    data = with_x(Data(edge_index=torch.tensor([[0, 0, 1, 1], [1, 0, 0, 1]]), num_nodes=2), 3, generator=generator)
    data.edge_weight = torch.tensor([2.0, 1.5, -0.5, 1.5], dtype=torch.float64)
    (adjacency,) = graph_operators(normalised_adjacency, data)
    close(adjacency @ data.x, dense_normalised(data) @ data.x)


@pytest.mark.parametrize("weights", [[-3.0, 2.0], [-1.0, 2.0], [2.0, -3.0]])
def test_degrees_without_a_square_root(weights):
    data = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0, 1], [1, 0]]), edge_weight=torch.tensor(weights))
    at = 0 if weights[0] < 0 else 1
    with pytest.raises(StructureError, match=f"non-negative degrees; got {weights[at]} at node {at}; try edge_w"):
        ChebyshevFilter(2).operators(data)
    got = f"{weights[at] + 1} at node {1 - at}"  # counted where the edge arrives, with a self-loop
    with pytest.raises(StructureError, match=f"positive degrees .*; got {got}; try edge_weight.abs"):
        graph_operators(normalised_adjacency, data)


def test_normalised_adjacency_and_blocks(generator):
    graphs = [
        with_x(random_graph(n, e, generator), 2, generator=generator) for n, e in ((4, 6), (0, 0), (3, 0), (7, 20))
    ]
    parts = [graph_operators(normalised_adjacency, g)[0] for g in graphs]
    whole = GraphOperator.block_diagonal(parts) @ torch.cat([g.x for g in graphs])
    close(whole, torch.cat([dense_normalised(g) @ g.x for g in graphs]))


def test_operators_are_built_once_and_again_after_a_change(generator, monkeypatch):
    data = with_x(random_graph(5, 8, generator, weighted=True), 2, generator=generator)
    filter = ChebyshevFilter(2)
    first = filter.operators(data)
    assert filter.operators(data) is first
    assert filter.operators(Data(x=data.x, edge_index=data.edge_index, edge_weight=data.edge_weight)) is first
    data.edge_weight[0] += 1
    changed = filter.operators(data)
    assert changed is not first
    close(changed[0] @ data.x, dense_laplacian(data) @ data.x)
    data.edge_weight = data.edge_weight * 3 + 1
    close(filter.operators(data)[0] @ data.x, dense_laplacian(data) @ data.x)
    del data.edge_weight
    close(filter.operators(data)[0] @ data.x, dense_laplacian(data) @ data.x)


def test_the_cache_lets_go():
    before = len(graph_operator._CACHE)
    edge_index = torch.tensor([[0], [1]])
    assert cached_operator(lambda *graph: graph[1], edge_index, 2) == 2
    assert len(graph_operator._CACHE) == before + 1
    del edge_index
    assert len(graph_operator._CACHE) == before


def test_messages():
    data = Data(x=torch.ones(3, 2), edge_index=torch.tensor([[0, 1], [1, 3]]))
    with pytest.raises(StructureError, match="edge_index between 0 and 2; got edge_index\\[3\\] = 3"):
        ChebyshevFilter(2).operators(data)
    data.edge_index = torch.tensor([[0, 1], [1, 2]])
    data.edge_weight = torch.ones(3)
    with pytest.raises(StructureError, match="one weight per edge"):
        ChebyshevFilter(2).operators(data)
    with pytest.raises(StructureError, match="at least one term"):
        ChebyshevFilter(0)
    with pytest.raises(StructureError, match="chebyshev, diffusion"):
        graph_filters.graph_filter("spline", 3)
    with pytest.raises(StructureError, match="constant edge weights"):
        GraphOperator(torch.tensor([0]), torch.tensor([1]), torch.ones(1, requires_grad=True), 2)
    with pytest.raises(StructureError, match="2 rows, one per node; got 3"):
        GraphOperator(torch.tensor([0]), torch.tensor([1]), torch.ones(1), 2) @ torch.ones(3, 1)
    with pytest.raises(StructureError, match="a graph with edge_index"):
        ChebyshevFilter(2).operators(Data(x=torch.ones(3, 2)))
