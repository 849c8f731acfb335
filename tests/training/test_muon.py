"""Muon against its equations with singular values in the open, and AdamW for everything else."""

import pytest
import torch
from torch import nn

from structnet.errors import StructureError
from structnet.training.muon import Muon, orthogonal
from tests.training.toy import trainer


@pytest.mark.parametrize("shape", [(16, 16), (16, 48), (48, 20), (3, 24, 17)])
def test_orthogonal_moves_singular_values_and_keeps_their_vectors(shape):
    """p, five times, on the singular values of x divided by its norm."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    s = s / s.square().sum(-1, keepdim=True).sqrt()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    torch.testing.assert_close(orthogonal(x), u * s[..., None, :] @ v, rtol=0, atol=1e-5)  # 1e-7 added to the norm
    assert s.min() > 0.6 and s.max() < 1.3
    assert not orthogonal(torch.zeros(shape)).any()


class Parts(nn.Module):
    """A matrix, two side by side, and what is none: a table, a narrow map, biases."""

    def __init__(self):
        super().__init__()
        self.table, self.wide, self.narrow = nn.Embedding(20, 16), nn.Linear(16, 40), nn.Linear(40, 3)
        self.stack = nn.Parameter(torch.randn(2, 16, 16))

    def forward(self, rows):
        x = self.table(rows)
        return self.narrow(self.wide(x @ self.stack.sum(0)))


def train(make, updates=range(4), model=None, state=None):
    torch.manual_seed(0)
    model = model or Parts()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer, grads = make(model), []
    if state is not None:
        optimizer.load_state_dict(state)
    for at in updates:
        optimizer.zero_grad()
        model(torch.arange(at, at + 5)).sin().sum().backward()
        grads.append({name: p.grad.clone() for name, p in model.named_parameters()})
        optimizer.step()
    return model, before, grads, optimizer


def test_a_matrix_follows_the_equations_step_by_step():
    model, before, grads, _ = train(lambda m: Muon(m, lr=1e-2, weight_decay=0.1))
    for name, size in (("wide.weight", 40), ("stack", 16)):
        w, b = before[name], torch.zeros_like(before[name])
        for grad in grads:
            b = 0.95 * b + grad[name]
            w = (1 - 1e-2 * 0.1) * w - 0.2 * size**0.5 * 1e-2 * orthogonal(grad[name] + 0.95 * b)
        torch.testing.assert_close(dict(model.named_parameters())[name].detach(), w, rtol=0, atol=1e-6)


def test_everything_else_is_adamw():
    model, before, grads, _ = train(lambda m: Muon(m, lr=1e-2, weight_decay=0.1))
    rest = {"table.weight", "wide.bias", "narrow.weight", "narrow.bias"}
    alone = {name: before[name].clone().requires_grad_() for name in rest}
    optimizer = torch.optim.AdamW(alone.values(), 1e-2, weight_decay=0.1)
    for grad in grads:
        for name, p in alone.items():
            p.grad = grad[name]
        optimizer.step()
    for name in rest:
        assert torch.equal(dict(model.named_parameters())[name], alone[name]), name


def test_a_parameter_without_gradient_stays():
    model = Parts()
    still = model.stack.detach().clone()
    optimizer = Muon(model, lr=1.0, weight_decay=0.5)
    model.wide(model.table(torch.arange(3))).sum().backward()
    optimizer.step()
    assert torch.equal(model.stack, still)


def test_the_momentum_is_part_of_the_saved_state():
    make = lambda model: Muon(model, lr=1e-2)  # noqa: E731
    whole = train(make)[0]
    model, _, _, optimizer = train(make, updates=range(2))
    resumed = train(make, updates=range(2, 4), model=model, state=optimizer.state_dict())[0]
    for one, other in zip(whole.parameters(), resumed.parameters()):
        assert torch.equal(one, other)


def test_the_recipe_takes_it_by_name(tmp_path):
    assert type(trainer(tmp_path / "a").optimizer) is torch.optim.AdamW
    assert type(trainer(tmp_path / "b", optimizer="muon").optimizer) is Muon
    with pytest.raises(StructureError, match="adamw, muon"):
        trainer(tmp_path / "c", optimizer="sgd")
