"""The Triton form at tiny sizes: through the interpreter on a machine without a GPU, compiled on one with."""

import math

import numpy as np
import pytest
import torch

pytest.importorskip("triton")

from structnet.kernels import tree_scan
from structnet.kernels.tree_scan import op, reference, triton_form
from structnet.schedules.heavy_paths import heavy_paths
from structnet.structures import Tree
from tests.kernels.conftest import agree, normal
from tests.strategies import random_structure

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FORESTS = {
    "path": Tree.from_parents(torch.tensor([1, 2, 3, 4, 4])),
    "star": Tree.from_parents(torch.tensor([2, 2, 2, 2, 2])),
    "singles": Tree.from_parents(torch.arange(3)),
    "caterpillar": Tree.from_parents(torch.tensor([1, 3, 3, 5, 5, 5])),
    "forest": random_structure(14, np.random.default_rng(0)),
}


@pytest.fixture(autouse=True)
def triton_only(monkeypatch):
    def plan(tree, x):
        paths = heavy_paths(tree)
        return op.Plan("triton", [paths.rows, paths.ptr], paths.rounds)

    monkeypatch.setattr(op, "plan_for", plan)


@pytest.mark.parametrize("tree", FORESTS.values(), ids=FORESTS)
@pytest.mark.parametrize("downwards", [False, True])
@pytest.mark.parametrize("gates, width", [(1, 3), (2, 4), (5, 5)])
def test_forward_and_backward(tree, downwards, gates, width):
    weight, x = normal(tree.num_nodes, gates).requires_grad_(), normal(tree.num_nodes, width).requires_grad_()
    fast = tree_scan(weight.to(DEVICE), x.to(DEVICE), tree.to(DEVICE), downwards).cpu()
    agree(fast, reference.tree_scan(weight, x, tree, downwards), [weight, x], 1e-12)


def test_second_derivatives_and_opcheck():
    tree = FORESTS["caterpillar"].to(DEVICE)
    weight, x = (t.to(DEVICE).requires_grad_() for t in (normal(6, 1), normal(6, 2)))
    assert torch.autograd.gradgradcheck(lambda w, y: tree_scan(w, y, tree), (weight, x))
    torch.use_deterministic_algorithms(False)
    links, (name, layout, marks) = [tree.parent, tree.child_ptr, tree.child_index], op.plan_for(tree, x)
    torch.library.opcheck(torch.ops.structnet.tree_scan.default, (weight, x, links, layout, name, marks, False))


@pytest.mark.filterwarnings("ignore:invalid value")  # NumPy's, from inside the broken tree
@pytest.mark.parametrize("downwards", [False, True])
def test_a_broken_tree_does_not_reach_its_neighbours(downwards):
    tree = Tree.batch([FORESTS["path"], FORESTS["star"], FORESTS["caterpillar"]]).to(DEVICE)
    weight, x = normal(16, 2).to(DEVICE), normal(16, 2).to(DEVICE)
    clean = tree_scan(weight, x, tree, downwards)
    weight[5:10], x[7], weight[tree.roots] = math.inf, math.nan, math.inf
    out = tree_scan(weight, x, tree, downwards)
    kept = [*range(5), *range(10, 16)]
    torch.testing.assert_close(out[kept], clean[kept])


def test_a_bfloat16_sum_is_kept_in_float32():
    tree = Tree.from_parents((torch.arange(64) + 1).clamp(max=63)).to(DEVICE)
    x = torch.full((64, 2), 0.01, dtype=torch.bfloat16, device=DEVICE)
    out = tree_scan(torch.ones_like(x), x, tree)
    assert abs(out[-1, 0].double() - 64 * x[0, 0].double()) < 4e-3
    assert triton_form.tree_scan(torch.ones_like(x), x, [tree.parent, tree.child_ptr, tree.child_index],
                                 *op.plan_for(tree, x)[1:], False)[0].dtype == torch.bfloat16  # fmt: skip
