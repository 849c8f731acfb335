"""Tasks on dynamic graphs: published splits, protocols, floors, and a training run of each system."""

import numpy as np
import pytest
import torch

from structnet.errors import StructureError
from structnet.systems import find, names
from structnet.tasks.edge_classes import EdgeClasses
from structnet.tasks.forecast import Forecast
from structnet.tasks.links import Links
from structnet.tasks.node_classes import NodeClasses
from structnet.tasks.words import Words
from structnet.training import evaluate


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STRUCTNET_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("data", "borders", "width"),
    [
        ("uci", {"train": (10, 62), "validation": (62, 71), "test": (71, 88)}, 350),
        ("otc", {"train": (10, 95), "validation": (95, 109), "test": (109, 137)}, 147),
        ("alpha", {"train": (10, 95), "validation": (95, 108), "test": (108, 136)}, 107),
    ],
)
def test_published_splits(data, borders, width, shared_data):
    task = Links(data, str(shared_data))
    assert task.borders(task.steps()) == borders and task.width(task.steps()) == width
    assert find("links", f"evolvegcn-o-{data}").model_args["in_channels"] == width


def test_floors_of_uci(shared_data):
    """The reference figures of everything that needs no training."""
    floors = Links("uci", str(shared_data)).floors("test")
    mrr = {name: round(figures["mrr"], 4) for name, figures in floors.items()}
    assert mrr == {"EdgeBank": 0.1138, "recency": 0.4185, "popularity": 0.0273,
                   "popularity, last 10 steps": 0.0791, "recency + popularity": 0.4310}  # fmt: skip
    assert round(floors["recency"]["map"], 4) == 0.0937
    assert floors == Links("uci", str(shared_data)).floors("test")  # kept


@pytest.mark.parametrize(
    ("data", "name", "mrr"),
    [("otc", "recency + popularity", 0.1182), ("alpha", "popularity, last 10 steps", 0.1945)],
)
def test_floors_of_the_markets(data, name, mrr, shared_data):
    task = Links(data, str(shared_data))
    part = task.split("test")
    part.name = "validation"  # without MAP: seconds
    assert round(task._mark_floors(part)[name]["mrr"], 4) == mrr


def test_the_other_protocol_has_its_own_name(shared_data):
    task = Links("otc", str(shared_data), protocol="best_of_1000", directed=True)
    part = task.split("test")
    part.sizes = part.sizes[:4]
    floors = task._mark_floors(part)
    assert set(floors["recency"]) == {"mrr"} and floors["popularity, last 10 steps"]["mrr"] > floors["EdgeBank"]["mrr"]


def test_a_window_and_its_negatives(shared_data):
    task = Links("uci", str(shared_data), negatives=3)
    split = task.split("train")
    one, two = (split.batch(torch.tensor([7]), torch.Generator().manual_seed(s)) for s in (1, 1))
    window, facts = one.inputs
    assert len(window) == 11 and window[0].x.shape == (1899, 350) and bool((window[0].x.sum(1) == 1).all())
    true = set(map(tuple, one.target.edge_index.t().tolist()))
    false = list(map(tuple, one.target.negative.t().tolist()))
    assert not true & set(false) and {a for a, _ in false} <= {a for a, _ in true}
    assert 2.5 * len(true) < len(false) <= 3 * len(true)
    assert torch.equal(one.target.negative, two.target.negative)
    assert torch.equal(split.steps.snapshots[17].edge_index, window[-1].edge_index)
    assert facts.total.sum() == (split.steps.step_of <= 17).sum()
    with pytest.raises(StructureError, match="batch_size=1"):
        split.batch(torch.tensor([0, 1]))


def test_users_edges(tmp_path, shared_data):
    rng = np.random.default_rng(0)
    rows = [f"{a} {b} {t * 100_000}" for t in range(40) for a, b in [rng.integers(0, 6, 2)]]
    (tmp_path / "mine.txt").write_text("\n".join(rows))
    task = Links("uci", str(shared_data), history=2, precision=True)
    system = find("links", "recency-uci")
    result = evaluate(system.build(), task, task.from_file(tmp_path / "mine.txt"))
    assert 0 < result["mrr"] <= 1 and 0 < result["map"] <= 1 and result["count"] == 18


def test_forecasts(shared_data):
    task = Forecast("chickenpox", str(shared_data))
    assert task.borders() == {"train": (0, 413), "validation": (413, 465), "test": (465, 517)}
    floors = task.floors("test")
    assert [round(floors[n]["mse"], 3) for n in ("training mean", "last value", "AR(4)")] == [1.117, 3.032, 0.819]
    assert abs(floors["training mean"]["skill"]) < 1e-3
    batch = task.split("test").batch(torch.tensor([0]))
    signal = task.series().signal.values
    assert torch.equal(batch.inputs[0].x[:, 0], signal[465:469].transpose(0, 1))
    assert torch.equal(batch.target[0, :, 0], signal[469])
    metr = Forecast("metr-la", str(shared_data), lags=12, horizon=12)
    batch = metr.split("train").batch(torch.tensor([3]))
    perfect = metr.summary(metr.score(batch.target.transpose(0, 1), batch), {})
    assert perfect["skill"] == 1 and perfect["mae@12"] == 0 and set(perfect) >= {"mae@3", "rmse@6"}
    off = metr.summary(metr.score(batch.target.transpose(0, 1) + 1, batch), {})
    assert off["mae"] == pytest.approx(float(metr.series().scale), rel=1e-4) == off["rmse@3"]


def test_dynamic_graphs_are_batched_by_window(shared_data):
    task = Forecast("england", str(shared_data), lags=3)
    split, model = task.split("train"), find("forecast", "gcrn-gru").build()
    model.lags = 3
    rows = torch.tensor([4, 9])
    both = split.batch(rows)
    alone = [split.batch(row[None]) for row in rows]
    said = model(*both.inputs).view(2, 129, 1, 1)
    for k in (0, 1):
        torch.testing.assert_close(said[k], model(*alone[k].inputs), rtol=0, atol=1e-5)
    assert torch.equal(both.target[1], alone[1].target[0])


def test_edge_classes(shared_data):
    task = EdgeClasses("alpha", str(shared_data))
    floors = task.floors("test")
    assert floors["all positive"]["f1"] == 0 and floors["all positive"]["micro"] == pytest.approx(0.874, abs=1e-3)
    split = task.split("test")
    batch = split.batch(torch.tensor([0]))

    class Oracle:
        def pairs(self, source, target):
            return batch.target.y - 0.5

    assert task.summary(task.score(Oracle(), batch), {}) == {"f1": 1.0, "precision": 1.0, "recall": 1.0, "micro": 1.0}
    result = evaluate(find("edges", "gcn-alpha").build(), task, task.split("validation"), rows=2)
    assert set(result) >= {"f1", "micro"}
    with pytest.raises(StructureError, match="data out of otc, alpha"):
        EdgeClasses("uci")


def elliptic_files(folder, steps=10, nodes=30):
    """A made-up release: the first feature tells the class, with noise; a hundred-and-odd columns of noise."""
    rng = np.random.default_rng(0)
    features, classes, edges = [], ["txId,class"], ["txId1,txId2"]
    for t in range(steps):
        label = rng.random(nodes) < 0.3
        for i in range(nodes):
            identity = t * nodes + i
            features.append(
                ",".join(map(str, [identity, t + 1, *(label[i] * 3 + rng.normal(size=1)), *rng.normal(size=164)]))
            )
            classes.append(f"{identity},{'unknown' if i % 5 == 0 else 1 if label[i] else 2}")
        edges += [f"{t * nodes + a},{t * nodes + b}" for a, b in rng.integers(0, nodes, (40, 2))]
    for name, lines in (("features", features), ("classes", classes), ("edgelist", edges)):
        (folder / f"elliptic_txs_{name}.csv").write_text("\n".join(lines))


def test_node_classes(tmp_path):
    elliptic_files(tmp_path)
    task = NodeClasses(str(tmp_path), history=2)
    assert [len(task.split(name)) for name in ("train", "validation", "test")] == [6, 1, 3]
    batch = task.split("train").batch(torch.tensor([0]))
    assert len(batch.inputs[0]) == 1 and int((batch.target.y < 0).sum()) == 6
    perfect = torch.where(batch.target.y > 0, 1.0, -1.0)
    assert task.summary(task.score(perfect, batch), {})["f1"] == 1
    assert task.floors("test")["random forest"]["f1"] > 0.5
    result = evaluate(find("nodes", "evolvegcn-o").build(), task, task.split("test"))
    assert 0 <= result["f1"] <= 1 and result["count"] == 3


def test_words():
    task = Words()
    floor = task.floors("test")["frequency"]
    assert floor["perplexity"] == pytest.approx(232.4, abs=0.1)
    batch = task.split("train").batch(torch.tensor([0, 1]))
    assert batch.inputs[0].shape == (20, 2) and torch.equal(batch.inputs[0][0, 1], batch.target[-1, 0])
    loss = task.loss(find("words", "gcrn-1").build()(*batch.inputs), batch)
    assert loss.item() == pytest.approx(np.log(1354), abs=0.2)


@pytest.mark.parametrize("task", ["links", "forecast", "edges", "nodes", "words", "digits"])
def test_every_system_can_be_built(task):
    for name, system in names(task).items():
        if not (task == "digits" and "gcrn" in name):  # millions of weights each
            assert sum(p.numel() for p in system.build().parameters()) > 0, name
