"""The player: one frozen layout, every snapshot's edges, no network; the charts below it."""

import json
import re

import pytest
import torch
from torch_geometric.data import Data

from structnet.errors import StructureError
from structnet.models.evolvegcn import EvolveGCN
from structnet.report.snapshots_html import forecast_chart, player, singular_values, write_player
from tests.graphs import random_graph, with_x


def graphs():
    edges = [[[0, 1, 1], [1, 0, 1]], [[0, 2, 4], [1, 3, 0]], [[], []]]
    return [Data(edge_index=torch.tensor(e, dtype=torch.int64), num_nodes=6) for e in edges]


def content(fragment):
    found = re.search(r"const data = (\{.*?\}), root", fragment)
    assert found
    return json.loads(found.group(1))


def test_edges_and_layout_by_hand():
    data = content(player(graphs(), names=["a", "b", "c", "d", "<e>", "f"]))
    assert len(data["at"]) == 6 and data["names"][4] == "&lt;e&gt;"
    assert data["edges"] == [[[0, 1, 1.0]], [[0, 1, 1.0], [0, 4, 1.0], [2, 3, 1.0]], []]  # both ways once, no loops
    assert all(-0.04 < value < 1.04 for place in data["at"] for value in place)
    assert data == content(player(graphs(), names=["a", "b", "c", "d", "<e>", "f"]))


def test_only_the_most_active_nodes():
    data = content(player(graphs(), most=4, first=7))
    assert len(data["at"]) == 4 and data["first"] == 7
    assert data["edges"][1] == [[0, 1, 1.0], [2, 3, 1.0]]  # equal nodes: the first ones
    with pytest.raises(StructureError, match="at least one snapshot"):
        player([])


def test_a_page_with_the_evolving_weight(tmp_path):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    snapshots = [with_x(random_graph(5, 6, generator), 3, generator=generator) for _ in range(4)]
    model = EvolveGCN(3, 4, "H").double()
    first, second = model.trajectory(snapshots)
    assert first.shape == (4, 1, 3, 4) and second.shape == (4, 1, 4, 4)
    alone, _ = model.layers[0].evolve([snapshots[0].x], *plan(snapshots[0]))
    torch.testing.assert_close(first[0], alone[0], rtol=0, atol=1e-12)
    page = write_player(tmp_path / "page.html", "Four graphs", snapshots, first[:, 0]).read_text()
    assert "singular value 3" in page and "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert singular_values(first[:, 0]).count("<polyline") == 3
    assert forecast_chart(torch.ones(3), torch.zeros(3)).count("<polyline") == 2


def plan(data):
    from structnet.models.evolvegcn import _Step

    return [_Step(data)], None
