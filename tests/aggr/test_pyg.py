"""The places in PyG where an aggregator is used."""

import pytest
import torch
import torch_geometric.nn.aggr as host
from torch_geometric.data import HeteroData
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn import GINConv, HeteroConv, MessagePassing, SAGEConv, to_hetero
from torch_geometric.nn.aggr import DegreeScalerAggregation, MultiAggregation
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE

import structnet
from structnet.aggr import LCMAggregation, register_with_pyg
from structnet.errors import StructureError
from tests.aggr.cases import CASES, WIDTH, build

everyone = pytest.mark.parametrize("name", CASES)


def out_channels(name):
    return build(name)(torch.zeros(1, WIDTH, dtype=torch.float64)).shape[1]


def graph(nodes=12, edges=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(nodes, WIDTH, generator=generator), torch.randint(0, nodes, (2, edges), generator=generator)


class Plain(MessagePassing):
    """Messages are the senders' rows."""

    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=x)

    def message(self, x_j):
        return x_j


@everyone
def test_any_message_passing(name):
    x, edge_index = graph()
    module = build(name, torch.float32)
    out = Plain(aggr=module)(x, edge_index)
    order = edge_index[1].argsort(stable=True)
    assert torch.allclose(out, module(x[edge_index[0]][order], edge_index[1][order], dim_size=12), atol=1e-6)
    if out.shape[1] == WIDTH:
        assert SAGEConv(WIDTH, 4, aggr=build(name, torch.float32))(x, edge_index).shape == (12, 4)
        conv = GINConv(torch.nn.Linear(WIDTH, 4), aggr=build(name, torch.float32))
        assert conv(x, edge_index).shape == (12, 4)


@everyone
def test_multi_and_degree_scaler(name):
    x, edge_index = graph()
    args = (x[edge_index[0]], edge_index[1])
    width = out_channels(name)
    assert MultiAggregation([build(name, torch.float32), "max"])(*args, dim_size=12).shape == (12, width + WIDTH)
    degrees = torch.bincount(torch.bincount(edge_index[1], minlength=12))
    scaler = DegreeScalerAggregation(build(name, torch.float32), ["identity", "amplification", "attenuation"], degrees)
    assert scaler(*args, dim_size=12).shape == (12, 3 * width)


@everyone
def test_hetero(name):
    x, edge_index = graph()
    data = HeteroData({"a": {"x": x}, "b": {"x": x + 1}})
    for edge in (("a", "to", "b"), ("b", "to", "a"), ("b", "at", "b")):
        data[edge].edge_index = edge_index
    conv = HeteroConv({edge: Plain(aggr=build(name, torch.float32)) for edge in data.edge_types})
    width = out_channels(name)
    assert conv(data.x_dict, data.edge_index_dict)["b"].shape == (12, width)
    if width == WIDTH:

        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.first = SAGEConv((-1, -1), WIDTH, aggr=build(name, torch.float32))
                self.second = SAGEConv((-1, -1), 3, aggr=build(name, torch.float32))

            def forward(self, x, edge_index):
                return self.second(self.first(x, edge_index).relu(), edge_index)

        model = to_hetero(Net(), data.metadata())
        assert model(data.x_dict, data.edge_index_dict)["a"].shape == (12, 3)


@pytest.mark.skipif(not (WITH_PYG_LIB or WITH_TORCH_SPARSE), reason="NeighborLoader needs pyg-lib or torch-sparse")
@everyone
def test_sampled_neighbours(name):
    from torch_geometric.data import Data

    x, edge_index = graph()
    for batch in NeighborLoader(Data(x=x, edge_index=edge_index), num_neighbors=[3], batch_size=4):
        assert Plain(aggr=build(name, torch.float32))(batch.x, batch.edge_index).isfinite().all()


@pytest.mark.parametrize("name", ["lcm", "gru", "affine", "logsumexp", "attention"])
def test_explainer_finds_edges(name):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = SAGEConv(WIDTH, 2, aggr=build(name, torch.float32))

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)

    x, edge_index = graph()
    explainer = Explainer(Net(), GNNExplainer(epochs=5), "model", edge_mask_type="object",
                          model_config={"mode": "multiclass_classification", "task_level": "node",
                                        "return_type": "raw"})  # fmt: skip
    mask = explainer(x, edge_index).edge_mask
    assert mask.isfinite().all() and mask.std() > 0


# the two that step through time look at the data to know how many steps there are
@pytest.mark.parametrize("name", [name for name in CASES if name not in ("gru", "lstm")])
def test_compiles_whole_and_at_most_twice(name):
    torch._dynamo.reset()
    module, counter = build(name, torch.float32), []

    def backend(graph_module, _):
        counter.append(1)
        return graph_module.forward

    @torch.compile(fullgraph=True, backend=backend, dynamic=None)
    def run(x, index, size):
        return module(x, index, dim_size=size)

    generator = torch.Generator().manual_seed(0)
    for trial in range(50):
        nodes, edges = (int(n) for n in torch.randint(2, 60, (2,), generator=generator))
        x, edge_index = graph(nodes, edges, trial)
        rows = x[edge_index[0]]
        got = run(rows, edge_index[1].clone(), nodes)
        assert torch.allclose(got, module(rows, edge_index[1], dim_size=nodes), atol=1e-6)
    assert len(counter) <= 2


def test_names_come_and_go():
    undo = structnet.register_with_pyg()
    try:
        conv = SAGEConv(WIDTH, 4, aggr="structnet_lcm", aggr_kwargs={"in_channels": WIDTH, "out_channels": WIDTH})
        assert isinstance(conv.aggr_module, LCMAggregation) and "StructnetLCM" in repr(conv.aggr_module)
        assert type(
            SAGEConv(WIDTH, 4, aggr="lcm", aggr_kwargs={"in_channels": WIDTH, "out_channels": WIDTH}).aggr_module
        ) is (host.LCMAggregation)
        register_with_pyg()
    finally:
        undo()
    with pytest.raises(ValueError, match="structnet_lcm"):
        SAGEConv(WIDTH, 4, aggr="structnet_lcm", aggr_kwargs={"in_channels": WIDTH, "out_channels": WIDTH})


def test_a_taken_name_stays_what_it_is(monkeypatch):
    monkeypatch.setattr(host, "StructnetTopKAggregation", host.SumAggregation, raising=False)
    with pytest.raises(StructureError, match="StructnetTopKAggregation"):
        register_with_pyg()
    assert not hasattr(host, "StructnetLCMAggregation")
