"""EvolveGCN against the paper's equations, column by column, and against its laws."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

from structnet.errors import StructureError
from structnet.models.evolvegcn import EvolveGCN, summarize
from structnet.structures import Segments
from tests.graphs import dense_normalised, random_graph, with_x

IN, HIDDEN = 4, 3  # narrower and, in the second layer, equal: both orders of the products
VARIANTS = {
    "H": {"variant": "H"},
    "H unmasked": {"variant": "H", "mask": False},
    "O": {"variant": "O"},
    "O gru": {"variant": "O", "recurrence": "gru"},
    "O rows": {"variant": "O", "direction": "rows"},
    "O vector": {"variant": "O", "recurrence": "gru", "bias": "vector", "direction": "rows"},
    "skip": {"variant": "H", "skip": True, "num_layers": 3, "last_activation": "tanh"},
}


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return torch.Generator().manual_seed(0)


def build(name: str) -> EvolveGCN:
    model = EvolveGCN(IN, HIDDEN, **{"activation": "tanh", **VARIANTS[name]}).double()
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -0.8, 0.8)
    return model


def snapshots(generator, sizes=((6, 9), (4, 8), (9, 5)), grad=False) -> list[Data]:
    graphs = [random_graph(n, e, generator, weighted=True) for n, e in sizes]
    return [with_x(graph, IN, generator=generator, grad=grad) for graph in graphs]


def close(one, other, atol=1e-12):
    torch.testing.assert_close(one, other, rtol=0, atol=atol)


def literal_summary(data, x, p, k, mask):
    """Section 3.3, one node at a time."""
    y = x @ p / p.norm()
    rank = y.tolist()
    linked = set(data.edge_index.flatten().tolist())
    nodes = [n for n in range(len(x)) if n in linked or not mask]
    best = sorted(nodes, key=lambda n: -rank[n])[:k]
    best += [best[-1]] * (k - len(best))
    return torch.stack([x[n] * torch.tanh(y[n]) for n in best])


def literal_gru(cell, x, h):
    """One recurrent vector: the column GRU of section 3.2, its matrices cut out of the stacked ones."""
    w, u = cell.weight.chunk(3), cell.hidden.chunk(3)
    b = cell.bias.expand(-1, h.shape[1]).chunk(3)
    columns = []
    for j in range(h.shape[1]):
        xj, hj = x[:, j], h[:, j]
        z = torch.sigmoid(w[0] @ xj + u[0] @ hj + b[0][:, j])
        r = torch.sigmoid(w[1] @ xj + u[1] @ hj + b[1][:, j])
        new = torch.tanh(w[2] @ xj + u[2] @ (r * hj) + b[2][:, j])
        columns.append((1 - z) * hj + z * new)
    return torch.stack(columns, 1)


def literal_lstm(cell, h, c):
    w, u = cell.weight.chunk(4), cell.hidden.chunk(4)
    b = cell.bias.expand(-1, h.shape[1]).chunk(4)
    f, i, o = (torch.sigmoid(w[g] @ h + u[g] @ h + b[g]) for g in range(3))
    c = f * c + i * torch.tanh(w[3] @ h + u[3] @ h + b[3])
    return o * torch.tanh(c), c


def literal(model, data_list, name):
    """Snapshot by snapshot, layer by layer: evolve the weight, then convolve."""
    options, outputs = VARIANTS[name], []
    rows = options.get("direction") == "rows"
    turn = (lambda w: w.t()) if rows else (lambda w: w)
    weights = [turn(layer.weight) for layer in model.layers]
    memory = [torch.zeros_like(weight) for weight in weights]
    for data in data_list:
        x, adjacency = data.x, dense_normalised(data)
        for at, layer in enumerate(model.layers):
            if options["variant"] == "H":
                z = literal_summary(data, x, layer.score, HIDDEN, options.get("mask", True))
                weights[at] = literal_gru(layer.recurrence, z.t(), weights[at])
            elif options.get("recurrence") == "gru":
                weights[at] = literal_gru(layer.recurrence, weights[at], weights[at])
            else:
                weights[at], memory[at] = literal_lstm(layer.recurrence, weights[at], memory[at])
            x = adjacency @ x @ turn(weights[at])
            last = at == len(model.layers) - 1
            x = torch.tanh(x) if not last or "last_activation" in options else x
        outputs.append(x if model.skip is None else x + data.x @ model.skip.weight.t())
    return outputs


@pytest.mark.parametrize("name", VARIANTS)
def test_the_paper_with_all_gradients(name, generator):
    model, data = build(name), snapshots(generator, grad=True)
    ours, expected = torch.cat(model.series(data)[0]), torch.cat(literal(model, data, name))
    close(ours, expected, 1e-10)
    weights = torch.randn_like(ours)
    inputs = [*(d.x for d in data), *model.parameters()]
    one = torch.autograd.grad((ours * weights).sum(), inputs)
    other = torch.autograd.grad((expected * weights).sum(), inputs)
    for a, b in zip(one, other):
        close(a, b, 1e-10)


@pytest.mark.parametrize("name", VARIANTS)
def test_one_snapshot_at_a_time_is_the_whole_series(name, generator):
    model, data = build(name), snapshots(generator)
    whole, last = model.series(data)
    state = None
    for at, snapshot in enumerate(data):
        out, state = model(snapshot, state)
        close(out, whole[at])
    torch.testing.assert_close(state, last, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.series(data, only_last=True), (whole[-1:], last), rtol=0, atol=1e-12)
    first, middle = model.series(data[:1])
    close(torch.cat(first + model.series(data[1:], middle)[0]), torch.cat(whole))
    assert model.series([], middle) == ([], middle)


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("name", VARIANTS)
def test_batching_law(name, equal, generator):
    """Three series side by side: each evolves its own weights, and gives what it gives alone."""
    sizes = [((5, 9), (5, 4))] * 3 if equal else [((6, 9), (4, 8)), ((2, 1), (12, 40)), ((3, 4), (1, 2))]
    series = [snapshots(generator, size) for size in sizes]
    model = build(name)
    together, _ = model.series([Batch.from_data_list(list(step)) for step in zip(*series)])
    alone = [model.series(one)[0] for one in series]
    for t in range(2):
        close(together[t], torch.cat([one[t] for one in alone]))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_new_order_of_nodes_gives_the_same_rows(name, generator):
    model, (data,) = build(name), snapshots(generator, ((7, 12),))
    order = torch.randperm(7, generator=generator)
    other = Data(x=data.x[order], edge_index=order.argsort()[data.edge_index], edge_weight=data.edge_weight)
    close(model(other)[0], model(data)[0][order])


def test_top_k_by_hand():
    x = torch.tensor([[1.0, 0.0], [3.0, 1.0], [2.0, 5.0], [9.0, 9.0], [2.0, 7.0]], dtype=torch.float64)
    p = torch.tensor([2.0, 0.0], dtype=torch.float64)  # the score is the first channel
    groups = Segments.from_lengths(torch.tensor([3, 0, 2]))
    allowed = torch.tensor([True, True, True, False, True])
    z = summarize(x, p, 2, groups, allowed)
    scaled = x * x[:, :1].tanh()
    close(z, torch.stack([scaled[[1, 2]], torch.zeros(2, 2, dtype=torch.float64), scaled[[4, 4]]]))
    close(summarize(x, p, 2, groups)[2], scaled[[3, 4]])
    assert summarize(x[:0], p, 2, Segments(torch.tensor([0, 0]))).tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
    ties = torch.ones(3, 2, dtype=torch.float64) * torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    close(summarize(ties, p, 2, Segments(torch.tensor([0, 3])))[0], ties[:2] * torch.tensor(1.0).double().tanh())


@pytest.mark.parametrize("name", VARIANTS)
def test_snapshots_without_edges_or_nodes(name, generator):
    model, data = build(name), snapshots(generator, ((3, 0), (0, 0), (5, 6)))
    if name == "H unmasked":
        data = data[2:]  # -H without a mask: tested by hand above
    outputs, _ = model.series(data)
    assert [len(out) for out in outputs] == [d.num_nodes for d in data]
    torch.cat(outputs).sum().backward()
    assert all(torch.cat(outputs).isfinite().flatten()) and all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", VARIANTS)
def test_a_broken_graph_stays_by_itself(name, generator):
    """A graph of NaN, beside one with no row to choose (no edge, no node): the other's outputs, weights and gradients
    are its own."""
    model = build(name)
    (broken,) = snapshots(generator, ((4, 6),))
    broken.x = torch.full_like(broken.x, torch.nan)
    for nodes in (4, 0):
        if nodes and name == "H unmasked":
            continue  # reads its own rows
        (good,) = snapshots(generator, ((nodes, 0),), grad=True)
        both = Batch.from_data_list([good, broken])
        out = model(both)[0][:nodes]
        close(out, model(good)[0])
        for ours, own in zip(model.trajectory([both]), model.trajectory([good])):
            close(ours[:, :1], own)
        (grad,) = torch.autograd.grad(out.square().sum(), good.x)
        (alone,) = torch.autograd.grad(model(good)[0].square().sum(), good.x)
        close(grad, alone)


def test_a_segment_with_nothing_to_choose_hands_no_gradient_to_its_neighbour():
    x = torch.tensor([[1.0, 2.0], [0.5, 1.0]], requires_grad=True)
    z = summarize(x, torch.tensor([1.0, 0.0]), 2, Segments.from_lengths(torch.tensor([2, 0])))
    (alone,) = torch.autograd.grad(z[0].sum(), x, retain_graph=True)
    (grad,) = torch.autograd.grad(z[0].sum() + torch.nan * z[1].sum(), x)
    assert torch.equal(grad, alone)


@pytest.mark.parametrize("name", VARIANTS)
def test_graphs_made_in_inference_mode(name, generator):
    model, data = build(name), snapshots(generator)
    expected, _ = model.series(data)
    with torch.inference_mode():
        close(model.series([one.clone() for one in data])[0], expected)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_generator_of_snapshots(name, generator):
    model, data = build(name), snapshots(generator)
    torch.testing.assert_close(model.series(one for one in data), model.series(data), rtol=0, atol=0)
    assert model.series(iter([]), "kept") == ([], "kept")


@pytest.mark.parametrize(("variant", "recurrence", "extra"), [("H", "gru", True), ("O", "gru", False)])
def test_parameter_count_of_the_release(variant, recurrence, extra):
    """926 for 8 -> 6 -> 5 in both released variants; p is a parameter of -O only there."""
    layers = [EvolveGCN(i, o, variant, 1, recurrence) for i, o in ((8, 6), (6, 5))]
    count = sum(p.numel() for layer in layers for p in layer.parameters())
    assert count == 926 - (0 if extra else 8 + 6)


def test_the_authors_reading(generator):
    model = EvolveGCN.authors(IN, HIDDEN, "O").double()
    data = snapshots(generator)
    assert not torch.equal(model.train()(data[0])[0], model(data[0])[0])  # RReLU draws
    assert torch.equal(model.eval()(data[0])[0], model(data[0])[0])
    assert [type(layer.recurrence).__name__ for layer in model.layers] == ["MatrixGRU"] * 2


@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_is_kept_and_the_state_dict_is_all(name, generator):
    model, other, data = build(name), build(name), snapshots(generator)
    first = torch.cat(model.series(data)[0])
    for _ in range(2):  # a second backward is nothing special, and the initial weight learns
        torch.cat(model.series(data)[0]).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    close(torch.cat(model.series(data)[0]), first)
    assert not list(model.buffers())
    other.load_state_dict(model.state_dict())
    close(torch.cat(other.series(data)[0]), first)


def test_messages(generator):
    data = snapshots(generator)
    with pytest.raises(StructureError, match="4 channels; got 2"):
        EvolveGCN(IN, HIDDEN).double()(Data(x=data[0].x[:, :2], edge_index=data[0].edge_index))
    with pytest.raises(StructureError, match="equal widths for -H by rows; got 4 -> 3"):
        EvolveGCN(IN, HIDDEN, "H", direction="rows")
    with pytest.raises(StructureError, match="2 graphs in every snapshot; got 1 in snapshot 1"):
        EvolveGCN(IN, HIDDEN).double().series([Batch.from_data_list(data[:2]), data[2]])
    with pytest.raises(StructureError, match=r"data.x of \[N, F\]; got no x"):
        EvolveGCN(IN, HIDDEN)(Data(edge_index=data[0].edge_index, num_nodes=6))
    for wrong in ({"variant": "P"}, {"recurrence": "rnn"}, {"activation": "x"}, {"bias": "no"}, {"direction": "up"}):
        with pytest.raises(StructureError, match=repr(next(iter(wrong.values())))):
            EvolveGCN(IN, HIDDEN, **wrong)


@pytest.mark.parametrize("name", VARIANTS)
def test_states_that_do_not_fit(name, generator):
    model, (data, other, _) = build(name), snapshots(generator)
    layers, (_, state) = len(model.layers), model(data)
    for wrong, got in ((state[:1], "1"), (state + state[:1], f"{layers + 1}"), (torch.zeros(2, 2), "Tensor")):
        with pytest.raises(StructureError, match=f"a state of {layers} layers; got {got}"):
            model(other, wrong)
    with pytest.raises(StructureError, match=r"a state of shape .*2, (4, 3|3, 4).*; got .*1, (4, 3|3, 4)"):
        model(Batch.from_data_list([data, other]), state)
    with pytest.raises(StructureError, match=r"a state of shape .*1, (4, 3|3, 4).*; got .*1, 3, 3"):
        model(other, (state[1],) * layers)
