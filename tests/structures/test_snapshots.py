"""Edges with times become graphs: by hand, against a loop, and what is refused."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import TemporalData

from structnet.errors import StructureError
from structnet.structures.pair_history import PairHistory
from structnet.structures.snapshots import EdgeStream, Snapshots, from_signal


def stream(edges, **options) -> EdgeStream:
    source, target, time = (torch.tensor([edge[i] for edge in edges], dtype=torch.int64) for i in range(3))
    return EdgeStream.of(source, target, time, **options)


HAND = [(0, 1, 100), (0, 1, 105), (2, 0, 109), (1, 2, 130), (1, 2, 139)]


def test_steps_by_hand():
    s = stream(HAND, weight=torch.tensor([1.0, -3.0, 5.0, 2.0, 2.0]))
    assert s.num_nodes == 3 and s.steps(10).tolist() == [0, 0, 0, 3, 3]
    graphs = s.snapshots(s.steps(10))
    assert [g.edge_index.tolist() for g in graphs] == [[[0, 2], [1, 0]], [[], []], [[], []], [[1], [2]]]
    assert [g.edge_weight.tolist() for g in graphs] == [[2.0, 1.0], [], [], [2.0]]
    assert graphs[0].edge_attr.flatten().tolist() == [-2.0, 5.0] and graphs[3].edge_attr.item() == 4.0
    assert len(s.snapshots(s.steps(10), count=6)) == 6 and s.steps(10, start=95).tolist() == [0, 1, 1, 3, 4]
    assert [g.edge_index.shape[1] for g in s.by_events(2)] == [1, 2, 1]
    assert len(graphs[1:3]) == 2 and isinstance(graphs[1:3].to("cpu"), Snapshots)


def test_both_ways_and_no_edge_at_all():
    both = stream(HAND).both_ways()
    assert both.source.tolist()[:4] == [0, 1, 0, 1] and both.target.tolist()[:4] == [1, 0, 1, 0]
    assert both.forward.tolist()[:3] == [True, False, True] and both.time.tolist()[:3] == [100, 100, 105]
    none = EdgeStream.of(*[torch.empty(0, dtype=torch.int64)] * 3, num_nodes=4)
    assert none.steps(5).tolist() == [] and len(none.snapshots(none.steps(5), count=2)) == 2
    assert len(none.snapshots(none.steps(5))) == 0


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 60)), min_size=1, max_size=30))
def test_every_event_is_in_the_snapshot_of_its_step(edges):
    s = stream(edges, sort=True, num_nodes=5)
    graphs = s.snapshots(s.steps(7))
    expected: dict = {}
    first = min(time for *_, time in edges)
    for a, b, time in edges:
        key = ((time - first) // 7, a, b)
        expected[key] = expected.get(key, 0) + 1
    found = {
        (t, *pair): n
        for t, g in enumerate(graphs)
        for pair, n in zip(map(tuple, g.edge_index.t().tolist()), g.edge_weight.tolist())
    }
    assert found == expected


def test_temporal_data():
    source, target, time = torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([3, 9])
    s = EdgeStream.from_temporal_data(TemporalData(src=source, dst=target, t=time, msg=torch.tensor([[0.5], [2.0]])))
    assert s.weight.tolist() == [0.5, 2.0] and len(s.snapshots(s.steps(3))) == 3


def test_signals_of_other_libraries_share_one_graph():
    def item(edges, weight):
        return SimpleNamespace(
            x=torch.ones(3, 1), y=torch.ones(3), edge_index=torch.tensor(edges), edge_attr=torch.tensor(weight)
        )

    graphs = from_signal(item([[0, 1], [1, 2]], w) for w in ([1.0, 2.0], [1.0, 2.0], [1.0, 3.0]))
    assert graphs[0].edge_index is graphs[1].edge_index and graphs[0].edge_weight is graphs[1].edge_weight
    assert graphs[2].edge_weight.tolist() == [1.0, 3.0] and graphs[1].y.tolist() == [1.0] * 3
    with pytest.raises(StructureError, match="none in item 0"):
        from_signal([SimpleNamespace(x=torch.ones(1))])


def test_messages():
    with pytest.raises(StructureError, match=r"time\[0\] = 5 > time\[1\] = 2"):
        stream([(0, 1, 5), (0, 1, 2)])
    assert stream([(0, 1, 5), (2, 1, 2)], sort=True).source.tolist() == [2, 0]
    with pytest.raises(StructureError, match=r"between 0 and 1; got source and target\[0\] = 7"):
        stream([(7, 1, 5)], num_nodes=2)
    with pytest.raises(StructureError, match="NaN at edge 1"):
        EdgeStream.of(torch.tensor([0, 0]), torch.tensor([1, 1]), torch.tensor([0.0, torch.nan]))
    with pytest.raises(StructureError, match="time of shape"):
        EdgeStream.of(torch.tensor([0, 0]), torch.tensor([1, 1]), torch.tensor([0.0]))
    with pytest.raises(StructureError, match="positive length"):
        stream(HAND).steps(0)
    with pytest.raises(StructureError, match="no edge before start=101"):
        stream(HAND).steps(10, start=101)


def test_history_by_hand():
    s = stream(HAND)
    steps, clock = s.steps(10), s.clock(10)
    history = PairHistory.at(s, steps, clock, now=2)
    assert history.key.tolist() == [1, 6] and history.age.tolist() == [2.0, 2.0]
    assert history.total.tolist() == [1.0, 2.0, 0.0] and history.recent.tolist() == [1.0, 2.0, 0.0]
    exact = history.pair[:, 0].expm1()
    torch.testing.assert_close(exact, torch.tensor([2.5, 2.1]))  # 30 - 5, 30 - 9 of 10
    torch.testing.assert_close(history.pair[:, 3].expm1(), torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(history.node[:, 2].expm1(), torch.tensor([2.0, 2.0, 2.0]))
    fading = 2 ** -torch.tensor([[3.0, 2.5]]) @ torch.ones(2, 1)
    torch.testing.assert_close(history.pair[0, 5].exp() - 0.01, fading[0, 0])  # half-life of one step
    later = PairHistory.at(s, steps, clock, now=3)
    assert later.key.tolist() == [1, 5, 6] and later.age.tolist() == [3.0, 0.0, 3.0]
    assert PairHistory.at(s, steps, clock, now=3, window=3).recent.tolist() == [0.0, 0.0, 2.0]
    given, place = later.find(torch.tensor([2, 0, 1]), torch.tensor([0, 2, 2]))
    assert given.tolist() == [0, 2] and place.tolist() == [2, 1]
    row, target, place = later.rows(torch.tensor([2, 0, 1]))
    assert row.tolist() == [0, 1, 2] and target.tolist() == [0, 1, 2] and place.tolist() == [2, 0, 1]
    empty = PairHistory.at(s, steps, clock, now=-1)
    assert empty.key.numel() == 0 and empty.find(torch.tensor([0]), torch.tensor([1]))[0].numel() == 0


def test_history_knows_the_direction():
    s = stream([(0, 1, 0), (0, 1, 1), (1, 0, 1)])
    for one in (s, s.both_ways()):
        history = PairHistory.at(one, one.steps(10), one.clock(10), now=0)
        own, other = history.pair[:, 8].exp() - 0.01, history.pair[:, 9].exp() - 0.01
        torch.testing.assert_close(own[0], 2 ** torch.tensor(-1 / 3) + 2 ** torch.tensor(-0.3))
        torch.testing.assert_close(own, other.flip(0))
