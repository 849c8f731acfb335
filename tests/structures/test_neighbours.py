import torch
from hypothesis import given
from hypothesis import strategies as st

from structnet.structures import Segments
from structnet.structures.neighbours import Neighbours
from tests.strategies import segments


@given(segments(), st.booleans())
def test_complete_graphs_of_any_sizes(groups: Segments, loops: bool):
    graph = Neighbours.complete(groups, loops)
    same = groups.index[:, None] == groups.index
    expected = same if loops else same & ~torch.eye(groups.num_rows, dtype=torch.bool)
    found = torch.zeros_like(same, dtype=torch.int64)
    found.index_put_((graph.sender, graph.target), torch.ones((), dtype=torch.int64), accumulate=True)
    assert torch.equal(found, expected.long())  # every edge once
    assert torch.equal(graph.degree, expected.sum(0))
    again = Neighbours.from_edges(graph.edge_index, groups.num_rows)
    assert torch.equal(again.sender, graph.sender) and torch.equal(again.ptr, graph.ptr) and again.order is None


def test_rows_of_edges_follow_their_edges():
    edge_index = torch.tensor([[0, 1, 2, 0, 1], [2, 0, 1, 1, 2]])
    graph = Neighbours.from_edges(edge_index, 4)
    assert torch.equal(graph.sorted(edge_index.t()), graph.edge_index.t())
    assert graph.degree.tolist() == [1, 2, 2, 0] and graph.num_edges == 5
