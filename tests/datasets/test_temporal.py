"""Dynamic graphs: originals as published, generators, and files that are not sound."""

import gzip

import numpy as np
import pytest
import torch

from structnet.datasets.temporal import (
    autonomous_systems,
    bitcoin_alpha,
    bitcoin_otc,
    block_model,
    chickenpox,
    college_messages,
    covid_by_country,
    digit_images,
    elliptic,
    england_covid,
    enron10,
    metr_la_week,
    moving_digits,
    oscillators,
    patch_grid,
    read_text,
    word_graph,
)
from structnet.datasets.temporal.files import read_table
from structnet.datasets.temporal.moving_digits import from_patches, to_patches
from structnet.errors import StructureError
from structnet.structures.snapshots import from_signal


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STRUCTNET_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("load", "nodes", "edges", "last"),
    [(bitcoin_otc, 5881, 35592, 137), (bitcoin_alpha, 3783, 24186, 136), (college_messages, 1899, 59835, 88)],
)
def test_originals(load, nodes, edges, last, shared_data):
    stream = load(shared_data)
    assert (stream.num_nodes, stream.source.numel()) == (nodes, edges)
    assert int(stream.steps(190_080 if last == 88 else 1_200_000)[-1]) == last
    assert bool((stream.time.diff() >= 0).all())


def test_signals(shared_data):
    assert chickenpox(shared_data).values.shape == (521, 20, 1)
    assert metr_la_week(shared_data).values.shape == (2016, 207, 1)
    assert (
        enron10(shared_data).num_nodes == 143 and len(enron10(shared_data).snapshots(enron10(shared_data).time)) == 11
    )
    covid = covid_by_country(shared_data)
    assert covid.values.shape == (120, 188, 3) and covid.graphs[0].edge_index.shape == (2, 188 * 16)
    england = england_covid(shared_data)
    assert england.values.shape == (61, 129, 1) and len(england.graphs) == 61
    graphs = from_signal(chickenpox(shared_data))  # our signals are what we take of others
    assert len(graphs) == 520 and graphs[0].edge_index is graphs[519].edge_index
    assert torch.equal(graphs[3].y, graphs[4].x)


def test_damaged_files_are_named(tmp_path, shared_data):
    whole = (shared_data / "dynamic" / "CollegeMsg.txt").read_bytes()
    (tmp_path / "CollegeMsg.txt").write_bytes(whole[:-3000])
    with pytest.raises(StructureError, match=r"CollegeMsg.txt as published .*truncated"):
        college_messages(tmp_path)
    (tmp_path / "CollegeMsg.txt").write_bytes(b"1 2 10\n1 3")
    with pytest.raises(StructureError, match="3 numbers a line; got '1 3' in line 2"):
        college_messages(tmp_path, check=False)
    (tmp_path / "CollegeMsg.txt").unlink()
    (tmp_path / "CollegeMsg.txt.gz").write_bytes(gzip.compress(whole)[:-100])
    with pytest.raises(StructureError, match="a whole gzip file"):
        college_messages(tmp_path)
    (tmp_path / "CollegeMsg.txt.gz").write_bytes(gzip.compress(whole))
    assert college_messages(tmp_path).source.numel() == 59835
    (tmp_path / "chickenpox.json").write_text('{"edges": [[0')
    with pytest.raises(StructureError, match=r"JSON in .*truncated"):
        chickenpox(tmp_path, check=False)
    with pytest.raises(StructureError, match="none in"):
        bitcoin_otc(tmp_path)


def test_tables_are_parsed_once(tmp_path, monkeypatch):
    path = tmp_path / "one.txt"
    path.write_text("# a remark\n1 2\n3 4\n")
    assert read_table(path, 2).tolist() == [[1, 2], [3, 4]]
    monkeypatch.setattr(np, "loadtxt", None)
    assert read_table(path, 2).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(StructureError, match="nan"):
        monkeypatch.undo()
        monkeypatch.setenv("STRUCTNET_CACHE", str(tmp_path / "cache"))
        path.write_text("1 nan\n")
        read_table(path, 2)


def test_elliptic_and_autonomous_systems(tmp_path):
    features = [[10 * i, 1 + (i >= 3), *([float(i)] * 165)] for i in range(5)]
    (tmp_path / "elliptic_txs_features.csv").write_text("\n".join(",".join(map(str, row)) for row in features))
    classes = "txId,class\n0,1\n10,2\n20,unknown\n30,2\n40,1\n"
    (tmp_path / "elliptic_txs_classes.csv").write_text(classes)
    (tmp_path / "elliptic_txs_edgelist.csv").write_text("txId1,txId2\n0,20\n10,0\n40,30\n")
    graphs = elliptic(tmp_path)
    assert [g.y.tolist() for g in graphs] == [[1, 0, -1], [0, 1]] and graphs[0].x.shape == (3, 166)
    assert [g.edge_index.tolist() for g in graphs] == [[[0, 1], [2, 0]], [[1], [0]]]
    (tmp_path / "elliptic_txs_classes.csv").write_text(classes + "50,3\n")
    with pytest.raises(StructureError, match="'50,3' in line 7"):
        elliptic(tmp_path)
    (tmp_path / "as19971108.txt").write_text("# nodes\n1\t2\n2\t1\n")
    (tmp_path / "as19971109.txt").write_text("1\t7\n")
    stream = autonomous_systems(tmp_path)
    assert stream.time.tolist() == [0, 0, 1] and stream.num_nodes == 3
    with pytest.raises(StructureError, match="neither in"):
        autonomous_systems(tmp_path / "cache")


def test_block_model():
    stream = block_model(60, 3, steps=4, inside=0.5, across=0.02, migrants=2, seed=1)
    graphs = stream.snapshots(stream.time)
    key = {(t, a, b) for t, g in enumerate(graphs) for a, b in g.edge_index.t().tolist()}
    assert all((t, b, a) in key for t, a, b in key) and all(g.edge_weight.max() == 1 for g in graphs)
    inside = (stream.source[stream.time == 0] // 20 == stream.target[stream.time == 0] // 20).float().mean()
    assert inside > 0.85
    again = block_model(60, 3, steps=4, inside=0.5, across=0.02, migrants=2, seed=1)
    assert torch.equal(stream.source, again.source)
    with pytest.raises(StructureError, match="inside between 0 and 1"):
        block_model(inside=2)


def test_moving_digits():
    images = np.ones((1, 28, 28), np.float32)
    frames = moving_digits(images, 3, frames=40, seed=5)
    assert frames.shape == (3, 40, 64, 64) and torch.equal(frames, moving_digits(images, 3, frames=40, seed=5))
    area = frames.sum((2, 3))
    assert int(area.max()) <= 2 * 28 * 28 and int(area.min()) >= 28 * 28  # never cut by the border
    assert torch.equal(from_patches(to_patches(frames)), frames)
    patches = to_patches(frames)
    assert torch.equal(patches[17, 0, 0], frames[0, 0, 4:8, 4:8].flatten())  # row 1, column 1 of 16
    assert moving_digits(images, 1, rotate=True).max() == 1


@pytest.mark.parametrize("neighbours", [4, 8, 16])
def test_the_grid_of_the_paper(neighbours):
    """The inside has its four (eight) direct neighbours, with weights of a Gaussian; symmetric, no loops."""
    grid = patch_grid(16, neighbours)
    dense = torch.zeros(256, 256)
    dense[grid.edge_index[0], grid.edge_index[1]] = grid.edge_weight
    assert torch.equal(dense, dense.t()) and dense.diagonal().sum() == 0 and int((dense > 0).sum(1).min()) >= neighbours
    middle = 8 * 16 + 8
    near = {middle + d for d in (-16, -1, 1, 16)} | (
        {middle + d for d in (-17, -15, 15, 17)} if neighbours > 4 else set()
    )
    assert near <= set(dense[middle].nonzero().flatten().tolist())
    if neighbours == 8:
        logs = dense[middle].log()
        assert float(logs[middle + 17] / logs[middle + 1]) == pytest.approx(2.0, rel=1e-4)


def test_digit_files(tmp_path, shared_data):
    assert digit_images(shared_data).shape == (10_000, 28, 28)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(np.array([2051, 2, 28, 28], ">i4").tobytes() + b"\0" * 100)
    with pytest.raises(StructureError, match=r"2 images of 28 x 28; got 116 bytes"):
        digit_images(tmp_path)


def test_oscillators_feel_their_graph_alone():
    """Without coupling nothing but the frequency moves a phase; a graph of one edge moves its target alone."""
    free, _ = oscillators(2, 5, 50, edges=0.0, noise=0.0)
    angle = torch.atan2(free[..., 1], free[..., 0])
    step = torch.remainder(angle.diff(dim=1) + torch.pi, 2 * torch.pi) - torch.pi
    torch.testing.assert_close(step, step[:, :1].expand_as(step), rtol=0, atol=1e-4)
    phases, graphs = oscillators(1, 5, 50, noise=0.0, switch=20, seed=3)
    assert graphs.shape == (1, 2, 5, 5) and not torch.equal(graphs[:, 0], graphs[:, 1])
    assert phases.shape == (1, 50, 5, 2) and graphs.diagonal(dim1=-2, dim2=-1).sum() == 0
    with pytest.raises(StructureError, match="switch in 0"):
        oscillators(1, steps=5, switch=9)


def test_words(tmp_path):
    text = read_text()
    assert len(text.vocabulary) == 1354 and [len(p) for p in (text.train, text.validation, text.test)] == [
        15817,
        2426,
        1892,
    ]
    assert text.vocabulary[int(text.train[0])] == "in" and int(text.test.max()) < 1354
    for part in ("train", "valid", "test"):
        (tmp_path / f"ptb.{part}.txt").write_text(" a <unk> b a \n b N c \n")
    small = read_text(tmp_path, words=4)
    assert len(small.train) == 9 and set(small.vocabulary) <= {"a", "b", "<unk>", "<eos>", "n", "c"}
    with pytest.raises(StructureError, match=r"no .*ptb.train.txt"):
        read_text(tmp_path / "nowhere")
    cycle = torch.arange(600) % 6
    graph = word_graph(cycle, 6, neighbours=2)
    dense = torch.zeros(6, 6)
    dense[graph.edge_index[0], graph.edge_index[1]] = graph.edge_weight
    assert torch.equal(dense, dense.t()) and dense.diagonal().sum() == 0 and int((dense > 0).sum(1).min()) >= 2
