"""The multitask benchmark: labels against networkx, the network alone and in a batch."""

import networkx as nx
import numpy as np
import pytest
import torch

from structnet.datasets.multitask import KINDS, adjacency, draw, labels
from structnet.errors import StructureError
from structnet.models.multitask_network import AGGREGATORS, MultitaskNetwork
from structnet.tasks import multitask
from structnet.tasks.multitask import GraphSplit, Multitask


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [15, 16])
def test_kinds_are_simple_graphs_of_their_size(kind, n):
    found = adjacency(kind, n, np.random.default_rng(n))
    assert found.shape == (n, n) and (found == found.T).all() and not found.diagonal().any() and found.any(0).all()


def test_three_nodes_by_hand():
    path = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    nodes, graph = labels(path, np.array([1.0, 2.0, 4.0]), source=0)
    assert nodes.tolist() == [[0, 2, -1], [1, 1, -1], [2, 2, 2]]
    assert graph[:2].tolist() == [1, 2] and np.isclose(graph[2], 2**0.5)
    apart, graph = labels(np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], bool), np.zeros(4), 2)
    assert apart[:, 0].tolist() == [0, 0, 0, 1] and graph.tolist() == [0, 1, 1]


def test_labels_are_those_of_networkx():
    rng = np.random.default_rng(0)
    for kind in KINDS:
        adjacent, value = adjacency(kind, 18, rng), rng.random(18)
        nodes, graph = labels(adjacent, value, source=3)
        other = nx.from_numpy_array(adjacent)
        ways = nx.single_source_shortest_path_length(other, 3)
        assert nodes[:, 0].tolist() == [ways.get(v, 0) for v in range(18)]
        reach = {v: max(nx.single_source_shortest_path_length(other, v).values()) for v in other}
        assert nodes[:, 1].tolist() == [reach[v] for v in range(18)]
        matrix = np.diag(adjacent.sum(0)) - adjacent.astype(float)  # networkx wants scipy for it
        assert np.allclose(nodes[:, 2], matrix @ value, atol=1e-5)
        assert graph[0] == nx.is_connected(other) and graph[1] == max(reach.values())
        assert np.isclose(graph[2], max(abs(np.linalg.eigvals(adjacent.astype(float)))), atol=1e-4)


def split(sizes=(5, 2, 9, 3), seed=0):
    arrays = draw(np.array(sizes), np.random.default_rng(seed))
    return GraphSplit("some", arrays, np.ones(6))


@pytest.mark.parametrize("name", AGGREGATORS)
def test_a_graph_alone_as_in_a_batch(name):
    torch.manual_seed(0)
    model, data = MultitaskNetwork(name, width=6).double().eval(), split()
    whole = data.batch(torch.arange(4))
    whole.inputs[0].x = whole.inputs[0].x.double()
    out, at = model(*whole.inputs), 0
    for row in range(4):
        alone = data.batch(torch.tensor([row]))
        alone.inputs[0].x = alone.inputs[0].x.double()
        mine = model(*alone.inputs)
        n = int(data.sizes[row])
        assert (out.nodes[at : at + n] - mine.nodes).abs().max() <= 1e-12
        assert (out.graphs[row] - mine.graphs[0]).abs().max() <= 1e-12
        at += n


def test_a_graph_takes_half_its_nodes_in_rounds(monkeypatch):
    model, data, rows = MultitaskNetwork("max", width=4), split(), []
    inner = model.layer.forward
    monkeypatch.setattr(model.layer, "forward", lambda h, e: rows.append(len(h)) or inner(h, e))
    model(*data.batch(torch.arange(4)).inputs)
    assert rows == [19, 14, 9, 9]  # 5, 2, 9, 3 nodes: 2, 1, 4, 1 rounds


def test_task_scores_each_label_of_each_graph(monkeypatch):
    monkeypatch.setattr(multitask, "_arrays", lambda name, seed: draw(np.array([15, 16, 17]), np.random.default_rng(1)))
    task = Multitask()
    batch = task.split("test").batch(torch.arange(3))
    off = torch.tensor([0.0, 0.2, 0.0])
    near = type("Out", (), {"nodes": batch.target.nodes + off, "graphs": batch.target.graphs + 0.1})
    scores = task.score(near, batch)
    assert torch.allclose(scores["eccentricity"], torch.full((3,), 0.04))
    assert torch.allclose(scores["sssp"], torch.zeros(3)) and torch.allclose(scores["diameter"], torch.full((3,), 0.01))
    assert task.loss(near, batch).item() == pytest.approx((0.04 + 3 * 0.01) / 6)
    assert task.summary({k: v + 1e-6 for k, v in scores.items()}, {})["diameter"] == pytest.approx(-2, abs=0.01)
    assert float(task.split("train").nodes.max()) == 1
    with pytest.raises(StructureError, match="one of train"):
        task.split("huge")
    with pytest.raises(StructureError, match="drawn, not read"):
        task.from_file("x")
    with pytest.raises(StructureError, match="an aggregator out of"):
        MultitaskNetwork("nothing")
