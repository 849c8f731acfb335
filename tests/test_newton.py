"""Newton's method against the plain drivers, in states and in every gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from structnet.cells import BinaryTreeLSTM, GatedRecursiveCell
from structnet.errors import StructureError
from structnet.newton import Newton, NewtonReport
from structnet.recursion import fold_tree, scan_segments, unfold_tree
from structnet.structures import Segments, Tree
from tests.strategies import segments, structures

WIDTH = 4


class Elementwise(nn.Module):
    """tanh(weight * sum of the children + bias): every channel for itself."""

    arity = None

    def forward(self, children, segments, x):
        weight, bias = x
        total = torch.zeros_like(bias)
        return torch.tanh(bias + weight * (total if children is None else total.index_add(0, segments.index, children)))


class Coupled(nn.Module):
    """Any arity, order-sensitive, channels mixed."""

    arity = None

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)  # the number of steps depends on the weights, and they on the tests before this one
        self.mix = nn.Linear(WIDTH, WIDTH).double()

    def forward(self, children, segments, x):
        if children is None:
            return torch.tanh(x)
        step = torch.arange(segments.num_rows) - segments.ptr[segments.index]
        sent = self.mix(children) / (1.0 + step)[:, None]
        return torch.tanh(x + torch.zeros_like(x).index_add(0, segments.index, sent))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return draw.requires_grad_()


def same(fast, slow, wanted) -> None:
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-11)
    cotangent = normal(*slow.shape, seed=5).detach()
    grads = [torch.autograd.grad(o + 0 * sum(w.sum() for w in wanted), wanted, cotangent) for o in (fast, slow)]
    torch.testing.assert_close(*grads, rtol=1e-9, atol=1e-10)


@pytest.fixture
def reports() -> list[NewtonReport]:
    return []


def path(nodes: int) -> Tree:
    return Tree.from_parents((torch.arange(nodes) + 1).clamp(max=nodes - 1))


def test_one_step_solves_a_linear_recursion(reports):
    tree, x = path(50), normal(50, 2)

    class Linear(nn.Module):
        arity = None

        def forward(self, children, segments, x):
            return x if children is None else x + 0.5 * children

    out = fold_tree(Linear(), None, tree, x, return_all=True, solver=Newton(coupling=1, report=reports.append))
    same(out, fold_tree(Linear(), None, tree, x, return_all=True), [x])
    assert [(r.part, r.iterations, r.converged) for r in reports] == [("states", 1, True), ("gradients", 0, True)]


def test_quadratic_with_the_whole_jacobian_linear_with_its_diagonal(reports):
    cell, tree, x = Coupled(), path(60), normal(60, WIDTH, seed=2)
    fold_tree(cell, None, tree, x, solver=Newton(block=WIDTH, report=reports.append))
    fold_tree(cell, None, tree, x, solver=Newton(max_iterations=60, report=reports.append))
    whole, diagonal = reports
    assert whole.converged and diagonal.converged and whole.iterations <= 7 < diagonal.iterations
    late = [r for r in whole.residuals if 1e-14 < r < 0.1]
    assert all(after <= 5 * before**2 + 1e-13 for before, after in zip(late, late[1:])) and len(late) > 1


def test_it_ends_after_height_plus_one_steps_whatever_the_jacobian(reports):
    """Weights of 40 and a diagonal that misses most of the Jacobian: still exact, node by node from the leaves."""
    cell, tree, x = Coupled(), path(12), normal(12, WIDTH)
    with torch.no_grad():
        cell.mix.weight.mul_(40)
    out = fold_tree(cell, None, tree, x, return_all=True, solver=Newton(max_iterations=12, report=reports.append))
    torch.testing.assert_close(out, fold_tree(cell, None, tree, x, return_all=True), rtol=0, atol=1e-12)
    assert reports[0].converged and 5 < reports[0].iterations <= 12


SOLVERS = {
    "diagonal": Newton(max_iterations=64),
    "pairs": Newton(block=2, max_iterations=64),
    "whole": Newton(block=WIDTH),
    "wrong coupling": Newton(coupling=1, max_iterations=64),
    "falls back": Newton(max_iterations=1),
}


@pytest.mark.parametrize("name", SOLVERS)
@settings(max_examples=6)
@given(tree=structures(max_nodes=20))
def test_fold_equals_the_plain_driver(name, tree):
    cell, x = Coupled(), normal(tree.num_nodes, WIDTH)
    wanted = [x, *cell.parameters()]
    fast = fold_tree(cell, None, tree, x, return_all=True, solver=SOLVERS[name])
    same(fast, fold_tree(cell, None, tree, x, return_all=True), wanted)
    same(fold_tree(cell, None, tree, x, solver=SOLVERS[name]), fold_tree(cell, None, tree, x), wanted)
    leaves = normal(tree.leaves.numel(), WIDTH, seed=3)
    fast = fold_tree(cell, leaves, tree, x, return_all=True, solver=SOLVERS[name])
    same(fast, fold_tree(cell, leaves, tree, x, return_all=True), [leaves, *wanted])


@pytest.mark.parametrize("name", SOLVERS)
@settings(max_examples=6)
@given(tree=structures(max_nodes=20))
def test_unfold_equals_the_plain_driver(name, tree):
    mix = nn.Linear(WIDTH, WIDTH).double()
    x, roots = normal(tree.num_nodes, WIDTH), normal(tree.roots.numel(), WIDTH, seed=4)
    cell = lambda above, x: torch.tanh(mix(above) + x)  # noqa: E731
    for return_all in (True, False):
        outputs = [unfold_tree(cell, roots, tree, x, return_all=return_all, solver=s) for s in (SOLVERS[name], None)]
        same(*outputs, [x, roots, *mix.parameters()])


@pytest.mark.parametrize("name", SOLVERS)
@settings(max_examples=6)
@given(s=segments(), reverse=st.booleans(), with_state=st.booleans())
def test_scan_equals_the_plain_driver(name, s, reverse, with_state):
    cell, x = nn.GRUCell(2, WIDTH).double(), normal(s.num_rows, 2)
    state = normal(s.num_segments, WIDTH, seed=6)
    if not with_state and not s.num_rows:
        return
    first = state if with_state else None
    fast, slow = (scan_segments(cell, x, s, first, reverse=reverse, solver=v) for v in (SOLVERS[name], None))
    wanted = [x, *([state] if with_state else []), *cell.parameters()]
    same(torch.cat(fast), torch.cat(slow), wanted)  # states after each row, and the last of each segment


@pytest.mark.parametrize("settings", [{"block": 2, "max_iterations": 40}, {"block": 8}, {"max_iterations": 1}], ids=str)
def test_states_of_two_parts(settings):
    solver = Newton(**settings)
    s = Segments.from_lengths(torch.tensor([7, 0, 12]))
    cell, x = nn.LSTMCell(2, WIDTH).double(), normal(19, 2)
    fast, slow = (scan_segments(cell, x, s, solver=v) for v in (solver, None))
    same(*(torch.cat([*states, *last]) for states, last in (fast, slow)), [x, *cell.parameters()])
    tree, cell = Tree.left_branching(Segments.from_lengths(torch.tensor([9, 1, 4]))), BinaryTreeLSTM(WIDTH).double()
    x = normal(14, WIDTH)
    same(*(torch.cat(fold_tree(cell, (x, x), tree, solver=v)) for v in (solver, None)), [x, *cell.parameters()])


def test_a_binary_cell_and_a_state_of_more_dimensions():
    tree, cell = Tree.random(Segments.from_lengths(torch.tensor([9, 0, 5]))), GatedRecursiveCell(WIDTH).double()
    x = normal(14, WIDTH)
    same(fold_tree(cell, x, tree, solver=Newton(block=WIDTH)), fold_tree(cell, x, tree), [x])
    x = normal(14, 2, 3)
    mix = lambda a, b: torch.tanh(0.7 * a - 0.4 * b.flip(1))  # noqa: E731
    same(fold_tree(mix, x, tree, solver=Newton(block=6)), fold_tree(mix, x, tree), [x])


def test_gradients_fall_back_where_their_solve_does_not_converge(reports):
    """States that are found at once, under a Jacobian of which the kept part is nothing."""
    tree, x = path(30), normal(30, 2)

    class Swap(nn.Module):
        arity = None

        def forward(self, children, segments, x):
            return x if children is None else x + 0.9 * (children.flip(1) - children.flip(1).detach())

    solver = Newton(max_iterations=8, report=reports.append)
    fast, slow = (fold_tree(Swap(), None, tree, x, return_all=True, solver=v) for v in (solver, None))
    same(fast, slow, [x])
    assert [(r.part, r.converged) for r in reports] == [("states", True), ("gradients", False)]


def test_gradcheck_and_no_second_derivative():
    tree, weight, bias = path(5), normal(5, 2), normal(5, 2, seed=1)
    call = lambda w, b: fold_tree(Elementwise(), None, tree, (w, b), solver=Newton(coupling=1))  # noqa: E731
    assert torch.autograd.gradcheck(call, (weight, bias))
    with pytest.raises(StructureError, match="first derivatives"):
        torch.autograd.grad(call(weight, bias).sum(), weight, create_graph=True)


def test_a_tree_alone_equals_itself_in_a_batch():
    trees = [path(40), Tree.from_parents(torch.zeros(9, dtype=torch.int64)), path(1)]
    batch, cell, x = Tree.batch(trees), Coupled(), normal(50, WIDTH)
    together = fold_tree(cell, None, batch, x, return_all=True, solver=Newton(block=WIDTH)).split([40, 9, 1])
    for tree, part, out in zip(trees, x.split([40, 9, 1]), together):
        alone = fold_tree(cell, None, tree, part, return_all=True, solver=Newton(block=WIDTH))
        torch.testing.assert_close(alone, out, rtol=0, atol=1e-12)


def test_float32_no_grad_and_nothing_to_solve(reports):
    cell, x = Coupled().float(), normal(200, WIDTH).float()
    with torch.no_grad():
        out = fold_tree(cell, None, path(200), x, solver=Newton(block=WIDTH, report=reports.append))
    assert not out.requires_grad and reports[0].converged
    torch.testing.assert_close(out, fold_tree(cell, None, path(200), x), rtol=1e-4, atol=1e-5)
    assert torch.equal(fold_tree(cell, x[:1], path(1), x[:1], solver=Newton()), x[:1])
    empty = Segments.from_lengths(torch.tensor([0, 0]))
    none = Tree.left_branching(empty)
    assert fold_tree(torch.add, torch.empty(0, 2), none, solver=Newton()).shape == (0, 2)
    state = torch.ones(2, 3)
    assert torch.equal(scan_segments(nn.GRUCell(2, 3), torch.empty(0, 2), empty, state, solver=Newton())[1], state)


def test_an_overflow_falls_back(reports):
    """Weights of 10 on the identity: states grow as 10^t, and the steps, at a height of 400, beyond every number."""
    tree, x = path(400), normal(400, 1)

    class Clipped(nn.Module):
        arity = None

        def forward(self, children, segments, x):
            return x if children is None else (10 * children + x).clamp(-1, 1)

    fast = fold_tree(Clipped(), None, tree, x, return_all=True, solver=Newton(max_iterations=3, report=reports.append))
    same(fast, fold_tree(Clipped(), None, tree, x, return_all=True), [x])
    assert not reports[0].converged


DAG = Tree.from_edges(torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2]), 3)
CHAIN = Tree.left_branching(Segments.from_lengths(torch.tensor([3])))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: fold_tree(Coupled(), None, DAG, normal(3, WIDTH), solver=Newton()), "a forest"),
        (lambda: unfold_tree(torch.tanh, normal(1, 2), DAG, solver=Newton()), "a forest"),
        (lambda: fold_tree(torch.add, normal(3, 4), CHAIN, solver=Newton(block=3)), "coupling=4 for 4 channels"),
        (lambda: fold_tree(torch.add, normal(3, 4), CHAIN, solver=Newton(coupling=3)), "coupling=3"),
        (lambda: fold_tree(torch.add, (normal(3, 4), normal(3, 2)), CHAIN, solver=Newton()), "one shape"),
        (lambda: fold_tree(torch.add, None, CHAIN, solver=Newton()), "states of the leaves"),
        (
            lambda: fold_tree(torch.add, normal(3, 1), Tree.from_parents(torch.zeros(4).long()), solver=Newton()),
            "2 children at every inner node",
        ),
    ],
)
def test_bad_calls(call, words):
    with pytest.raises(StructureError) as error:
        call()
    assert words in str(error.value) and "; try " in str(error.value)


def test_inference_mode_is_named():
    with torch.inference_mode(), pytest.raises(StructureError, match="inference_mode"):
        fold_tree(torch.add, torch.ones(3, 4), CHAIN, solver=Newton())
