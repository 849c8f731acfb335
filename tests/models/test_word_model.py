"""The look-up is GCRN's model 1 with one-hot input, and the forecaster's forms agree."""

import pytest
import torch
from torch.nn import functional as F
from torch_geometric.data import Batch, Data

from structnet.errors import StructureError
from structnet.models.forecaster import RECURRENT, Forecaster
from structnet.models.gcrn import GCRN
from structnet.models.word_model import WordModel
from tests.graphs import random_graph, with_x

WORDS, HIDDEN = 6, 4


def graph():
    """Undirected: the polynomial then acts on the table as on the signal."""
    one_way = random_graph(WORDS, 8, torch.Generator().manual_seed(0), weighted=True)
    edge_index = torch.cat([one_way.edge_index, one_way.edge_index.flip(0)], 1)
    return Data(edge_index=edge_index, edge_weight=one_way.edge_weight.repeat(2), num_nodes=WORDS)


@pytest.mark.parametrize("order", [2, 3])
def test_model_1_on_one_hot_words(order):
    """`GCRN(model=1, reading="graph")` on one-hot signals, with the same weights."""
    torch.manual_seed(0)
    words = torch.randint(WORDS, (5, 1))
    ours = WordModel(WORDS, HIDDEN, order, append=False).double()
    full = GCRN(1, HIDDEN, model=1, order=order, peephole="none", reading="graph", num_nodes=WORDS).double()
    with torch.no_grad():
        full.convolution.copy_(ours.theta.unsqueeze(1))
        full.cells[0].weight_x.copy_(ours.table)
        full.cells[0].weight_h.copy_(ours.recurrent.weight.t())
        full.cells[0].bias.copy_(ours.recurrent.bias)
    x = F.one_hot(words[:, 0], WORDS).double().t().unsqueeze(-1)  # [nodes, steps, 1]
    data = graph()
    expected, _ = full.series(Data(x=x, edge_index=data.edge_index, edge_weight=data.edge_weight))
    said, (h, _) = ours(words, data)
    torch.testing.assert_close(ours.out(expected[0]), said[:, 0], rtol=0, atol=1e-12)
    torch.testing.assert_close(h, expected[:, -1], rtol=0, atol=1e-12)


def test_appended_input_is_the_sum_of_both():
    torch.manual_seed(0)
    model, data = WordModel(WORDS, HIDDEN, 2).double(), graph()
    alone = WordModel(WORDS, HIDDEN, 2, append=False).double()
    with torch.no_grad():
        alone.table.copy_(model.spread)
    torch.testing.assert_close(model.input_table(data), model.table + alone.input_table(data), rtol=0, atol=1e-12)
    assert (
        sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in WordModel(WORDS, HIDDEN, 1).parameters())
        == 4 * HIDDEN * WORDS + 2
    )  # the paper's 8,000,002 for 10,000 words and 200 units


def test_streams_batches_and_state():
    torch.manual_seed(0)
    model, data, words = WordModel(WORDS, HIDDEN).double(), graph(), torch.randint(WORDS, (6, 3))
    whole, last = model(words, data)
    first, state = model(words[:2], data)
    rest, state = model(words[2:], data, state)
    torch.testing.assert_close(torch.cat([first, rest]), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(model(words[:, 1:2], data)[0], whole[:, 1:2], rtol=0, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=0, atol=1e-12)
    with pytest.raises(StructureError, match="a vocabulary"):
        WordModel(0)


@pytest.mark.parametrize("encoder", [*RECURRENT, "gcn"])
def test_one_graph_or_a_graph_per_step(encoder):
    """Two windows on one graph, as middle dimension of x and as batches of snapshots."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = Forecaster(2, lags=3, horizon=2, hidden=4, encoder=encoder).double()
    data = with_x(random_graph(5, 9, generator, weighted=True), 2, 3, 2, generator=generator)
    together = model(data)
    assert together.shape == (5, 2, 2, 2)
    listed = [
        Batch.from_data_list(
            [Data(x=data.x[:, b, t], edge_index=data.edge_index, edge_weight=data.edge_weight) for b in (0, 1)]
        )
        for t in range(3)
    ]
    split = model(listed).view(2, 5, 2, 2)
    torch.testing.assert_close(split.transpose(0, 1), together, rtol=0, atol=1e-12)


def test_forecaster_messages():
    with pytest.raises(StructureError, match="an encoder out of gcrn-lstm"):
        Forecaster(encoder="transformer")
