import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structnet.errors import StructureError
from structnet.kernels import segment_scan, tree_scan
from structnet.kernels.tree_scan import op, reference, torch_form
from structnet.native import library
from structnet.schedules.heavy_paths import heavy_paths
from structnet.structures import Segments, Tree
from tests.kernels.conftest import LENGTHS, TOLERANCE, WIDTHS, agree, normal, pointer
from tests.strategies import random_structure, structures

FORMS = [*(["compiled"] if library() else []), "levels", "paths"]


def plan(form: str, tree: Tree, x: torch.Tensor) -> op.Plan:
    paths = heavy_paths(tree)
    if form == "levels":
        return op.Plan(form, *torch_form.levels(tree))
    if form == "paths":
        return op.Plan(form, [paths.rows, paths.place, paths.ptr, paths.fan], paths.rounds + paths.starts)
    return CHOICE(tree, x)


CHOICE = op.plan_for


@pytest.fixture(params=FORMS)
def form(request, monkeypatch):
    """Every form in turn behind the one op."""
    monkeypatch.setattr(op, "plan_for", lambda tree, x: plan(request.param, tree, x))
    return request.param


def forest(lengths: list[int], shape: str) -> Tree:
    """One tree of each length (a length of 0 is no tree), rows in an order that fits the shape, or in any."""
    parents, first = [], 0
    rng = np.random.default_rng(1)
    for n in lengths:
        step = torch.arange(n)
        made = {
            "path": (step + 1).clamp(max=n - 1),
            "star": step * 0,
            "heap": (step - 1).clamp(min=0) // 2,
            "random": torch.from_numpy((rng.random(n) * step.numpy()).astype(np.int64)),
        }
        if shape == "shuffled":
            row = torch.from_numpy(rng.permutation(n))
            parent = torch.empty_like(row)
            parent[row] = row[made["random"]]
        else:
            parent = made[shape]
        parents.append(parent + first)
        first += n
    return Tree.from_parents(torch.cat([torch.empty(0, dtype=torch.int64), *parents]), pointer(lengths))


def arguments(nodes: int, width: int, gates: int, dtype=torch.float64, wanted=(True, True)):
    weight = (normal(nodes, gates) / 2).to(dtype).requires_grad_(wanted[0])
    return weight, normal(nodes, width, dtype=dtype).requires_grad_(wanted[1])


def test_three_nodes_by_hand():
    tree = Tree(torch.tensor([0, 2, 2, 2]), torch.tensor([1, 2]))
    weight, x = torch.tensor([[9.0], [2.0], [3.0]]), torch.tensor([[1.0], [1.0], [5.0]])
    assert tree_scan(weight, x, tree).flatten().tolist() == [1 + 2 * 1 + 3 * 5, 1, 5]
    assert tree_scan(weight, x, tree, downwards=True).flatten().tolist() == [1, 1 + 2 * 1, 5 + 3 * 1]


def test_the_reference_is_the_inverse_of_one_minus_the_weights():
    tree = random_structure(12, np.random.default_rng(3))
    weight, x = arguments(12, 2, 1)
    edges = torch.zeros(12, 12, dtype=torch.float64)
    edges[tree.source, tree.child_index] = weight[tree.child_index, 0]
    eye = torch.eye(12, dtype=torch.float64)
    torch.testing.assert_close(reference.tree_scan(weight, x, tree), torch.linalg.solve(eye - edges, x))
    torch.testing.assert_close(reference.tree_scan(weight, x, tree, True), torch.linalg.solve(eye - edges.T, x))


def test_a_tree_alone_equals_itself_in_any_batch(form):
    trees = [forest([n], shape) for n, shape in [(7, "shuffled"), (30, "path"), (1, "path"), (20, "star"), (9, "heap")]]
    batch = Tree.batch(trees)
    weight, x = arguments(batch.num_nodes, 3, 3)
    for downwards in (False, True):
        together = tree_scan(weight, x, batch, downwards).split([t.num_nodes for t in trees])
        rows = batch.segments.lengths.tolist()
        for tree, w, y, out in zip(trees, weight.split(rows), x.split(rows), together):
            torch.testing.assert_close(tree_scan(w, y, tree, downwards), out, rtol=0, atol=1e-12)


@pytest.mark.parametrize("downwards", [False, True])
@pytest.mark.parametrize("shape", ["path", "star", "heap", "random", "shuffled"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_ragged_edges(form, lengths, shape, downwards):
    tree = forest([min(n, 200) for n in lengths], shape)
    weight, x = arguments(tree.num_nodes, 6, 3)
    agree(tree_scan(weight, x, tree, downwards), reference.tree_scan(weight, x, tree, downwards), [weight, x], 1e-10)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_widths_and_types(form, width, dtype):
    tree = forest(LENGTHS["mixed"], "random")
    for gates in {1, width}:
        weight, x = arguments(tree.num_nodes, width, gates, dtype)
        wide = [t.detach().double().requires_grad_() for t in (weight, x)]
        slow = reference.tree_scan(wide[0], wide[1], tree).to(dtype)
        tolerance = TOLERANCE[dtype]
        out = tree_scan(weight, x, tree)
        assert out.dtype == dtype
        torch.testing.assert_close(out, slow, rtol=tolerance, atol=tolerance)
        if dtype != torch.bfloat16:
            got = torch.autograd.grad(out.sum(), (weight, x))
            for one, other in zip(got, torch.autograd.grad(slow.sum(), wide), strict=True):
                torch.testing.assert_close(one, other.to(dtype), rtol=20 * tolerance, atol=20 * tolerance)


@given(structures(max_nodes=40), st.booleans(), st.sampled_from([1, 2, 4]))
def test_any_forest(tree, downwards, gates):
    weight, x = arguments(tree.num_nodes, 4, gates)
    slow = reference.tree_scan(weight, x, tree, downwards)
    links = [tree.parent, tree.child_ptr, tree.child_index]
    for name in FORMS:
        _, layout, marks = plan(name, tree, x)
        fast = torch.ops.structnet.tree_scan(weight, x, links, layout, name, marks, downwards)
        agree(fast, slow, [weight, x], 1e-10)


def test_a_path_is_a_segment_scan():
    lengths = [5, 1, 64]
    tree, segments = forest(lengths, "path"), Segments(pointer(lengths))
    weight, x = arguments(70, 3, 3)
    gate = torch.roll(weight, 1, 0)  # a row's weight acts on the way to the next row
    torch.testing.assert_close(tree_scan(weight, x, tree), segment_scan(gate, x, segments))
    torch.testing.assert_close(tree_scan(weight, x, tree, True), segment_scan(weight, x, segments, reverse=True))


def test_up_and_down_are_transposed(form):
    tree = forest([50], "shuffled")
    weight, x = arguments(50, 4, 4)
    y = normal(50, 4, seed=7)
    torch.testing.assert_close((y * tree_scan(weight, x, tree)).sum(), (tree_scan(weight, y, tree, True) * x).sum())


@pytest.mark.parametrize("downwards", [False, True])
@pytest.mark.parametrize("shape", ["path", "heap", "shuffled"])
def test_blocks(shape, downwards):
    tree = forest([20, 0, 9], shape)
    weight, x = (normal(29, 2, 3, 3) / 3).requires_grad_(), normal(29, 2, 3).requires_grad_()
    rows, order = list(x), tree.heights.argsort(kind="stable").tolist()
    for v in reversed(order) if downwards else order:
        p = int(tree.parent[v])
        if p != v:
            one, other = (v, p) if downwards else (p, v)
            rows[one] = rows[one] + torch.einsum("hij,hj->hi", weight[v], rows[other])
    agree(tree_scan(weight, x, tree, downwards), torch.stack(rows), [weight, x], 1e-10)


@pytest.mark.parametrize("nodes", [0, 1])
def test_no_node_and_one_node(form, nodes):
    tree = forest([nodes], "path")
    weight, x = arguments(nodes, 3, 1)
    for downwards in (False, True):
        out = tree_scan(weight, x, tree, downwards)
        assert torch.equal(out, x)
        dweight, dx = torch.autograd.grad(out.sum(), (weight, x))
        assert torch.equal(dweight, torch.zeros_like(weight)) and torch.equal(dx, torch.ones_like(x))


def test_parents_as_int32_or_int64_non_contiguous_rows_and_no_channel():
    tree = forest([3, 4], "random")
    weight, x = arguments(7, 6, 6)
    expected = tree_scan(weight, x, tree)
    for dtype in (torch.int32, torch.int64):
        torch.testing.assert_close(tree_scan(weight, x, tree.parent.to(dtype)), expected)
    strided = [t.detach().t().contiguous().t() for t in (weight, x)]
    assert not strided[0].is_contiguous()
    torch.testing.assert_close(tree_scan(*strided, tree), expected)
    cotangent = normal(6, 7).t()
    got = torch.autograd.grad(expected, (weight, x), cotangent, retain_graph=True)
    torch.testing.assert_close(got, torch.autograd.grad(expected, (weight, x), cotangent.contiguous()))
    assert tree_scan(torch.ones(7, 1), torch.ones(7, 0), tree).shape == (7, 0)


@pytest.mark.parametrize("wanted", [(True, False), (False, True)])
@pytest.mark.parametrize("downwards", [False, True])
def test_gradients_asked_for_one_input_only(form, wanted, downwards):
    tree = forest([3, 0, 9], "random")
    weight, x = arguments(12, 2, 1, wanted=wanted)
    agree(tree_scan(weight, x, tree, downwards), reference.tree_scan(weight, x, tree, downwards), [weight, x], 1e-10)


@pytest.mark.parametrize("downwards", [False, True])
def test_gradcheck_twice_and_opcheck(form, downwards):
    tree = forest([4, 0, 3], "shuffled")
    weight, x = arguments(7, 2, 1)
    call = lambda *t: tree_scan(t[0], t[1], tree, downwards)  # noqa: E731
    assert torch.autograd.gradcheck(call, (weight, x))
    assert torch.autograd.gradgradcheck(call, (weight, x))
    torch.use_deterministic_algorithms(False)
    links, (name, layout, marks) = [tree.parent, tree.child_ptr, tree.child_index], op.plan_for(tree, x)
    torch.library.opcheck(torch.ops.structnet.tree_scan.default, (weight, x, links, layout, name, marks, downwards))
    backward = (normal(7, 2), weight, x, links, layout, name, marks, downwards)
    torch.library.opcheck(torch.ops.structnet.tree_scan_backward.default, backward)


def test_compile_without_a_graph_break():
    tree = forest([4, 3], "shuffled")
    weight, x = arguments(7, 2, 2)
    compiled = torch.compile(lambda w, y: tree_scan(w, y, tree).sin(), fullgraph=True, backend="aot_eager")
    got, expected = compiled(weight, x), tree_scan(weight, x, tree).sin()
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(*(torch.autograd.grad(o.sum(), (weight, x)) for o in (got, expected)))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("downwards", [False, True])
def test_a_broken_tree_does_not_reach_its_neighbours(form, bad, downwards):
    tree = forest([3, 9, 4], "random")
    weight, x = (t.detach() for t in arguments(16, 2, 2))
    clean = tree_scan(weight, x, tree, downwards)
    weight[3:12], x[5] = bad, bad
    weight[0], weight[12] = bad, bad  # of roots: they act on nothing
    weight.requires_grad_()
    kept = [0, 1, 2, 12, 13, 14, 15]
    out = tree_scan(weight, x, tree, downwards)[kept]
    torch.testing.assert_close(out, clean[kept])
    assert torch.autograd.grad(out.sum(), weight)[0][kept].isfinite().all()


@pytest.mark.parametrize("shape", ["path", "random", "shuffled"])
def test_the_same_bits_with_any_number_of_threads(shape):
    tree = forest([9_000, 3, 4_000] + [5] * 300, shape)
    weight, x = arguments(tree.num_nodes, 33, 1, torch.float32)
    results = []
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        for downwards in (False, True):
            out = tree_scan(weight, x, tree, downwards)
            results.append([out, *torch.autograd.grad(out.sum(), (weight, x))])
    torch.set_num_threads(1)
    for one, two, three in zip(zip(*results[0:2]), zip(*results[2:4]), zip(*results[4:6])):
        for a, b, c in zip(one, two, three):
            assert torch.equal(a, b) and torch.equal(a, c)


def test_the_choice_without_the_library(monkeypatch):
    monkeypatch.setattr(op, "compiled_for", lambda x: None)
    weight, x = arguments(300, 2, 2)
    for shape, name in (("heap", "levels"), ("path", "paths")):
        tree = forest([300], shape)
        assert op.plan_for(tree, x).form == name
        agree(tree_scan(weight, x, tree), reference.tree_scan(weight, x, tree), [weight, x], 1e-10)


DAG = Tree.from_edges(torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2]), 3)
CYCLE = Tree(torch.tensor([0, 1, 2, 2]), torch.tensor([1, 0]))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: tree_scan(torch.ones(3, 2), torch.ones(3, 3), DAG), "G dividing D"),
        (lambda: tree_scan(torch.ones(3), torch.ones(3, 3), DAG), "weight[:, None]"),
        (lambda: tree_scan(torch.ones(4, 1), torch.ones(4, 3), DAG), "a row for each of 3 nodes"),
        (lambda: tree_scan(torch.ones(3, 1), torch.ones(3, 3), DAG), "a forest; got node 2 with 2 parents"),
        (lambda: tree_scan(torch.ones(3, 1), torch.ones(3, 3), CYCLE), "without cycles"),
        (lambda: tree_scan(torch.ones(2, 1), torch.ones(2, 3), torch.tensor([1, 0])), "without cycles"),
    ],
)
def test_bad_calls(call, words):
    with pytest.raises(StructureError) as error:
        call()
    assert words in str(error.value) and "; try " in str(error.value)
