"""Link prediction: pairs and rows are the same scores, the decoder is the paper's; history is learned."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from structnet.errors import StructureError
from structnet.models.gcn_gru import GCNGRU
from structnet.models.link_predictor import ENCODERS, LinkPredictor
from structnet.models.node_classifier import NodeClassifier
from structnet.structures.pair_history import PairHistory
from structnet.structures.snapshots import EdgeStream
from tests.graphs import dense_normalised, random_graph, with_x


def snapshots(count=3, nodes=7, channels=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        with_x(random_graph(nodes, 9, generator, weighted=True), channels, generator=generator) for _ in range(count)
    ]


def history(nodes=7):
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randint(nodes, (2, 30), generator=generator)
    stream = EdgeStream.of(source, target, torch.arange(30), nodes).both_ways()
    return PairHistory.at(stream, stream.steps(4), stream.clock(4), now=5)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_rows_are_pairs(encoder, known):
    torch.manual_seed(0)
    model = LinkPredictor(4, 5, encoder, 6, history=known).double().eval()
    facts = history()
    scores = model(snapshots(), facts)
    grid = torch.arange(7).repeat_interleave(7), torch.arange(7).repeat(7)
    rows, pairs = scores.rows(torch.arange(7)), scores.pairs(*grid)
    torch.testing.assert_close(rows.flatten(), pairs, rtol=0, atol=1e-12)
    weights = torch.randn(49, dtype=torch.float64)
    leaves = list(model.parameters())
    one = torch.autograd.grad((pairs * weights).sum(), leaves, allow_unused=True, retain_graph=True)
    other = torch.autograd.grad((rows.flatten() * weights).sum(), leaves, allow_unused=True)
    for a, b in zip(one, other):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    assert scores.rows(torch.empty(0, dtype=torch.int64)).shape == (0, 7)


@pytest.mark.parametrize("known", [False, True])
def test_nodes_alike_are_scored_once_without_gradients(known):
    torch.manual_seed(0)
    model = LinkPredictor(4, 5, "gcn", 6, history=known).eval()
    x, ends = torch.ones(7, 4), torch.tensor([[0, 1], [1, 0]])
    x[:2] = torch.randn(4)  # two kinds of nodes, but for their history
    data, facts = [Data(x=x, edge_index=ends)], history()
    source, target = torch.tensor([5, 0, 5, 6]), torch.tensor([0, 3, 2, 2])
    slow = model(data, facts)
    with torch.no_grad():
        fast = model(data, facts)
        assert fast.place is not None and fast.target.shape[0] == (7 if known else 2)
        torch.testing.assert_close(fast.rows(source), slow.rows(source), rtol=0, atol=1e-6)
        torch.testing.assert_close(fast.pairs(source, target), slow.pairs(source, target), rtol=0, atol=1e-6)
        assert fast.rows(source[:0]).shape == (0, 7)
        assert known or torch.equal(fast.rows(source)[:, 2], fast.rows(source)[:, 6])


def test_the_decoder_is_that_of_the_paper():
    torch.manual_seed(0)
    model = LinkPredictor(4, 5, "gcn", 6).double()
    data = snapshots(1)
    h = model.encoder(data[0])[0]
    weight = torch.cat([model.source.weight, model.target.weight], 1)  # Linear on concat(h_u, h_v)
    expected = model.out(torch.relu(nn.functional.linear(torch.cat([h[2], h[5]]), weight, model.target.bias)))
    said = model(data).pairs(torch.tensor([2]), torch.tensor([5]))
    torch.testing.assert_close(said, expected, rtol=0, atol=1e-12)


def test_gcn_gru_is_written_out():
    torch.manual_seed(0)
    model, data = GCNGRU(4, 3).double(), snapshots()
    outputs, _ = model.series(data)
    cell, h = model.cell, torch.zeros(7, 3, dtype=torch.float64)
    for graph, out in zip(data, outputs):
        adjacency, x = dense_normalised(graph), graph.x
        for weight in model.weights:
            x = torch.relu(adjacency @ x @ weight)
        wx, wh, b = cell.weight_x.chunk(3, 1), cell.weight_h.chunk(3, 1), cell.bias.chunk(3)
        z, r = (torch.sigmoid(x @ wx[g] + h @ wh[g] + b[g]) for g in (0, 1))
        h = z * h + (1 - z) * torch.tanh(x @ wx[2] + (r * h) @ wh[2] + b[2])
        torch.testing.assert_close(out, h, rtol=0, atol=1e-12)
    assert torch.equal(model.series(data, only_last=True)[0][0], outputs[-1])
    plain = GCNGRU(4, 3, cell="none").double()
    still, state = plain(data[-1])
    assert still.shape == (7, 3) and state is None
    assert torch.equal(plain.series(data, only_last=True)[0][0], still)


def test_history_alone_can_be_learned():
    """Pairs that come back after two steps: no embedding shows it, the age of a pair does."""
    torch.manual_seed(0)
    source = torch.arange(40) % 4
    stream = EdgeStream.of(source, 4 + (torch.arange(40) // 4 + source) % 2, torch.arange(40) // 4, 6)
    steps, clock = stream.steps(1), stream.clock(1)
    graphs = [with_x(g, 1, generator=torch.Generator()) for g in stream.snapshots(steps)]
    graphs = [g.update({"x": torch.ones(6, 1)}) for g in graphs]
    model = LinkPredictor(1, 4, "gcn", 4, history=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)

    def right(t):
        scores = model([graphs[t]], PairHistory.at(stream, steps, clock, t)).rows(torch.arange(4))
        truth = 4 + (t + 1 + torch.arange(4)) % 2
        return scores.log_softmax(1)[torch.arange(4), truth], scores.argmax(1) == truth

    for step in range(150):
        loss = -right(2 + step % 4)[0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(bool(right(t)[1].all()) for t in (6, 7, 8))


def test_messages():
    with pytest.raises(StructureError, match="an encoder out of evolvegcn-h"):
        LinkPredictor(3, encoder="gat")
    with pytest.raises(StructureError, match="a PairHistory; got None"):
        LinkPredictor(4, 5, "gcn", history=True).double()(snapshots(1))
    with pytest.raises(StructureError, match="a cell out of lstm, gru, rnn, none"):
        GCNGRU(3, 3, cell="gru2")
    with pytest.raises(StructureError, match="an encoder out of"):
        NodeClassifier(4, encoder="gcn-gru")


@pytest.mark.parametrize("encoder", ["evolvegcn-h", "evolvegcn-o", "gcn"])
def test_node_classes_over_changing_nodes(encoder):
    model = NodeClassifier(4, 5, encoder, 6).double()
    out = model([*snapshots(1, 7), *snapshots(1, 3)])
    assert out.shape == (3,)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_what_a_recurrent_baseline_cannot_read(cell):
    model, (data, *_) = GCNGRU(4, 3, cell=cell).double(), snapshots()
    _, state = model(data)
    with pytest.raises(StructureError, match="got no x"):
        model(Data(edge_index=data.edge_index, num_nodes=len(data.x)), state)
    narrow = tuple(part[:, :2] for part in state) if cell == "lstm" else state[:, :2]
    with pytest.raises(StructureError, match="a state of shape"):
        model(data, narrow)


def test_the_last_of_a_generator():
    model, graphs = GCNGRU(4, 3, cell="none").double(), snapshots()
    assert torch.equal(model.series(iter(graphs), only_last=True)[0][0], model(graphs[-1])[0])
