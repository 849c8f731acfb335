import math

import numpy as np
import pytest
import torch
from hypothesis import given

from structnet.errors import StructureError
from structnet.native import library
from structnet.schedules import heavy_paths as module
from structnet.schedules.heavy_paths import heavy_paths, subtree_order
from structnet.structures import Segments, Tree
from tests.strategies import random_structure, structures

compiled = pytest.mark.skipif(library() is None, reason="no compiled library")


def test_three_paths_by_hand():
    tree = Tree.from_tuples((("a", "b"), (("c", "d"), "e")))[0]  # rows in pre-order: 0 (1 (2 3) 4 (5 (6 7) 8))
    paths = heavy_paths(tree)
    assert paths.rows.tolist() == [3, 7, 8, 2, 1, 6, 5, 4, 0]
    assert paths.ptr.tolist() == [0, 1, 2, 3, 5, 9]
    assert paths.rounds == [0, 1, 4, 5] and paths.starts == [0, 1, 5, 9]
    assert paths.fan.diff().tolist() == [0, 0, 0, 0, 1, 0, 1, 1, 1]
    assert (paths.longest, paths.widest) == (4, 1)


@given(structures(max_nodes=60))
def test_every_path_climbs_by_parents_to_a_light_edge_and_rounds_are_few(tree: Tree):
    paths, parent = heavy_paths(tree), tree.parent
    assert torch.equal(paths.rows[paths.place], torch.arange(tree.num_nodes))
    assert len(paths.rounds) - 1 <= math.log2(tree.num_nodes) + 1
    for r, (first, last) in enumerate(zip(paths.rounds, paths.rounds[1:])):
        for p in range(first, last):
            rows = paths.rows[paths.ptr[p] : paths.ptr[p + 1]]
            assert tree.arity[rows[0]] == 0 and torch.equal(parent[rows[:-1]], rows[1:])
            if r == len(paths.rounds) - 2:
                assert parent[rows[-1]] == rows[-1]
            else:  # hangs in the next round, where `fan` says
                at = paths.place[parent[rows[-1]]]
                assert paths.starts[r + 1] <= at < paths.starts[r + 2] and paths.fan[at] <= p < paths.fan[at + 1]


@compiled
@given(structures(max_nodes=60))
def test_the_compiled_and_the_numpy_builder_agree(tree: Tree):
    one, other = module._compiled(tree), module._numpy(tree)
    assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1]) and one[2] == other[2]


@compiled
@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("seed", range(4))
def test_tasks_are_whole_subtrees_children_first(threads, seed):
    rng = np.random.default_rng(seed)
    tree = random_structure(6_000, rng)
    if seed % 2:  # rows that are parents first
        tree = Tree.from_parents(torch.from_numpy((rng.random(6_000) * np.arange(6_000)).astype(np.int64)))
    plan = subtree_order(tree, threads)
    place, parent = torch.empty(6_000, dtype=torch.int64), tree.parent
    place[plan.order] = torch.arange(6_000)
    inner = parent != torch.arange(6_000)
    assert torch.equal(plan.order.sort().values, torch.arange(6_000)) and (place[parent] > place)[inner].all()
    task = torch.bucketize(place, plan.cuts[1:], right=True)
    above = len(plan.cuts) - 2
    assert ((task == task[parent]) | (task[parent] == above)).all()
    if threads > 1:
        assert above > 2 and task.bincount(minlength=above + 1)[:above].max() < 2 * max(6_000 // (8 * threads), 1024)
    assert subtree_order(tree, threads) is plan


@pytest.mark.parametrize("without", [False, True])
def test_a_cycle_and_a_dag_are_refused(without, monkeypatch):
    if without:
        monkeypatch.setattr(module, "library", lambda: None)
    with pytest.raises(StructureError, match="without cycles"):
        heavy_paths(Tree(torch.tensor([0, 1, 2, 2]), torch.tensor([1, 0])))
    with pytest.raises(StructureError, match="a forest; got node 2 with 2 parents"):
        heavy_paths(Tree.from_edges(torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2]), 3))


def test_no_nodes():
    paths = heavy_paths(Tree.balanced(Segments.from_lengths(torch.tensor([0, 0]))))
    assert paths.rows.tolist() == [] and paths.ptr.tolist() == [0] and paths.rounds == [0] and paths.starts == [0]
