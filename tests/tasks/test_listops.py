import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from structnet.datasets.listops import decode, encode, splits
from structnet.datasets.listops.graphs import ListOpsGraphs
from structnet.errors import StructureError
from structnet.structures import Tree
from structnet.tasks.listops import ListOps, ListOpsSplit
from structnet.tasks.task import Split
from tests.datasets.test_listops import binary, evaluate, parse


@pytest.fixture
def small(monkeypatch, tmp_path):
    """All splits, but few rows: the same code in a moment."""
    monkeypatch.setenv("STRUCTNET_CACHE", str(tmp_path))
    monkeypatch.setattr(splits, "UNIQUE", 500)
    monkeypatch.setattr(splits, "TRAIN_ROWS", 400)
    monkeypatch.setattr(splits, "DEV_ROWS", 50)
    monkeypatch.setattr(splits, "CHECKSUMS", {})
    return ListOps(seed=11)


def test_a_batch_is_the_rows_asked_for(small):
    split = small.split("validation")
    assert isinstance(split, Split) and len(split) == 50
    rows = torch.tensor([3, 0, 40, 3])
    batch = split.batch(rows)
    tokens, segments, tree = batch.inputs
    checked = Tree(tree.child_ptr, tree.child_index, tree.ptr)
    assert checked.root_per_tree.numel() == len(batch) == 4 and tree.leaves.numel() == len(tokens)
    for at, row in enumerate(rows.tolist()):
        mine = tokens[segments.ptr[at] : segments.ptr[at + 1]]
        assert mine.tolist() == split.tokens[split.ptr[row] : split.ptr[row + 1]].tolist()
        assert batch.keys["length"][at] == len(mine)
    alone = [split.batch(rows[i : i + 1]).inputs[2] for i in range(4)]
    for one, other in zip(tree.unbatch(), alone, strict=True):
        assert torch.equal(one.child_index, other.child_index) and torch.equal(one.child_ptr, other.child_ptr)


def test_more_rows_to_train_on_leave_the_other_splits_alone(small):
    more = ListOps(seed=11, rows=700)
    assert len(more.split("train")) == 700 and len(small.split("train")) < 350
    assert more.split("near_iid") is small.split("near_iid")


def test_the_gold_tree_of_a_row_in_a_batch():
    expressions = ["[MAX 2 [SM 1 1 4 ] 0 ]", "5", "[MED 1 2 ]"]
    tokens = [encode(text) for text in expressions]
    split = ListOpsSplit("x", np.concatenate(tokens), np.cumsum([0] + [len(t) for t in tokens]))
    for tree, text in zip(
        split.batch(torch.tensor([1, 0, 2])).inputs[2].unbatch(), ("5", expressions[0], expressions[2])
    ):
        nodes = list(range(len(encode(text))))
        for left, right in tree.child_index.view(-1, 2).tolist():
            nodes.append((nodes[left], nodes[right]))
        assert nodes[-1] == binary(parse(text.split()), iter(range(len(nodes))))


def test_nary_trees_have_operators_over_their_arguments(small):
    task = ListOps(seed=11, nary=True)
    split, rows = task.split("near_iid"), torch.tensor([5, 0, 60, 33])
    batch, plain = split.batch(rows), small.split("near_iid").batch(rows)
    tokens, segments, tree = batch.inputs
    Tree(tree.child_ptr, tree.child_index, tree.ptr)  # the checks
    assert tree.num_nodes == len(tokens) == segments.num_rows and torch.equal(tree.ptr, segments.ptr)
    assert tokens.max() < 14 and batch.target.tolist() == plain.target.tolist()
    assert torch.equal(split.sizes, small.split("near_iid").sizes)
    names, ptr, index = ("MIN", "MAX", "MED", "SM"), tree.child_ptr.tolist(), tree.child_index.tolist()

    def nested(node):
        token, children = int(tokens[node]), index[ptr[node] : ptr[node + 1]]
        return token if token < 10 else [names[token - 10], *map(nested, children)]

    rebuilt = [nested(root) for root in tree.root_per_tree.tolist()]
    expected = [parse(decode(part.numpy()).split()) for part in plain.inputs[0].split(plain.inputs[1].lengths.tolist())]
    assert rebuilt == expected


def test_files_are_marked_by_their_own_labels(tmp_path):
    path = tmp_path / "rows.tsv"
    path.write_text("9\t[MAX 2 9 ]\n3\t[MAX 2 9 ]\n")
    split = ListOps().from_file(path)
    assert split.batch(torch.tensor([0, 1])).target.tolist() == [9, 3] and split.wrong_labels == 1


def test_loss_and_score(small):
    batch = small.split("validation").batch(torch.arange(3))
    logits = 50.0 * torch.nn.functional.one_hot((batch.target + torch.tensor([0, 0, 1])) % 10, 10)
    scores = small.score(logits, batch)
    assert scores["accuracy"].tolist() == [1, 1, 0]
    torch.testing.assert_close(scores["loss"].mean(), small.loss(logits, batch))
    assert small.summary(scores, batch.keys)["accuracy"] == pytest.approx(2 / 3)
    with pytest.raises(StructureError, match="logits"):
        small.loss((logits,), batch)


def test_unknown_split_names_the_known(small):
    with pytest.raises(StructureError, match="near_iid"):
        small.split("test")


def test_listops_graphs_ride_through_the_loader(small, tmp_path):
    data = ListOpsGraphs(str(tmp_path / "root"), "validation", seed=11)
    split = small.split("validation")
    assert len(data) == 50
    batch = next(iter(DataLoader(data, batch_size=50)))
    assert batch.y.tolist() == split.answers.tolist()
    # evaluate every graph by its edges alone
    names = ("MIN", "MAX", "MED", "SM")
    for graph in data[:20]:
        tree, x = graph.tree, graph.x.tolist()
        ptr, index = tree.child_ptr.tolist(), tree.child_index.tolist()

        def nested(node):
            return x[node] if x[node] < 10 else [names[x[node] - 10], *map(nested, index[ptr[node] : ptr[node + 1]])]  # noqa: B023

        assert evaluate(nested(int(tree.root_per_tree))) == int(graph.y)
    assert batch.tree.roots.numel() == 50
    assert torch.equal(ListOpsGraphs(str(tmp_path / "root"), "validation", seed=11)[7].x, data[7].x)
