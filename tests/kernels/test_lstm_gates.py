"""lstm_gates: every form against the loops, gradients of first and second order, one graph under torch.compile."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from structnet.errors import StructureError
from structnet.kernels.lstm_gates import lstm_gates, reference, torch_form


def draw(rows, width, peephole=True, dtype=torch.float64, grad=False):
    generator = torch.Generator().manual_seed(rows + width)
    shapes = [(rows, 4 * width), (rows, width), *([(3, width)] if peephole else [])]
    return [(2 * torch.randn(shape, generator=generator, dtype=dtype)).requires_grad_(grad) for shape in shapes]


@pytest.mark.parametrize("peephole", [False, True])
@pytest.mark.parametrize(("rows", "width"), [(0, 3), (1, 1), (3, 5), (65, 32), (600, 3)])
@pytest.mark.parametrize("form", [lstm_gates, torch_form.lstm_gates])
def test_the_loops(form, rows, width, peephole):
    given = draw(rows, width, peephole)
    for one, other in zip(form(*given), reference.lstm_gates(*given)):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


@pytest.mark.parametrize("peephole", [False, True])
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (300, 3), (520, 33)])
def test_gradients_are_those_of_torch(rows, width, peephole):
    given = draw(rows, width, peephole, grad=True)
    generator = torch.Generator().manual_seed(1)
    cotangents = [torch.randn(rows, width, generator=generator, dtype=torch.float64) for _ in range(2)]
    ours = torch.autograd.grad(lstm_gates(*given), given, cotangents)
    theirs = torch.autograd.grad(torch_form.lstm_gates(*given), given, cotangents)
    for one, other in zip(ours, theirs):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


def test_both_orders_of_gradients():
    given = draw(3, 2, grad=True)
    assert gradcheck(lstm_gates, given) and gradgradcheck(lstm_gates, given)


def test_by_hand():
    h, c = lstm_gates(torch.zeros(1, 4), torch.tensor([[2.0]]), torch.zeros(3, 1))
    assert c.item() == 1.0 and h.item() == pytest.approx(0.5 * torch.tensor(1.0).tanh().item())
    h, c = lstm_gates(torch.zeros(1, 4), torch.tensor([[2.0]]), torch.tensor([[0.0], [50.0], [50.0]]))
    assert c.item() == 2.0 and h.item() == pytest.approx(torch.tensor(2.0).tanh().item())


def test_float32_and_more_dimensions():
    gates, c, peephole = draw(12, 4, dtype=torch.float32)
    whole = lstm_gates(gates, c, peephole)
    shaped = lstm_gates(gates.view(3, 4, 16), c.view(3, 4, 4), peephole)
    assert all(torch.equal(a.view_as(b), b) for a, b in zip(whole, shaped))
    for one, other in zip(whole, torch_form.lstm_gates(gates, c, peephole)):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_torch_library_and_compile():
    given = draw(5, 3, grad=True)
    opcheck(torch.ops.structnet.lstm_gates.default, tuple(given))
    compiled = torch.compile(lstm_gates, fullgraph=True, backend="aot_eager")
    assert all(torch.equal(a, b) for a, b in zip(compiled(*given), lstm_gates(*given)))


def test_messages():
    gates, c, peephole = draw(4, 3)
    for wrong in ((gates[:, 1:], c, None), (gates, c, peephole[:2]), (gates[:3], c, peephole)):
        with pytest.raises(StructureError, match=r"gates \[..., 4 D\]"):
            lstm_gates(*wrong)


def test_gates_of_another_type():
    """Under autocast the products are narrower than the cell; each gradient has the type of its input."""
    gates, c, peephole = draw(5, 3, dtype=torch.float32, grad=True)
    narrow = gates.detach().bfloat16().requires_grad_()
    exact = torch.autograd.grad(sum(lstm_gates(narrow.float(), c, peephole)).sum(), (narrow, c, peephole))
    mixed = torch.autograd.grad(sum(lstm_gates(narrow, c, peephole)).sum(), (narrow, c, peephole))
    for one, other, t in zip(mixed, exact, (narrow, c, peephole)):
        assert one.dtype == t.dtype
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)


def test_a_peephole_of_another_type():
    gates, c, peephole = draw(5, 3, dtype=torch.float32, grad=True)
    wide = peephole.detach().double().requires_grad_()
    exact = torch.autograd.grad(sum(lstm_gates(gates, c, peephole)).sum(), (gates, c, peephole))
    mixed = torch.autograd.grad(sum(lstm_gates(gates, c, wide)).sum(), (gates, c, wide))
    for one, other in zip(mixed, exact):
        torch.testing.assert_close(one, other.to(one.dtype), rtol=1e-5, atol=1e-5)
