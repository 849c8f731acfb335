"""The drivers under double precision, autocast, torch.func and torch.compile."""

import pytest
import torch

from structnet.cells import BinaryTreeLSTM, ChildSumTreeLSTM, GatedRecursiveCell
from structnet.recursion import fold_segments, fold_tree, scan_segments, unfold_tree
from structnet.structures import Segments, Tree
from tests.test_recursion import WIDTH

RAGGED = Segments.from_lengths(torch.tensor([3, 1, 5]))
GROWN = Tree.balanced(RAGGED)
CASES = {
    "grc": (GatedRecursiveCell(WIDTH), False),
    "tree_lstm": (BinaryTreeLSTM(WIDTH), True),
    "child_sum": (ChildSumTreeLSTM(WIDTH), True),
}


@pytest.mark.parametrize("name", CASES)
def test_double_backward_func_grad_and_autocast(name):
    cell, pair = CASES[name]
    cell = cell.double()
    tree = Tree.random(Segments.from_lengths(torch.tensor([3, 1, 5])), torch.Generator().manual_seed(1))

    def root_sum(x):
        out = fold_tree(cell, (x, x) if pair else x, tree)
        return ((out[0] if pair else out) ** 2).sum()

    x = torch.randn(9, WIDTH, dtype=torch.float64)
    assert torch.autograd.gradcheck(root_sum, x.clone().requires_grad_())
    assert torch.autograd.gradgradcheck(root_sum, x.clone().requires_grad_())
    leaf = x.clone().requires_grad_()
    torch.testing.assert_close(torch.func.grad(root_sum)(x), torch.autograd.grad(root_sum(leaf), leaf)[0])
    cell.float()
    with torch.autocast("cpu", torch.bfloat16):
        low = root_sum(x.float())
    assert abs(low - root_sum(x.float())) < 0.1 * abs(low) + 0.1


@pytest.mark.parametrize("kind", [torch.nn.GRUCell, torch.nn.LSTMCell])
def test_a_backward_pass_inside_an_autocast_region_is_the_one_outside(kind):
    cell, x = kind(WIDTH, WIDTH), torch.randn(9, WIDTH, requires_grad=True)

    def gradients():
        states, _ = scan_segments(cell, x, RAGGED)
        states = states[0] if isinstance(states, tuple) else states
        return torch.autograd.grad((states**2).sum(), [x, *cell.parameters()])

    expected = gradients()
    with torch.autocast("cpu", torch.bfloat16):
        got = gradients()
    for one, other in zip(got, expected):
        torch.testing.assert_close(one, other)


DRIVERS = {
    "fold_tree": lambda cell, x: fold_tree(cell, x, GROWN),
    "unfold_tree": lambda cell, x: unfold_tree(lambda parent, x: cell(parent, x), x[:3], GROWN, torch.cat([x, x[:6]])),
    "fold_segments": lambda cell, x: fold_segments(cell, x, RAGGED),
    "scan_segments": lambda cell, x: scan_segments(lambda row, h: row if h is None else cell(h, row), x, RAGGED)[0],
}


def _child_sum(cell, x):
    return fold_tree(cell, None, GROWN, inputs=torch.cat([x, x[:6]]))[0]


COMPILED = {
    **{name: (GatedRecursiveCell(WIDTH), call) for name, call in DRIVERS.items()},
    "gru": (torch.nn.GRUCell(WIDTH, WIDTH), lambda cell, x: scan_segments(cell, x, RAGGED)[0]),
    "child_sum": (ChildSumTreeLSTM(WIDTH, WIDTH), _child_sum),
}


@pytest.mark.parametrize("name", COMPILED)
def test_every_driver_compiles_without_a_graph_break_and_takes_func_grad(name):
    cell, call = COMPILED[name]
    x = torch.randn(9, WIDTH, requires_grad=True)
    expected = call(cell, x)
    gradient = torch.autograd.grad(expected.sum(), x)[0]
    torch.testing.assert_close(torch.func.grad(lambda rows: call(cell, rows).sum())(x.detach()), gradient)
    got = torch.compile(lambda rows: call(cell, rows), backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad(got.sum(), x)[0], gradient)
