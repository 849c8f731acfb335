"""GCRN at the borders of its input: no nodes, states that do not fit, graphs made in inference mode."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from structnet.errors import StructureError
from structnet.models.gcrn import GCRN

NOBODY = torch.zeros(2, 0, dtype=torch.int64)
READINGS = {
    "lstm": {},
    "lstm node": {"peephole": "node", "num_nodes": 4},
    "lstm none": {"peephole": "none", "num_layers": 2},
    "gru": {"cell": "gru"},
    "rnn": {"cell": "rnn"},
    "model 1": {"model": 1},
    "model 1 gru": {"model": 1, "cell": "gru"},
    "model 1 graph": {"model": 1, "reading": "graph", "num_nodes": 4},
}


@pytest.mark.parametrize("filter", ["chebyshev", "diffusion"])
@pytest.mark.parametrize("name", READINGS)
def test_a_graph_without_nodes(name, filter):
    model = GCRN(3, 5, filter=filter, **READINGS[name])
    x = torch.randn(0, 2, 3, requires_grad=True)
    out, state = model.series(Data(x=x, edge_index=NOBODY))
    assert out.shape == (0, 2, 5)
    assert model(Data(x=x[:, 0], edge_index=NOBODY), state)[0].shape == (0, 5)
    out.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_a_graph_without_nodes_in_a_batch():
    model = GCRN(3, 5)
    full = Data(x=torch.randn(2, 3), edge_index=torch.tensor([[0], [1]]))
    both = Batch.from_data_list([Data(x=torch.zeros(0, 3), edge_index=NOBODY), full])
    torch.testing.assert_close(model(both)[0], model(full)[0])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_states_that_do_not_fit(cell):
    model, data = GCRN(3, 4, cell=cell, num_layers=2), Data(x=torch.randn(3, 3), edge_index=torch.tensor([[0], [1]]))
    _, state = model(data)
    for wrong, got in ((state[:1], "1"), (state + state[:1], "3"), (state[0][0], "Tensor")):
        with pytest.raises(StructureError, match=f"a state of 2 layers; got {got}"):
            model(data, wrong)
    _, wide = GCRN(3, 5, cell=cell, num_layers=2)(data)
    with pytest.raises(StructureError, match=r"a state of shape .*\(3, 4\).*; got .*\(3, 5\)"):
        model(data, wide)
    _, other = GCRN(3, 4, cell="gru" if cell == "lstm" else "lstm", num_layers=2)(data)
    one, two = r"\(3, 4\)", r"\(\(3, 4\), \(3, 4\)\)"
    wanted, got = (two, one) if cell == "lstm" else (one, two)
    with pytest.raises(StructureError, match=f"a state of shape {wanted}; got {got}"):
        model(data, other)
    with pytest.raises(StructureError, match=r"a state of shape .*\(3, 2, 4\).*; got .*\(3, 4\)"):
        model(Data(x=torch.randn(3, 2, 3), edge_index=data.edge_index), state)
    assert torch.equal(model(data, (None, None))[0], model(data)[0])  # a layer's None is zeros


@pytest.mark.parametrize("filter", ["chebyshev", "diffusion"])
def test_graphs_made_in_inference_mode(filter):
    model, x, edges = GCRN(3, 4, filter=filter), torch.randn(3, 3), torch.tensor([[0, 1], [1, 0]])
    expected = model(Data(x=x, edge_index=edges, edge_weight=torch.ones(2)))[0]
    with torch.inference_mode():
        here = Data(x=x.clone(), edge_index=edges.clone(), edge_weight=torch.ones(2))
        assert torch.equal(model(here)[0], expected)
        assert torch.equal(model(Data(x=x, edge_index=edges, edge_weight=torch.ones(2)))[0], expected)
        here.edge_weight.zero_()  # nothing tells of this write: nothing may be kept
        assert not torch.equal(model(here)[0], expected)
