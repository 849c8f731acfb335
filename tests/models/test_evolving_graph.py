"""The graph between series: its laws, the batch form against the steps, and oscillators with a known graph."""

import pytest
import torch

from examples.coupled_oscillators import auc
from structnet.datasets.temporal import oscillators
from structnet.errors import StructureError
from structnet.models.evolving_graph import EvolvingGraph
from structnet.unroll import unroll_snapshots


def build(forget=0.9, channels=2):
    torch.manual_seed(0)
    return EvolvingGraph(channels, 8, forget=forget).double()


def series(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def close(one, other, atol=1e-9):
    torch.testing.assert_close(one, other, rtol=0, atol=atol)


def test_the_regression_written_out():
    """A_t[i] minimises the faded squared error: its gradient there is zero; the forecast follows."""
    model, x = build(), series(6, 4, 2)
    out, state = unroll_snapshots(model, x.unbind(0))
    keep, weights = float(model.memory.detach().sigmoid()), model._weights(state).detach().requires_grad_()
    total = model.ridge * weights.square().sum()
    for t in range(5):
        said = (weights.unsqueeze(-1) * model.messages(x[t])).sum(-2)
        total = total + keep ** (4 - t) * (x[t + 1] - x[t] - said).square().sum()
    (grad,) = torch.autograd.grad(total, weights)
    close(grad, torch.zeros_like(grad))
    close(out[-1], x[-1] + (weights.unsqueeze(-1) * model.messages(x[-1])).sum(-2))
    close(model.graph(state), weights[:, :4])


def test_messages_by_hand():
    model, x = build(), series(3, 2)
    messages = model.messages(x)
    view = model.pair(x[1]).view(2, 2)
    close(messages[1, 2], view @ x[2])
    close(messages[1, 1], model.alone(x[1])[:2])
    close(messages[1, 3], model.alone(x[1])[2:])


def test_the_whole_series_at_once():
    model, x = build(forget=1.0), series(3, 20, 4, 2)
    _, state = unroll_snapshots(model, x.unbind(1))
    graph, error = model.fit(x)
    close(graph, model.graph(state), 1e-8)
    assert 0 < error.item() < float(x.diff(dim=1).square().mean())


def test_batching_law_order_of_nodes_and_streams():
    model, x = build(), series(3, 7, 4, 2)
    together, state = unroll_snapshots(model, x.unbind(1))
    for b in range(3):
        alone, _ = unroll_snapshots(model, x[b].unbind(0))
        close(torch.stack(together, 1)[b], torch.stack(alone), 1e-12)
    first, middle = unroll_snapshots(model, x[:, :3].unbind(1))
    rest, _ = unroll_snapshots(model, x[:, 3:].unbind(1), middle)
    close(torch.stack(first + rest), torch.stack(together), 1e-12)
    order = torch.tensor([2, 0, 3, 1])
    moved, other = unroll_snapshots(model, x[:, :, order].unbind(1))
    close(torch.stack(moved), torch.stack(together)[:, :, order])
    close(model.graph(other), model.graph(state)[:, order][:, :, order])
    assert not list(model.buffers())


def test_gradients_reach_everything():
    model, x = build(), series(5, 3, 2)
    out, _ = unroll_snapshots(model, x.unbind(0))
    torch.stack(out[:-1]).sub(x[1:]).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in model.parameters())


def test_edges_of_coupled_oscillators_are_found():
    """Trained on other graphs for some seconds: AUC above 0.9 on graphs never seen, where correlation stays at 0.6."""
    torch.manual_seed(0)
    phases, _ = oscillators(24, steps=150, noise=0.05, seed=0)
    model = EvolvingGraph(2, 48, forget=1.0, ridge=1e-3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        _, error = model.fit(phases[torch.randperm(24)[:4]])
        optimizer.zero_grad()
        error.log().backward()
        optimizer.step()
    seen, graphs = oscillators(8, steps=200, noise=0.05, seed=1)
    with torch.no_grad():
        _, state = unroll_snapshots(model, seen.unbind(1))
    assert auc(model.graph(state), graphs[:, 0]) > 0.9
    centred = seen - seen.mean(1, keepdim=True)
    assert auc(torch.einsum("stic,stjc->sij", centred, centred), graphs[:, 0]) < 0.7


def test_messages_of_errors():
    with pytest.raises(StructureError, match="0 < forget <= 1"):
        EvolvingGraph(2, forget=0.0)
    model = build()
    _, state = model(series(4, 2))
    with pytest.raises(StructureError, match=r"\(4, 2\); got \(3, 2\)"):
        model(series(3, 2), state)
