"""Losses that an aggregation can be asked for, by hand."""

import pytest
import torch

from structnet.aggr import collect_losses
from structnet.aggr.lcm import triples
from structnet.aggr.plan import fold_plan
from structnet.errors import StructureError
from structnet.structures import Segments
from tests.aggr import literal
from tests.aggr.cases import WIDTH, build, sets


def test_associativity_and_identity_loss_by_hand():
    module, (x, index) = build("lcm"), sets([4, 3, 1])
    op, e = module.operator, module.identity
    rows = module.lin(x).relu()
    a, b, c, d, p, q, r, _ = rows
    ab, cd, pq = op(a, b), op(c, d), op(p, q)
    found = [op(a, op(b, c)) - op(ab, c), op(b, cd) - op(op(b, c), d), op(p, op(q, r)) - op(pq, r)]
    values = [*rows, ab, cd, pq, op(ab, cd), op(pq, r)]
    with collect_losses() as losses:
        module(x, index, dim_size=3)
    wanted = sum(f.square().sum() for f in found) / 3
    assert torch.allclose(losses.mean("associativity"), wanted, atol=1e-14)
    unit = sum((op(e, v) - v).square().sum() for v in values) / len(values)
    assert torch.allclose(losses.total(identity=2.0), 2 * unit, atol=1e-13)
    weights = list(module.parameters())
    loss = losses.total(associativity=1.0, identity=1.0)
    for mine, theirs in zip(torch.autograd.grad(loss, weights), torch.autograd.grad(wanted + unit, weights)):
        assert (mine - theirs).abs().max() <= 1e-10


def test_triples_of_a_random_tree_are_neighbours():
    plan = fold_plan(Segments.from_lengths([30]), 5)
    spans = {row: (row, row + 1) for row in range(30)}
    for step, (left, right) in enumerate(zip(plan.left.tolist(), plan.right.tolist())):
        spans[30 + step] = (spans[left][0], spans[right][1])
    for x, y, z in zip(*(t.tolist() for t in triples(plan))):
        assert spans[x][1] == spans[y][0] and spans[y][1] == spans[z][0]


def test_swap_loss_by_hand():
    module, (x, index) = build("gru"), sets([3, 1, 2])
    h0 = torch.zeros(WIDTH, dtype=torch.float64)

    def f(*rows):
        h = h0
        for row in rows:
            h = literal.gru(row, h, module.cell)
        return h

    a, b, c, _, p, q = x
    found = [f(a, b) - f(b, a), f(a, b, c) - f(a, c, b), f(p, q) - f(q, p)]
    with collect_losses() as losses:
        module(x, index, dim_size=3)
    assert torch.allclose(losses.mean("swap"), sum(d.square().sum() for d in found) / 3, atol=1e-14)
    with collect_losses() as losses:
        build("lstm")(x[:1])
    assert losses.mean("swap") == 0


def test_losses_are_nowhere_when_not_asked_for():
    with collect_losses() as losses:
        pass
    build("lcm")(sets([3])[0])
    assert not losses.values
    with pytest.raises(StructureError, match="associativity"):
        losses.total(associativity=1.0)
