"""Drivers against nested calls written out node by node, in outputs and in every gradient."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from structnet.errors import StructureError
from structnet.recursion import fold_segments, fold_tree, scan_segments, unfold_tree
from structnet.structures import Segments, Tree
from tests.strategies import children_of, segments, structures

WIDTH = 3


def leaves_for(tree: Tree, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tree.leaves.numel(), WIDTH, dtype=torch.float64, generator=generator, requires_grad=True)


def mix(left, right):
    """Neither commutative nor associative."""
    return torch.tanh(0.7 * left - 0.4 * right + 0.2 * left * right)


class Mean(nn.Module):
    """Any arity, order-sensitive, optional input."""

    arity = None

    def forward(self, children, segments, x=None):
        out = torch.zeros(segments.num_segments, WIDTH, dtype=torch.float64)
        if children is not None:
            step = torch.arange(segments.num_rows) - segments.ptr[segments.index]
            out = out.index_add(0, segments.index, children * (1.0 + step)[:, None])
        return torch.tanh(out if x is None else out + x)


def nested(tree: Tree, leaves, inputs=None):
    """`Mean` by plain recursion, every node on its own."""
    children, place = children_of(tree), {row: at for at, row in enumerate(tree.leaves.tolist())}
    memo = {}

    def value(node: int):
        if node not in memo:
            if not children[node]:
                memo[node] = torch.tanh(inputs[node]) if leaves is None else leaves[place[node]]
            else:
                total = sum((1.0 + i) * value(c) for i, c in enumerate(children[node]))
                memo[node] = torch.tanh(total if inputs is None else total + inputs[node])
        return memo[node]

    return torch.stack([value(v) for v in range(tree.num_nodes)])


def same(fast, slow, *wanted):
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-12)
    cotangent = torch.randn(slow.shape, dtype=slow.dtype, generator=torch.Generator().manual_seed(9))
    # + 0 * sum: a tensor that nothing depends on has a gradient of zeros
    tied = [out + 0 * sum(w.sum() for w in wanted) for out in (fast, slow)]
    grads = [torch.autograd.grad(out, wanted, cotangent, retain_graph=True) for out in tied]
    torch.testing.assert_close(*grads, rtol=0, atol=1e-12)


def test_three_nodes_by_hand():
    tree = Tree(torch.tensor([0, 2, 2, 2]), torch.tensor([2, 1]))  # node 0 has the children 2, 1
    leaves = torch.tensor([[1.0], [10.0]])  # of the nodes 1, 2
    assert fold_tree(torch.sub, leaves, tree).tolist() == [[9.0]]
    assert fold_tree(torch.sub, leaves, tree, return_all=True).tolist() == [[9.0], [1.0], [10.0]]
    assert unfold_tree(lambda h: 2 * h, torch.tensor([[3.0]]), tree).tolist() == [[3.0], [6.0], [6.0]]


@given(structures(dag=True))
def test_fold_equals_nested_calls_on_dags_of_any_arity(tree: Tree):
    leaves = leaves_for(tree)
    slow = nested(tree, leaves)
    same(fold_tree(Mean(), leaves, tree, return_all=True), slow, leaves)
    same(fold_tree(Mean(), leaves, tree), slow[tree.roots], leaves)


@given(structures(dag=True))
def test_fold_with_inputs_at_every_node(tree: Tree):
    inputs = torch.randn(tree.num_nodes, WIDTH, dtype=torch.float64, requires_grad=True)
    same(fold_tree(Mean(), None, tree, inputs, return_all=True), nested(tree, None, inputs), inputs)
    leaves = leaves_for(tree)
    same(fold_tree(Mean(), leaves, tree, inputs), nested(tree, leaves, inputs)[tree.roots], leaves, inputs)


@given(segments())
def test_binary_fold_equals_nested_calls(s: Segments):
    for build in (Tree.left_branching, Tree.right_branching, Tree.balanced, Tree.random):
        tree = build(s)
        leaves = leaves_for(tree)
        children, place = children_of(tree), {row: at for at, row in enumerate(tree.leaves.tolist())}

        def value(node: int):
            if node in place:  # noqa: B023
                return leaves[place[node]]  # noqa: B023
            return mix(*map(value, children[node]))  # noqa: B023

        rows = [value(root) for root in tree.roots.tolist()]
        same(fold_tree(mix, leaves, tree), torch.stack(rows) if rows else leaves[:0], leaves)


@given(structures())
def test_unfold_equals_walking_down(tree: Tree):
    roots = torch.randn(tree.roots.numel(), WIDTH, dtype=torch.float64, requires_grad=True)
    inputs = torch.randn(tree.num_nodes, WIDTH, dtype=torch.float64, requires_grad=True)
    parent, place = tree.parent.tolist(), {row: at for at, row in enumerate(tree.roots.tolist())}

    def value(node: int):
        return roots[place[node]] if node in place else torch.tanh(value(parent[node]) * 1.3 + inputs[node])

    slow = torch.stack([value(v) for v in range(tree.num_nodes)])
    cell = lambda h, x: torch.tanh(h * 1.3 + x)  # noqa: E731
    same(unfold_tree(cell, roots, tree, inputs), slow, roots, inputs)
    same(unfold_tree(cell, roots, tree, inputs, return_all=False), slow[tree.leaves], roots, inputs)


def test_unfold_of_a_dag_hands_over_all_parents():
    tree = Tree.from_edges(torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2]), 3)
    out = unfold_tree(Mean(), torch.ones(1, WIDTH, dtype=torch.float64), tree)
    one = torch.tensor(1.0, dtype=torch.float64).tanh()
    torch.testing.assert_close(out[:, 0], torch.stack([one / one, one, (1 + 2 * one).tanh()]))


@given(segments())
def test_fold_segments_pairs_neighbours(s: Segments):
    x = torch.randn(s.num_rows, WIDTH, dtype=torch.float64, requires_grad=True)
    identity = torch.randn(WIDTH, dtype=torch.float64, requires_grad=True)

    def value(rows):
        while len(rows) > 1:
            pairs = [mix(a, b) for a, b in zip(rows[0::2], rows[1::2])]
            rows = pairs + ([rows[-1]] if len(rows) % 2 else [])
        return rows[0] if rows else identity

    slow = torch.stack([value(list(part)) for part in x.split(s.lengths.tolist())])
    same(fold_segments(mix, x, s, identity), slow, x, identity)


@given(segments(), st.booleans())
def test_scan_equals_torch_cells_one_by_one(s: Segments, reverse: bool):
    cell = nn.LSTMCell(2, WIDTH).double()
    x = torch.randn(s.num_rows, 2, dtype=torch.float64, requires_grad=True)
    start = [torch.randn(s.num_segments, WIDTH, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    rows, last = [], []
    for part, h, c in zip(x.split(s.lengths.tolist()), *start):
        out = []
        for row in reversed(part) if reverse else part:
            h, c = cell(row, (h, c))
            out.append(h)
        rows += out[::-1] if reverse else out
        last.append(h)
    states, final = scan_segments(cell, x, s, tuple(start), reverse=reverse)
    same(states[0], torch.stack(rows) if rows else x.new_zeros(0, WIDTH), x, *start, *cell.parameters())
    same(final[0], torch.stack(last), x, *start, *cell.parameters())


@pytest.mark.parametrize("kind", [nn.GRUCell, nn.LSTMCell])
def test_torchs_cells_called_step_by_step_or_all_at_once(kind):
    """A hook asks for the calls; without one the same comes from the packed form."""
    s, cell = Segments.from_lengths(torch.tensor([3, 0, 4, 1])), kind(2, WIDTH, bias=kind is nn.GRUCell).double()
    x, calls = torch.randn(8, 2, dtype=torch.float64, requires_grad=True), []
    packed = scan_segments(cell, x, s)
    cell.register_forward_hook(lambda *_: calls.append(1))
    for one, other in zip(packed, scan_segments(cell, x, s), strict=True):
        first = (one, other) if kind is nn.GRUCell else (one[0], other[0])
        same(*first, x, *cell.parameters())
    assert len(calls) == 4


def test_scan_without_state_starts_from_zero_and_empty_segments_stay_there():
    cell, s = nn.GRUCell(2, WIDTH), Segments.from_lengths(torch.tensor([0, 2, 1]))
    x = torch.randn(3, 2)
    states, final = scan_segments(cell, x, s)
    again, _ = scan_segments(cell, x, s, torch.zeros(3, WIDTH))
    torch.testing.assert_close(states, again)
    assert final[0].abs().sum() == 0 and torch.equal(final[1], states[1]) and torch.equal(final[2], states[2])


def test_a_chain_of_10000_is_linear_in_memory_and_exact():
    tree = Tree.left_branching(Segments.from_lengths(torch.tensor([10_000])))
    x = torch.randn(10_000, 2, dtype=torch.float64, requires_grad=True)
    h = fold_tree(lambda a, b: 0.5 * a + b, x, tree)
    h.sum().backward()
    weights = 0.5 ** torch.arange(9_999, -1, -1, dtype=torch.float64)
    weights[0] *= 2
    weights = torch.cat([weights[:1] / 2, weights[1:]])
    torch.testing.assert_close(x.grad[:, 0], weights, rtol=1e-12, atol=0)
    torch.testing.assert_close(h[0], (weights[:, None] * x).sum(0), rtol=1e-12, atol=1e-12)


def test_empty_trees_and_batches():
    none = Segments.from_lengths(torch.tensor([0, 0]))
    tree = Tree.left_branching(none)
    assert fold_tree(mix, torch.empty(0, WIDTH), tree).shape == (0, WIDTH)
    assert unfold_tree(mix, torch.empty(0, WIDTH), tree).shape == (0, WIDTH)
    assert fold_segments(mix, torch.empty(0, WIDTH), none, torch.ones(WIDTH)).tolist() == [[1.0] * WIDTH] * 2


@pytest.mark.parametrize("hooked", [False, True])
def test_a_list_is_a_state_and_a_pointer_is_segments(hooked):
    cell, x, ptr = nn.LSTMCell(2, WIDTH), torch.randn(4, 2), torch.tensor([0, 1, 4])
    start = [torch.randn(2, WIDTH), torch.randn(2, WIDTH)]
    if hooked:
        cell.register_forward_hook(lambda *_: None)
    states, last = scan_segments(cell, x, ptr, start)
    wanted, final = scan_segments(cell, x, Segments(ptr), tuple(start))
    for one, other in zip((*states, *last), (*wanted, *final), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    again = fold_segments(mix, x, ptr.int())
    torch.testing.assert_close(again, fold_segments(mix, x, Segments(ptr)), rtol=0, atol=0)


def test_lists_of_tensors_in_every_driver():
    tree, x = Tree.left_branching(Segments.from_lengths([3])), [torch.randn(3, 1), torch.randn(3, 2)]
    pair = lambda a, b: tuple(mix(one, other) for one, other in zip(a, b))  # noqa: E731
    for one, other in zip(fold_tree(pair, x, tree), fold_tree(pair, tuple(x), tree), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    down = unfold_tree(lambda h: h, [part[:1] for part in x], tree)
    assert [tuple(part.shape) for part in down] == [(5, 1), (5, 2)]
    ends = fold_segments(pair, x, torch.tensor([0, 3, 3]), [torch.zeros(1), torch.ones(1, 2)])
    assert ends[0][1].tolist() == [0.0] and ends[1][1].tolist() == [1.0, 1.0]


GAP = torch.tensor([0, 0, 1])
TREE = Tree.balanced(Segments.from_lengths(torch.tensor([3])))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: fold_tree(mix, torch.zeros(2, WIDTH), TREE), "expected 3 leaf rows"),
        (lambda: fold_tree(mix, None, TREE), "states of the leaves"),
        (lambda: fold_tree(mix, torch.zeros(3, WIDTH), TREE, torch.zeros(4, WIDTH)), "5 input rows, one per node"),
        (lambda: unfold_tree(mix, torch.zeros(2, WIDTH), TREE), "1 root rows"),
        (lambda: fold_segments(mix, torch.zeros(2, WIDTH), Segments(torch.tensor([0, 3]))), "expected 3 rows"),
        (lambda: fold_segments(mix, torch.zeros(1, 1), Segments(torch.tensor([0, 0, 1]))), "segment 0 without rows"),
        (lambda: fold_segments(mix, torch.zeros(1, 2), GAP, torch.zeros(3)), "sizes [2], as one row of x; got [3]"),
        (lambda: fold_segments(mix, (torch.zeros(1, 2),) * 2, GAP, torch.zeros(2)), "sizes [2, 2], as one"),
        (lambda: fold_segments(mix, torch.zeros(1, 2), [0, 0, 1]), "ptr as a torch.Tensor"),
        (lambda: fold_segments(mix, torch.zeros(2, 2), GAP), "expected 1 rows"),
        (lambda: scan_segments(mix, torch.zeros(0, 1), Segments(torch.tensor([0, 0]))), "an initial state"),
        (lambda: scan_segments(mix, torch.zeros(3, 1), Segments(torch.tensor([0, 3])), torch.zeros(2, 1)), "1 rows of"),
        (lambda: fold_tree(mix, (torch.zeros(3, 1), torch.zeros(2, 1)), TREE), "equally many rows; got 3 and 2"),
        (lambda: fold_tree(mix, torch.zeros(3, 1, device="meta"), TREE), "on one device, meta"),
        (lambda: fold_tree(lambda a, b: a[:0], torch.zeros(3, 1), TREE), "one row per node from the cell, 1"),
        (
            lambda: fold_tree(mix, torch.zeros(3, 1), Tree.from_parents(torch.tensor([0, 0, 0, 0]))),
            "2 children at every inner node; got 3 at node 0",
        ),
    ],
)
def test_bad_calls_say_expected_got_try(call, words):
    with pytest.raises(StructureError) as error:
        call()
    assert words in str(error.value) and "; try " in str(error.value)
