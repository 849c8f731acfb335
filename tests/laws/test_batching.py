"""The batching law: a sample gives the same output alone and inside any batch (float64, 1e-12)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from structnet.cells import (
    BinaryTreeLSTM,
    ChildSumTreeLSTM,
    GatedRecursiveCell,
    NaryTreeLSTM,
    NeuralTensorCell,
)
from structnet.models import TreeClassifier
from structnet.recursion import fold_segments, fold_tree, scan_segments, unfold_tree
from structnet.structures import Segments, Tree
from tests.strategies import filled_lengths, structures

WIDTH = 4
torch.manual_seed(0)
BINARY = [GatedRecursiveCell(WIDTH).double(), BinaryTreeLSTM(WIDTH).double(), NeuralTensorCell(WIDTH).double()]
ANY = [ChildSumTreeLSTM(WIDTH, WIDTH).double(), NaryTreeLSTM(WIDTH, 11, WIDTH).double()]


def rows(count: int) -> torch.Tensor:
    return torch.randn(count, WIDTH, dtype=torch.float64)


def value(state) -> torch.Tensor:
    return state[0] if isinstance(state, tuple) else state


def agree(batched, alone) -> None:
    torch.testing.assert_close(batched, torch.cat(alone), rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", BINARY, ids=lambda c: type(c).__name__)
@given(lengths=filled_lengths)
def test_fold_tree_and_fold_segments(cell, lengths):
    s, x = Segments.from_lengths(torch.tensor(lengths)), rows(sum(lengths))
    start = (lambda x: (x, x)) if isinstance(cell, BinaryTreeLSTM) else (lambda x: x)
    tree = Tree.random(s)
    parts = list(zip(x.split(lengths), tree.unbatch()))
    agree(value(fold_tree(cell, start(x), tree)), [value(fold_tree(cell, start(p), t)) for p, t in parts])
    one = [value(fold_segments(cell, start(p), Segments(torch.tensor([0, len(p)])))) for p, _ in parts]
    agree(value(fold_segments(cell, start(x), s)), one)


@pytest.mark.parametrize("cell", ANY, ids=lambda c: type(c).__name__)
@given(trees=st.lists(structures(), min_size=1, max_size=4))
def test_cells_of_any_arity(cell, trees):
    inputs = [rows(tree.num_nodes) for tree in trees]
    both = value(fold_tree(cell, None, Tree.batch(trees), torch.cat(inputs), return_all=True))
    agree(both, [value(fold_tree(cell, None, t, x, return_all=True)) for t, x in zip(trees, inputs)])


@given(trees=st.lists(structures(), min_size=1, max_size=4))
def test_unfold_tree(trees):
    cell = nn.Linear(WIDTH, WIDTH).double()
    cell.arity = 1
    roots = [rows(tree.roots.numel()) for tree in trees]
    alone = [unfold_tree(cell, r, t) for t, r in zip(trees, roots)]
    agree(unfold_tree(cell, torch.cat(roots), Tree.batch(trees)), alone)


@given(lengths=filled_lengths, reverse=st.booleans())
def test_scan_segments(lengths, reverse):
    cell, s, x = nn.GRUCell(WIDTH, WIDTH).double(), Segments.from_lengths(torch.tensor(lengths)), rows(sum(lengths))
    states, final = scan_segments(cell, x, s, reverse=reverse)
    one = [scan_segments(cell, p, Segments(torch.tensor([0, len(p)])), reverse=reverse) for p in x.split(lengths)]
    agree(states, [a for a, _ in one])
    agree(final, [b for _, b in one])


@pytest.mark.parametrize("builder", ["gold", "left", "balanced", "random"])
@given(lengths=filled_lengths)
def test_tree_classifier(builder, lengths):
    model = TreeClassifier(width=8, builder=builder).double().eval()
    s = Segments.from_lengths(torch.tensor(lengths))
    tokens, tree = torch.randint(0, 15, (sum(lengths),)), Tree.right_branching(s)
    parts = zip(tokens.split(lengths), tree.unbatch())
    agree(model(tokens, s, tree), [model(p, Segments(torch.tensor([0, len(p)])), t) for p, t in parts])
