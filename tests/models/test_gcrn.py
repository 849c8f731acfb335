"""GCRN against the paper's equations written out node by node, and against its laws."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

from structnet.cells.graph_recurrent import GraphLSTMCell
from structnet.errors import StructureError
from structnet.models.encoder_forecaster import EncoderForecaster
from structnet.models.gcrn import GCRN
from structnet.models.gcrn_import import from_pyg_temporal
from tests.graphs import dense_laplacian, random_graph, with_x

NODES, STEPS, IN, HIDDEN = 6, 4, 3, 5
MODELS = {
    "lstm": {"peephole": "channel"},
    "lstm node": {"peephole": "node", "num_nodes": NODES},
    "lstm none": {"peephole": "none"},
    "gru": {"cell": "gru"},
    "rnn": {"cell": "rnn"},
    "one layer more": {"num_layers": 2},
    "diffusion": {"filter": "diffusion"},
    "model 1": {"model": 1},
    "model 1 graph": {"model": 1, "reading": "graph", "num_nodes": NODES},
    "model 1 gru": {"model": 1, "cell": "gru", "reading": "graph", "num_nodes": NODES},
}


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return torch.Generator().manual_seed(0)


def build(name: str, order: int = 3) -> GCRN:
    model = GCRN(IN, HIDDEN, order=order, **MODELS[name]).double()
    for parameter in model.parameters():  # peepholes start at zero: give every parameter a part
        nn.init.uniform_(parameter, -0.7, 0.7)
    return model


def series(generator, nodes=NODES, edges=9, steps=STEPS, grad=False) -> Data:
    return with_x(random_graph(nodes, edges, generator, weighted=True), steps, IN, generator=generator, grad=grad)


def close(one, other, atol=1e-12):
    torch.testing.assert_close(one, other, rtol=0, atol=atol)


def literal_convolution(laplacian, x, weight, order):
    """y = sum_k T_k(L~) x theta_k, theta_k `[F, out]`."""
    terms, channels = [x, laplacian @ x], x.shape[1]
    for _ in range(2, order):
        terms.append(2 * laplacian @ terms[-1] - terms[-2])
    return sum(terms[k] @ weight[k * channels : (k + 1) * channels] for k in range(order))


def literal_lstm(cell, laplacian, xs, order, state=None):
    """Section 5.2, eight convolutions a step."""
    h = c = torch.zeros(xs.shape[0], HIDDEN, dtype=torch.float64)
    h, c = state or (h, c)
    gate = [slice(g * HIDDEN, (g + 1) * HIDDEN) for g in range(4)]
    peephole = [0, 0, 0] if cell.peephole is None else list(cell.peephole)
    outputs = []
    for x in xs.unbind(1):

        def both(g, x=x, h=h):
            from_x = literal_convolution(laplacian, x, cell.weight_x[:, gate[g]], order)
            return from_x + literal_convolution(laplacian, h, cell.weight_h[:, gate[g]], order) + cell.bias[gate[g]]

        i = torch.sigmoid(both(0) + peephole[0] * c)
        f = torch.sigmoid(both(1) + peephole[1] * c)
        c = f * c + i * torch.tanh(both(2))
        o = torch.sigmoid(both(3) + peephole[2] * c)
        h = o * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs, 1), (h, c)


def literal_gru(cell, laplacian, xs, order):
    h = torch.zeros(xs.shape[0], HIDDEN, dtype=torch.float64)
    gate = [slice(g * HIDDEN, (g + 1) * HIDDEN) for g in range(3)]
    outputs = []
    for x in xs.unbind(1):
        from_x = [literal_convolution(laplacian, x, cell.weight_x[:, g], order) + cell.bias[g] for g in gate]
        z = torch.sigmoid(from_x[0] + literal_convolution(laplacian, h, cell.weight_h[:, gate[0]], order))
        r = torch.sigmoid(from_x[1] + literal_convolution(laplacian, h, cell.weight_h[:, gate[1]], order))
        new = torch.tanh(from_x[2] + literal_convolution(laplacian, r * h, cell.weight_h[:, gate[2]], order))
        h = z * h + (1 - z) * new
        outputs.append(h)
    return torch.stack(outputs, 1), h


def compare(model, data, ours, theirs):
    """Outputs and the gradients of a random functional, of the input and every parameter."""
    weights = torch.randn_like(ours)
    inputs = [data.x, *model.parameters()]
    one = torch.autograd.grad((ours * weights).sum(), inputs)
    other = torch.autograd.grad((theirs * weights).sum(), inputs)
    close(ours, theirs, 1e-10)
    for a, b in zip(one, other):
        close(a, b, 1e-10)


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("name", ["lstm", "lstm node", "lstm none", "gru"])
def test_model_2_is_the_paper(name, order, generator):
    model, data = build(name, order), series(generator, grad=True)
    literal = literal_gru if name == "gru" else literal_lstm
    expected, state = literal(model.cells[0], dense_laplacian(data), data.x, order)
    out, (last,) = model.series(data)
    compare(model, data, out, expected)
    for one, other in zip(*((s if isinstance(s, tuple) else (s,)) for s in (last, state))):
        close(one, other)


@pytest.mark.parametrize("name", ["model 1", "model 1 graph"])
def test_model_1_is_the_paper(name, generator):
    model, data = build(name), series(generator, grad=True)
    cnn = torch.stack(
        [literal_convolution(dense_laplacian(data), x, model.convolution, 3) for x in data.x.unbind(1)], 1
    )
    rows = cnn if name == "model 1" else cnn.transpose(0, 1).reshape(1, STEPS, NODES * IN)
    expected, _ = literal_lstm(model.cells[0], torch.zeros(len(rows), len(rows), dtype=torch.float64), rows, 1)
    out, _ = model.series(data)
    compare(model, data, out, expected)


def test_order_1_without_peepholes_is_torch_lstm(generator):
    model, data = build("lstm none", order=1), series(generator)
    cell, peer = model.cells[0], nn.LSTM(IN, HIDDEN, batch_first=True).double()
    order = torch.cat([torch.arange(g * HIDDEN, (g + 1) * HIDDEN) for g in (0, 1, 2, 3)])  # i, f, g, o: the same
    with torch.no_grad():
        peer.weight_ih_l0.copy_(cell.weight_x.t()[order])
        peer.weight_hh_l0.copy_(cell.weight_h.t()[order])
        peer.bias_ih_l0.copy_(cell.bias)
        peer.bias_hh_l0.zero_()
    close(model.series(data)[0], peer(data.x)[0])


@pytest.mark.parametrize("name", MODELS)
def test_one_snapshot_at_a_time_is_the_whole_series(name, generator):
    model, data = build(name), series(generator)
    whole, last = model.series(data)
    snapshots = [Data(x=x, edge_index=data.edge_index, edge_weight=data.edge_weight) for x in data.x.unbind(1)]
    listed, state = model.series(snapshots)
    close(torch.stack(listed, -2), whole)
    halves = [Data(x=x, edge_index=data.edge_index, edge_weight=data.edge_weight) for x in data.x.split(2, 1)]
    first, middle = model.series(halves[0])
    second, end = model.series(halves[1], middle)
    close(torch.cat([first, second], -2), whole)
    torch.testing.assert_close(end, last, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_batching_law(name, generator):
    model = build(name)
    fixed = "num_nodes" in MODELS[name]
    graphs = [series(generator, NODES if fixed else n, e) for n, e in ((6, 9), (2, 0), (11, 30))]
    together, state = model.series(Batch.from_data_list(graphs))
    alone = [model.series(graph)[0] for graph in graphs]
    close(together, torch.cat(alone))
    again, _ = model.series(Batch.from_data_list(graphs), state)
    close(again[: len(alone[0])], model.series(graphs[0], model.series(graphs[0])[1])[0])


@pytest.mark.parametrize("name", MODELS)
def test_several_series_on_one_graph(name, generator):
    model = build(name)
    graph = random_graph(NODES, 9, generator)
    data = with_x(graph, 2, STEPS, IN, generator=generator)
    out, _ = model.series(data)
    for at in range(2):
        one = Data(x=data.x[:, at], edge_index=graph.edge_index)
        close(out[:, at], model.series(one)[0])


@pytest.mark.parametrize("name", ["lstm", "gru", "diffusion", "model 1"])
def test_a_new_order_of_nodes_gives_the_same_rows(name, generator):
    model, data = build(name), series(generator)
    order = torch.randperm(NODES, generator=generator)
    rank = order.argsort()
    other = Data(x=data.x[order], edge_index=rank[data.edge_index], edge_weight=data.edge_weight)
    close(model.series(other)[0], model.series(data)[0][order])


def test_nothing_is_kept_and_the_state_dict_is_all(generator):
    model, other = build("one layer more"), build("one layer more")
    data = series(generator)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = model.series(data)[0]
    first.sum().backward()
    model.series(data)[0].sum().backward()  # a second backward is nothing special
    close(model.series(data)[0], first)
    assert model.state_dict().keys() == before.keys() and not list(model.buffers())
    other.load_state_dict(before)
    close(other.series(data)[0], first)


@pytest.mark.parametrize(("cell", "names"), [("lstm", "ifco"), ("gru", "zrh")])
def test_weights_of_pyg_temporal(cell, names, generator):
    """Its cells written out: one ChebConv with a bias per gate and side."""
    data, order = series(generator), 3

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    weights = {}
    for gate in names:
        for side, width in (("x", IN), ("h", HIDDEN)):
            for k in range(order):
                weights[f"conv_{side}_{gate}.lins.{k}.weight"] = random(HIDDEN, width)
            weights[f"conv_{side}_{gate}.bias"] = random(HIDDEN)
        if cell == "lstm":
            weights[f"b_{gate}"] = random(1, HIDDEN)
            if gate != "c":
                weights[f"w_c_{gate}"] = random(1, HIDDEN)
    laplacian = dense_laplacian(data)

    def convolution(name, x):
        flat = torch.cat([weights[f"{name}.lins.{k}.weight"].t() for k in range(order)])
        return literal_convolution(laplacian, x, flat, order) + weights[f"{name}.bias"]

    h = c = torch.zeros(NODES, HIDDEN, dtype=torch.float64)
    for x in data.x.unbind(1):

        def gate(g, x=x, h=h):
            return convolution(f"conv_x_{g}", x) + convolution(f"conv_h_{g}", h)

        if cell == "gru":
            z, r = torch.sigmoid(gate("z")), torch.sigmoid(gate("r"))
            h = z * h + (1 - z) * torch.tanh(convolution("conv_x_h", x) + convolution("conv_h_h", r * h))
            continue
        i = torch.sigmoid(gate("i") + weights["w_c_i"] * c + weights["b_i"])
        f = torch.sigmoid(gate("f") + weights["w_c_f"] * c + weights["b_f"])
        c = f * c + i * torch.tanh(gate("c") + weights["b_c"])
        h = torch.sigmoid(gate("o") + weights["w_c_o"] * c + weights["b_o"]) * torch.tanh(c)
    model = from_pyg_temporal(weights)
    close(model.series(data)[0][:, -1], h)


def test_the_published_parameter_counts():
    """The table of the paper, moving digits on 16 x 16 patches: K to number of parameters."""
    published = {3: 1_629_712, 5: 2_711_056, 7: 3_792_400, 9: 4_873_744, 25: 13_524_496, 81: 43_802_128}
    for order, count in published.items():
        with torch.device("meta"):
            model = EncoderForecaster(order=order)
        assert sum(p.numel() for p in model.parameters()) == count


def test_forget_gates_start_open():
    torch.manual_seed(0)
    model = EncoderForecaster(IN, HIDDEN, forget=5.0)
    for cell in (model.encoder, model.forecaster):
        _, forget, *others = cell.bias.chunk(4)
        assert forget.min() > 5 - HIDDEN**-0.5 and max(gate.max() for gate in (cell.bias[:HIDDEN], *others)) < 1


def test_the_forecaster_goes_on_without_input(generator):
    model, data = EncoderForecaster(IN, HIDDEN, order=3, horizon=2).double(), series(generator, grad=True)
    laplacian = dense_laplacian(data)
    _, state = literal_lstm(model.encoder, laplacian, data.x, 3)
    silent = GraphLSTMCell(IN, HIDDEN, model.filter).double()  # the same cell with weights of zero on a zero input
    silent.load_state_dict(model.forecaster.state_dict() | {"weight_x": torch.zeros(3 * IN, 4 * HIDDEN)})
    nothing = torch.zeros(NODES, 2, IN, dtype=torch.float64)
    expected, _ = literal_lstm(silent, laplacian, nothing, 3, state)
    close(model(data), model.readout(expected))


def test_messages(generator):
    model, data = build("lstm"), series(generator)
    with pytest.raises(StructureError, match="3 channels; got 2"):
        model.series(Data(x=data.x[..., :2], edge_index=data.edge_index))
    with pytest.raises(StructureError, match=r"\[N, ..., T, F\] \(a series\); got shape \(6, 3\)"):
        model.series(Data(x=data.x[:, 0], edge_index=data.edge_index))
    with pytest.raises(StructureError, match="one time step"):
        model.series(Data(x=data.x[:, :0], edge_index=data.edge_index))
    with pytest.raises(StructureError, match="a state of 6 rows; got 4"):
        model.series(data, ((torch.zeros(4, HIDDEN), torch.zeros(4, HIDDEN)),))
    with pytest.raises(StructureError, match="num_nodes for peepholes"):
        GCRN(2, 2, peephole="node")
    with pytest.raises(StructureError, match="peephole out of none, channel, node"):
        GCRN(2, 2, peephole="yes")
    with pytest.raises(StructureError, match="model=1 and num_nodes"):
        GCRN(2, 2, reading="graph")
    with pytest.raises(StructureError, match="cell out of lstm, gru, rnn"):
        GCRN(2, 2, cell="lstn")
    with pytest.raises(StructureError, match="graphs of 6 nodes; got 5"):
        build("model 1 graph").series(series(generator, 5))
    with pytest.raises(StructureError, match="graphs of 6 nodes"):
        build("lstm node").series(series(generator, 5))
    with pytest.raises(StructureError, match="a state dict of GConvLSTM or GConvGRU"):
        from_pyg_temporal({"weight": torch.ones(1)})
