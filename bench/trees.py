"""Tree-LSTM on given trees: 256 trees of 50 leaves, width 128, forward and backward, one thread."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.registry import Case, measure
from structnet.cells import BinaryTreeLSTM, ChildSumTreeLSTM
from structnet.recursion import fold_tree
from structnet.structures import Segments, Tree

WIDTH, TREES, LEAVES = 128, 256, 50
TESTS = "tests/test_recursion.py tests/cells"


def recursion(cell: BinaryTreeLSTM, x: Tensor, tree: Tree) -> Tensor:
    """Plain recursion, one node at a time: what most tree code in the wild does."""
    h = torch.empty(0)
    roots = []
    children = tree.child_index.view(-1, 2).tolist()
    inner = {int(v): at for at, v in enumerate((tree.arity == 2).nonzero().flatten().tolist())}
    leaf = {int(v): at for at, v in enumerate(tree.leaves.tolist())}

    def value(node: int):
        if node in leaf:
            row = x[leaf[node]].unsqueeze(0)
            return row, row
        left, right = children[inner[node]]
        return cell(value(left), value(right))

    for root in tree.roots.tolist():
        h, _ = value(root)
        roots.append(h)
    return torch.cat(roots)


class HandBatched(nn.Module):
    """A straightforward level batching: a full-size buffer, masks by level, one index_put per level."""

    def __init__(self, cell: BinaryTreeLSTM):
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, tree: Tree) -> Tensor:
        height = torch.from_numpy(tree.heights)
        left = torch.zeros(tree.num_nodes, dtype=torch.int64)
        right = torch.zeros(tree.num_nodes, dtype=torch.int64)
        inner = (tree.arity == 2).nonzero().flatten()
        left[inner], right[inner] = tree.child_index.view(-1, 2).t()
        h = x.new_zeros(tree.num_nodes, WIDTH).index_copy(0, tree.leaves, x)
        c = h
        for level in range(1, int(height.max()) + 1):
            nodes = (height == level).nonzero().flatten()
            one, other = left[nodes], right[nodes]
            new_h, new_c = self.cell((h[one], c[one]), (h[other], c[other]))
            h, c = h.index_copy(0, nodes, new_h), c.index_copy(0, nodes, new_c)
        return h[tree.roots]


def products(tree: Tree) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The matrix products of a step and nothing else: the floor of any level schedule."""
    sizes = torch.bincount(torch.from_numpy(tree.heights))[1:].tolist()
    weight = torch.randn(5 * WIDTH, 2 * WIDTH)
    return [(torch.randn(n, 2 * WIDTH), weight, torch.randn(n, 5 * WIDTH)) for n in sizes]


def step(forward, cell: nn.Module, x: Tensor) -> Tensor:
    cell.zero_grad()
    x.grad = None
    out = forward()
    out.sum().backward()
    return out


def binary(tree: Tree, note: str) -> Case:
    cell, x = BinaryTreeLSTM(WIDTH), torch.randn(TREES * LEAVES, WIDTH, requires_grad=True)
    batched, floor = HandBatched(cell), products(tree)

    def ours() -> Tensor:
        fresh = Tree.trusted(tree.child_ptr, tree.child_index, tree.ptr)  # the schedule is part of the step
        return step(lambda: fold_tree(cell, (x, x), fresh)[0], cell, x)

    def multiply() -> None:
        for a, w, g in floor:
            _, _, _ = a @ w.t(), g @ w, g.t() @ a

    forms = {
        "structnet fold_tree": ours,
        "hand-batched levels": lambda: step(lambda: batched(x, tree), cell, x),
        "recursion, node by node": lambda: step(lambda: recursion(cell, x, tree), cell, x),
        "the matrix products alone": multiply,
    }

    def check() -> None:
        results = [(form(), x.grad.clone()) for form in list(forms.values())[:3]]  # type: ignore[union-attr]
        for out, grad in results[1:]:
            torch.testing.assert_close(out, results[0][0], rtol=0, atol=1e-5)
            torch.testing.assert_close(grad, results[0][1], rtol=0, atol=1e-4)

    return Case(forms, check, items=TREES, note=note)


@measure("trees/binary-tree-lstm-random-split", TESTS, repeats=5)
def random_split() -> Case:
    tree = Tree.random(Segments.from_lengths(torch.full((TREES,), LEAVES)), torch.Generator().manual_seed(0))
    return binary(tree, f"256 trees x 50 leaves, width 128, height {int(tree.heights.max())}, forward + backward")


@measure("trees/child-sum-tree-lstm", TESTS, repeats=5)
def child_sum() -> Case:
    """Against pytorch-tree-lstm (child-sum only), where it is installed; the same weights in both."""
    tree = Tree.random(Segments.from_lengths(torch.full((TREES,), LEAVES)), torch.Generator().manual_seed(0))
    cell = ChildSumTreeLSTM(WIDTH, WIDTH, forget_bias=0.0)
    x = torch.randn(tree.num_nodes, WIDTH, requires_grad=True)

    def ours() -> Tensor:
        fresh = Tree.trusted(tree.child_ptr, tree.child_index, tree.ptr)
        return step(lambda: fold_tree(cell, None, fresh, inputs=x, return_all=True)[0], cell, x)

    forms = {"structnet fold_tree": ours}
    try:
        import treelstm
    except ImportError:
        return Case(forms, lambda: None, items=TREES, note="pytorch-tree-lstm is not installed")
    peer = treelstm.TreeLSTM(WIDTH, WIDTH)
    with torch.no_grad():
        peer.W_iou.weight.copy_(cell.gates.weight[:, WIDTH:])
        peer.U_iou.weight.copy_(cell.gates.weight[:, :WIDTH])
        peer.W_iou.bias.copy_(cell.gates.bias)
        peer.W_f.weight.copy_(cell.forget_input.weight)  # type: ignore[union-attr]
        peer.U_f.weight.copy_(cell.forget.weight)
        peer.W_f.bias.copy_(cell.forget.bias)
    edges = torch.stack([tree.source, tree.child_index], 1)
    orders = [torch.from_numpy(a) for a in treelstm.calculate_evaluation_orders(edges.numpy(), tree.num_nodes)]
    forms["pytorch-tree-lstm"] = lambda: step(lambda: peer(x, orders[0], edges, orders[1])[0], peer, x)

    def check() -> None:
        one, other = forms["structnet fold_tree"](), forms["pytorch-tree-lstm"]()
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)

    return Case(forms, check, items=TREES, note="256 trees x 50 leaves, width 128, input at every node")
