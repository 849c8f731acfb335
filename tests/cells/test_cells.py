"""Each cell against a literal re-statement of its equations, outputs and every gradient."""

import pytest
import torch
from torch import nn

from structnet.cells import (
    BinaryTreeLSTM,
    ChildSumTreeLSTM,
    GatedRecursiveCell,
    NaryTreeLSTM,
    NeuralTensorCell,
)
from structnet.errors import StructureError
from structnet.structures import Segments

D = 5
sigmoid = torch.sigmoid


def check(fast, slow, module: nn.Module, *inputs: torch.Tensor) -> None:
    wanted = [*module.parameters(), *inputs]
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-12)
    outs = [o if isinstance(o, tuple) else (o,) for o in (fast, slow)]
    totals = [sum((o.sin() * (1 + k)).sum() for k, o in enumerate(out)) for out in outs]
    torch.testing.assert_close(*[torch.autograd.grad(t, wanted, retain_graph=True) for t in totals], rtol=0, atol=1e-12)


def states(count: int, width: int = D) -> torch.Tensor:
    return torch.randn(count, width, dtype=torch.float64, requires_grad=True)


def test_grc_row_by_row():
    cell, left, right = GatedRecursiveCell(D).double(), states(4), states(4)
    rows = []
    for l, r in zip(left, right):
        u = nn.functional.gelu(cell.inner.weight @ torch.cat([l, r]) + cell.inner.bias)
        z = cell.outer.weight @ u + cell.outer.bias
        z1, z2, z3, h = z[:D], z[D : 2 * D], z[2 * D : 3 * D], z[3 * D :]
        p = sigmoid(z1) * l + sigmoid(z2) * r + sigmoid(z3) * h
        p = (p - p.mean()) / (p.var(unbiased=False) + 1e-5).sqrt()
        rows.append(p * cell.norm.weight + cell.norm.bias)
    check(cell(left, right), torch.stack(rows), cell, left, right)


def test_grc_parameters_of_the_paper_and_dropout_only_in_training():
    cell = GatedRecursiveCell(128, dropout=0.5)
    assert sum(p.numel() for p in cell.parameters()) == 2 * 128 * 512 + 512 + 512 * 512 + 512 + 256
    x = torch.randn(2, 128)
    assert not torch.equal(cell(x, x), cell(x, x))
    cell.eval()
    assert torch.equal(cell(x, x), cell(x, x))


def test_binary_tree_lstm_row_by_row():
    cell = BinaryTreeLSTM(D, forget_bias=0.7).double()
    hl, cl, hr, cr = (states(3) for _ in range(4))
    rows = []
    for a, b, c, d in zip(hl, cl, hr, cr):
        i, o, u, fl, fr = (cell.gates.weight @ torch.cat([a, c]) + cell.gates.bias).split(D)
        new = sigmoid(i) * torch.tanh(u) + sigmoid(fl + 0.7) * b + sigmoid(fr + 0.7) * d
        rows.append((sigmoid(o) * torch.tanh(new), new))
    slow = tuple(torch.stack(part) for part in zip(*rows))
    check(cell((hl, cl), (hr, cr)), slow, cell, hl, cl, hr, cr)


@pytest.mark.parametrize("kind", [NaryTreeLSTM, ChildSumTreeLSTM])
def test_ragged_tree_lstm_node_by_node(kind):
    lengths = [2, 0, 3, 1]
    cell = (NaryTreeLSTM(D, 3, 4) if kind is NaryTreeLSTM else ChildSumTreeLSTM(D, 4)).double()
    h, c, x = states(6), states(6), states(4, 4)
    rows = []
    for hk, ck, xv in zip(h.split(lengths), c.split(lengths), x):
        if kind is NaryTreeLSTM:
            slots = list(hk) + [torch.zeros(D, dtype=torch.float64)] * (3 - len(hk))
            i, o, u, *f = (cell.gates.weight @ torch.cat([*slots, xv]) + cell.gates.bias).split(D)
        else:
            total = hk.sum(0)
            i, o, u = (cell.gates.weight @ torch.cat([total, xv]) + cell.gates.bias).split(D)
            f = [cell.forget.weight @ k + cell.forget.bias + cell.forget_input.weight @ xv for k in hk]
        new = sigmoid(i) * torch.tanh(u) + sum(sigmoid(fk + 1.0) * k for fk, k in zip(f, ck))
        rows.append((sigmoid(o) * torch.tanh(new), new))
    slow = tuple(torch.stack(part) for part in zip(*rows))
    check(cell((h, c), Segments.from_lengths(torch.tensor(lengths)), x=x), slow, cell, h, c, x)


def test_child_sum_ignores_the_order_and_nary_does_not():
    h, c = states(3), states(3)
    s, flip = Segments(torch.tensor([0, 3])), torch.tensor([2, 0, 1])
    for cell, equal in ((ChildSumTreeLSTM(D), True), (NaryTreeLSTM(D, 3), False)):
        cell.double()
        assert torch.allclose(cell((h, c), s)[0], cell((h[flip], c[flip]), s)[0], atol=1e-14) is equal


def test_nary_refuses_more_children_than_slots():
    with pytest.raises(StructureError, match="at most 2 children; got 3"):
        NaryTreeLSTM(D, 2)((torch.zeros(3, D), torch.zeros(3, D)), Segments(torch.tensor([0, 3])))


@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize("affine", [False, True])
def test_neural_tensor_is_the_contraction(rank, affine):
    cell = NeuralTensorCell(D, rank, affine, activation=torch.tanh if affine else None).double()
    left, right = states(4), states(4)
    tensor = cell.tensor if rank is None else torch.einsum("rl,rm,ro->olm", *cell.tensor)
    slow = torch.stack([
        torch.stack([sum(tensor[o, i, j] * l[i] * r[j] for i in range(D) for j in range(D)) for o in range(D)])
        for l, r in zip(left, right)
    ])
    if affine:
        slow = torch.tanh(slow + torch.cat([left, right], -1) @ cell.affine.weight.t() + cell.affine.bias)
    check(cell(left, right), slow, cell, left, right)
    if not affine:  # multilinear in each argument
        torch.testing.assert_close(cell(2 * left, right), 2 * cell(left, right))
        assert cell(left, 0 * right).abs().max() == 0
