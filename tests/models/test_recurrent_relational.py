"""The published equations with PyG's `MessagePassing`, edge by edge, against the factorised form."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from structnet.cells.relational import UPDATES, RelationalMessage
from structnet.errors import StructureError
from structnet.models.recurrent_relational import RecurrentRelationalNetwork
from structnet.models.recurrent_sudoku import RecurrentSudoku, sudoku_edges
from structnet.models.relation_network import RelationNetwork
from structnet.structures import Segments
from structnet.structures.neighbours import Neighbours
from tests.models.relational_literal import Literal
from tests.test_rounds import graph_nodes


def graph(nodes=7, edges=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(nodes, 3, generator=generator, dtype=torch.float64)
    edge_index = torch.randint(0, nodes - 1, (2, edges), generator=generator)  # the last node has no edge
    return x, edge_index, torch.randn(edges, 2, generator=generator, dtype=torch.float64)


def network(**arguments):
    torch.manual_seed(1)
    model = RecurrentRelationalNetwork(3, 4, 5, 2, **{"rounds": 3, **arguments}).double()
    for p in model.parameters():  # no zero bias: a bias in the wrong place must show
        nn.init.normal_(p, std=0.5)
    return model


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("layers", [2, 4])
@pytest.mark.parametrize("update_layers", [0, 2])
def test_factorised_is_literal_in_output_and_every_gradient(update, layers, update_layers):
    model = network(update=update, message_layers=layers, update_layers=update_layers)
    x, edge_index, edge_attr = (t.requires_grad_(t.is_floating_point()) for t in graph())
    fast, slow = model(x, edge_index, edge_attr).logits, Literal(model)(x, edge_index, edge_attr, 3)
    assert fast.shape == (3, 7, 4)  # training: every round
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)
    wanted = [x, edge_attr, *model.parameters()]
    grads = [torch.autograd.grad(out.sin().sum(), wanted, allow_unused=True) for out in (fast, slow)]
    torch.testing.assert_close(*[[g for g in some if g is not None] for some in grads], rtol=1e-8, atol=1e-8)
    assert all((a is None) == (b is None) for a, b in zip(*grads))


def test_graph_level_and_features_shared_by_the_edges_into_a_node():
    model = network(graph_level=True, readout_layers=2)
    x, edge_index, _ = graph()
    batch = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    question = torch.randn(2, 2, dtype=torch.float64)[batch]
    fast = model(x, edge_index, node_attr=question, batch=batch).logits
    slow = Literal(model)(x, edge_index, question[edge_index[1]], 3, batch)
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)
    assert model.eval()(x[:0], edge_index[:, :0], x.new_empty(0, 2), batch[:0], batch_size=2).logits.shape == (1, 2, 4)
    assert model(x, edge_index, node_attr=question).logits.shape == (1, 1, 4)


def test_features_shared_into_a_node_come_before_those_of_the_edge():
    model = network()
    x, edge_index, edge_attr = graph()
    node_attr = torch.randn(7, 1, dtype=torch.float64)
    both = torch.cat([node_attr[edge_index[1]], edge_attr[:, :1]], 1)
    fast = model(x, edge_index, edge_attr[:, :1], node_attr=node_attr).logits
    torch.testing.assert_close(fast, Literal(model)(x, edge_index, both, 3), rtol=1e-10, atol=1e-10)
    with pytest.raises(StructureError, match="3 channels"):
        model(x, edge_index, edge_attr, node_attr=node_attr)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.booleans())
def test_batching_law(lengths, graph_level):
    model = network(graph_level=graph_level).eval()
    scenes = Segments.from_lengths(torch.tensor(lengths))
    x = torch.randn(sum(lengths), 3, dtype=torch.float64)
    edges = Neighbours.complete(scenes)
    e = torch.randn(edges.num_edges, 2, dtype=torch.float64)
    whole = model(x, edges, e, scenes.index).logits[0]
    sizes = [n * (n - 1) for n in lengths]
    alone = [
        model(rows, Neighbours.complete(Segments.from_lengths(torch.tensor([n]))), edge).logits[0]
        for rows, edge, n in zip(x.split(lengths), e.split(sizes), lengths)
    ]
    torch.testing.assert_close(whole, torch.cat(alone), rtol=0, atol=1e-11)


def test_equivariance_to_node_numbers_and_edge_order():
    model = network().eval()
    x, edge_index, edge_attr = graph()
    moved, order = torch.randperm(7), torch.randperm(20)
    again = model(x[moved], moved.argsort()[edge_index][:, order], edge_attr[order]).logits
    torch.testing.assert_close(again, model(x, edge_index, edge_attr).logits[:, moved], rtol=0, atol=1e-12)


def test_any_number_of_rounds_state_in_state_out_and_truncated_gradient():
    model = network().eval()
    x, edge_index, edge_attr = graph()
    long = model(x, edge_index, edge_attr, rounds=9)
    first = model(x, edge_index, edge_attr, rounds=4)
    on = model(x, edge_index, edge_attr, rounds=5, state=first.state)
    torch.testing.assert_close(on.logits, long.logits, rtol=0, atol=1e-13)
    model.train()
    sizes = []
    for rounds in (2, 10, 40):
        model.rounds, model.gradient = rounds, 2
        out = model(x, edge_index, edge_attr).logits
        assert len(out) == 2
        sizes.append(graph_nodes(out))
    assert sizes[1] == sizes[2]  # what is kept for the way back does not grow with the rounds


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_one_round_is_a_relation_network(lengths):
    torch.manual_seed(0)
    scenes = Segments.from_lengths(torch.tensor(lengths))
    relation = RelationNetwork(5, 4, 2, hidden=5, dropout=0.0).double().eval()
    model = RecurrentRelationalNetwork(
        5, 4, 5, 2, update="message", encoder_layers=0, readout_layers=3, graph_level=True, rounds=1
    ).double().eval()  # fmt: skip
    model.message.load_state_dict(relation.g.state_dict())
    model.readout.load_state_dict(relation.f.state_dict())
    x, q = torch.randn(sum(lengths), 5, dtype=torch.float64), torch.randn(len(lengths), 2, dtype=torch.float64)
    edges = Neighbours.complete(scenes, loops=True)
    out = model(x, edges, node_attr=q[scenes.index], batch=scenes.index, batch_size=len(lengths)).logits[0]
    again = relation(x, edges, node_attr=q[scenes.index], batch=scenes.index, batch_size=len(lengths))
    torch.testing.assert_close(out, again, rtol=0, atol=1e-12)
    for at, rows in enumerate(x.split(lengths)):  # equation 1, pair by pair
        pairs = [relation.g.network(torch.cat([a, b, q[at]])) for a in rows for b in rows]
        total = torch.stack(pairs).sum(0) if pairs else x.new_zeros(5)
        torch.testing.assert_close(out[at], relation.f(total), rtol=0, atol=1e-10)


def test_three_nodes_by_hand():
    model = RecurrentRelationalNetwork(1, 1, 1, message_layers=2, update="message", encoder_layers=0, rounds=2).eval()
    for p, value in zip(model.parameters(), ([[1.0, -2.0]], [3.0], [[2.0]], [0.5], [[1.0]], [0.0])):
        p.data.copy_(torch.tensor(value))
    # m_ij = 2 relu(h_i - 2 h_j + 3) + 0.5 on 0 -> 1, 2 -> 1, 1 -> 2; h = 1, 2, 5, then 0, 1 + 8 .. by hand:
    # round 1: m_1 = 2 relu(1 - 4 + 3) + 0.5 + 2 relu(5 - 4 + 3) + 0.5 = 9, m_2 = 2 relu(2 - 10 + 3) + 0.5 = 0.5
    # round 2: m_1 = 2 relu(0 - 18 + 3) + 0.5 + 2 relu(0.5 - 18 + 3) + 0.5 = 1, m_2 = 2 relu(9 - 1 + 3) + 0.5 = 22.5
    x, edge_index = torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([[0, 2, 1], [1, 1, 2]])
    assert model(x, edge_index, rounds=1).logits.flatten().tolist() == [0.0, 9.0, 0.5]
    assert model(x, edge_index).logits.flatten().tolist() == [0.0, 1.0, 22.5]


def test_the_published_sudoku_network_has_201194_parameters():
    parts = RecurrentSudoku().network.named_children()
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts}
    assert counts["encoder"] == 32_640 and counts["message"] == 46_560 and counts["readout"] == 970
    assert counts["update"] == 46_464 + 74_112
    assert sum(p.numel() for p in RecurrentSudoku().parameters()) == 201_194


def test_sudoku_network_reads_boards_alone_as_in_a_batch():
    torch.manual_seed(0)
    model = RecurrentSudoku(width=8, rounds=2).double()
    puzzles = torch.randint(0, 10, (3, 81))
    out = model(puzzles)
    assert out.logits.shape == (2, 3, 81, 10)
    torch.testing.assert_close(model(puzzles[1:2]).logits, out.logits[:, 1:2], rtol=0, atol=1e-12)
    assert set(model.auxiliary(out)) == {"l2"} and sudoku_edges(3).degree.tolist() == [20] * 243
    with pytest.raises(StructureError, match="81"):
        model(puzzles[:, :80])


def test_weight_decay_is_on_the_perceptrons_weight_matrices_alone():
    model = network(l2=2.0, update_layers=2)
    kept = (model.encoder, model.message, model.update.post)
    expected = sum(m.weight.square().sum() for part in kept for m in part.modules() if isinstance(m, nn.Linear))
    x, edge_index, edge_attr = graph()
    torch.testing.assert_close(model.auxiliary(model(x, edge_index, edge_attr))["l2"], expected)


def test_bad_calls():
    x, edge_index, edge_attr = graph()
    with pytest.raises(StructureError, match="an update out of lstm"):
        network(update="rnn")
    with pytest.raises(StructureError, match="edge features"):
        network()(x, edge_index)
    with pytest.raises(StructureError, match="20 edge features"):
        network()(x, edge_index, edge_attr[:4])
    with pytest.raises(StructureError, match="node numbers"):
        network()(x[:3], edge_index, edge_attr)
    with pytest.raises(StructureError, match="at least 2 layers"):
        RelationalMessage(3, layers=1)
