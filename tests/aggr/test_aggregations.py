"""Laws and equations of every aggregator, in float64."""

from dataclasses import replace

import pytest
import torch
from torch_geometric.nn import aggr as pyg

from structnet.aggr import (
    FiniteMonoidAggregation,
    GRUAggregation,
    LCMAggregation,
    LSTMAggregation,
    ModularAggregation,
    PhaseAggregation,
    TopKAggregation,
    TopRowsAggregation,
)
from structnet.aggr.fold import fold
from structnet.aggr.groups import group
from structnet.aggr.plan import fold_plan
from structnet.cells.monoids import OPERATORS, symmetric_gru
from structnet.errors import StructureError
from structnet.structures import Segments
from tests.aggr import literal
from tests.aggr.cases import CASES, COMMUTATIVE, WIDTH, build, sets

LENGTHS = [0, 1, 2, 3, 0, 5, 8, 13, 1, 0]


def close(a, b, tolerance=1e-13):
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance)


everyone = pytest.mark.parametrize("name", CASES)


@everyone
def test_alone_as_in_a_hundred_batches(name):
    module = build(name)
    x, _ = sets([4])
    alone = module(x, torch.zeros(4, dtype=torch.long), dim_size=1)
    generator = torch.Generator().manual_seed(1)
    for trial in range(100):
        lengths = torch.randint(0, 30, (int(torch.randint(1, 12, (), generator=generator)),), generator=generator)
        others, index = sets(lengths.tolist(), seed=trial)
        order = torch.randperm(len(index) + 4, generator=generator)
        mine = (order >= len(index)).nonzero().flatten()  # the rows of a set keep their order
        order[mine] = torch.arange(len(index), len(index) + 4)
        rows, index = torch.cat([others, x])[order], torch.cat([index, torch.full((4,), len(lengths))])[order]
        out = module(rows, index, dim_size=len(lengths) + 3)
        assert (out[len(lengths)] - alone[0]).abs().max() <= 1e-12


@everyone
def test_equations_and_all_gradients(name):
    module, (x, index) = build(name), sets(LENGTHS)
    x.requires_grad_()
    wanted = torch.stack([CASES[name][1](module, list(x[index == s])) for s in range(len(LENGTHS))])
    got = module(x, index, dim_size=len(LENGTHS))
    assert (got - wanted).abs().max() <= 1e-12
    cotangent = torch.randn_like(got)
    inputs = [x, *module.parameters()]
    for mine, theirs in zip(*(torch.autograd.grad(out, inputs, cotangent) for out in (got, wanted))):
        assert (mine - theirs).abs().max() <= 1e-10


def test_levels_in_pieces(monkeypatch):
    monkeypatch.setattr("structnet.aggr.plan.PIECE", 3)
    test_equations_and_all_gradients("lcm")


@everyone
def test_call_in_every_form(name):
    module, (x, index) = build(name), sets(LENGTHS)
    size, ptr = len(LENGTHS), Segments.from_lengths(LENGTHS).ptr
    wanted = module(x, index, dim_size=size)
    assert close(module(x, ptr=ptr), wanted)
    assert close(module(x, index, ptr, dim_size=size, dim=0, max_num_elements=13), wanted)
    back = torch.arange(len(index)).flip(0)
    turned = module(x.flip(0), index.flip(0), dim_size=size)
    again = module(x.flip(0)[index[back].argsort(stable=True)], ptr=ptr)
    assert close(turned, again)
    heads = torch.stack([x, 2 * x])[None]
    both = module(heads, index, dim_size=size)
    assert both.shape[:2] == (1, 2) and close(both[0, 0], wanted)
    assert close(both[0, 1], module(2 * x, index, dim_size=size))
    first = module(torch.stack([x, 2 * x], 1), index, dim_size=size, dim=0)
    assert close(first[:, 1], both[0, 1])
    assert module(x[0:3]).shape == (1, wanted.shape[1])
    assert type(module).__name__ in repr(module)


@everyone
def test_no_rows_and_no_sets(name):
    module, (x, index) = build(name), sets([])
    empty = module(x, index.long(), dim_size=2)
    assert close(empty, module(*sets([0, 3]), dim_size=2)[:1].expand(2, -1))
    assert module(x, index.long(), dim_size=0).shape[0] == 0


@everyone
def test_bad_index_is_said(name):
    module, (x, index) = build(name), sets([2, 3])
    with pytest.raises(ValueError, match="dim_size"):
        module(x, index, dim_size=1)


@everyone
def test_weights_start_again(name):
    module = build(name)
    before = [p.clone() for p in module.parameters()]
    module.reset_parameters()
    assert not before or any(not torch.equal(a, b) for a, b in zip(before, module.parameters()))


@pytest.mark.parametrize("name", COMMUTATIVE)
def test_two_elements_commute(name):
    module, (x, _) = build(name), sets([2])
    assert (module(x) - module(x.flip(0))).abs().max() <= (0 if name in ("lcm", "top-k") else 1e-15)


@pytest.mark.parametrize("name", [n for n in COMMUTATIVE if n not in ("lcm", "finite")])
def test_exact_monoids_do_not_see_the_order(name):
    module, (x, _) = build(name), sets([50])
    assert (module(x) - module(x[torch.randperm(50)])).abs().max() <= 1e-12


def test_operator_commutes_bit_for_bit_and_is_not_associative():
    module, (x, _) = build("lcm"), sets([3])
    a, b, c = x
    assert torch.equal(module.operator(a, b), module.operator(b, a))
    residual = module.operator(a, module.operator(b, c)) - module.operator(module.operator(a, b), c)
    assert residual.abs().max() > 1e-3  # so a loss is needed; see collect_losses


@pytest.mark.parametrize("ours, theirs", [(LCMAggregation, "LCMAggregation"), (GRUAggregation, "GRUAggregation"),
                                          (LSTMAggregation, "LSTMAggregation")])  # fmt: skip
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13])
def test_pyg_on_sets_of_one_size(ours, theirs, size):
    torch.manual_seed(0)
    host, mine = getattr(pyg, theirs)(WIDTH, WIDTH), ours(WIDTH, WIDTH)
    weights = host.state_dict()
    if ours is not LCMAggregation:
        weights = {f"cell.{name.split('.')[1].removesuffix('_l0')}": w for name, w in weights.items()}
    assert not mine.load_state_dict(weights, strict=False).unexpected_keys
    x, index = sets([size] * 9, dtype=torch.float32)
    assert (mine(x, index, dim_size=9) - host(x, index, dim_size=9)).abs().max() <= 1e-6


@pytest.mark.parametrize("seed", [-1, 0, 1])
def test_work_is_the_number_of_rows_less_the_sets(seed, monkeypatch):
    seen = []

    def counted(left, right, *weights):
        seen.append(left.shape[0])
        return symmetric_gru(left, right, *weights)

    monkeypatch.setitem(OPERATORS, "symmetric_gru", replace(OPERATORS["symmetric_gru"], forward=counted))
    module, (x, index) = build("lcm"), sets([5, 0, 100, 1, 7])
    fold(x, module.identity, module._weights(), "symmetric_gru", index, None, 5, seed)
    assert sum(seen) == 113 - 4
    assert seed >= 0 or len(seen) == 7


def test_random_tree_is_some_tree_over_all_rows():
    module, (x, _) = build("lcm"), sets([20])
    segments = Segments.from_lengths([20])
    plan = fold_plan(segments, 3)
    made = list(torch.relu(module.lin(x)))
    for left, right in zip(plan.left.tolist(), plan.right.tolist()):
        made.append(
            (
                literal.gru(made[left], made[right], module.gru_cell)
                + literal.gru(made[right], made[left], module.gru_cell)
            )
            / 2
        )
    assert sorted(torch.cat([plan.left, plan.right]).tolist()) == list(range(38))
    got, _ = fold(module.lin(x).relu(), module.identity, module._weights(), "symmetric_gru", None, segments.ptr, 1, 3)
    assert (got[0] - made[-1]).abs().max() <= 1e-12
    assert (got - module(x)).abs().max() > 1e-3


def test_plan_is_built_once_per_graph_and_shared():
    edge_index = torch.randint(0, 5, (2, 30))
    assert group(edge_index[1], None, 5) is group(edge_index[1], None, 5)
    assert group(edge_index[1], None, 5) is not group(edge_index[0], None, 5)
    before = group(edge_index[1], None, 5)
    edge_index[1, 0] = (edge_index[1, 0] + 1) % 5
    after = group(edge_index[1], None, 5)
    assert after is not before and after.segments.num_rows == 30
    assert torch.equal(after.segments.lengths, torch.bincount(edge_index[1], minlength=5))


def test_shuffle_only_in_training():
    torch.manual_seed(0)
    module, (x, index) = GRUAggregation(WIDTH, WIDTH, shuffle=True).double(), sets([9, 4])
    fixed = module.eval()(x, index, dim_size=2)
    assert torch.equal(fixed, module(x, index, dim_size=2))
    assert not torch.equal(fixed, module.train()(x, index, dim_size=2))


def test_parity_and_sums_are_exact_at_any_size():
    module = ModularAggregation(heads=1, modulus=7).eval()
    values = torch.randint(0, 7, (100_000,))
    out = module(torch.nn.functional.one_hot(values, 7).float())
    assert int(out.argmax()) == int(values.sum()) % 7 and float(out.max()) == 1.0


def test_rounded_phases_are_exact_at_any_size():
    turns = torch.randint(0, 7, (100_000,)) / 7 + 0.05 * torch.rand(100_000) + torch.randint(-3, 4, (100_000,))
    wanted = 2 * torch.pi * ((turns * 7).round().long().sum() % 7) / 7
    module = PhaseAggregation(1, modulus=7).eval()
    assert close(module(turns[:, None]), torch.stack([wanted.cos(), wanted.sin()])[None], 1e-4)
    assert not close(module.train()(turns[:, None]), torch.stack([wanted.cos(), wanted.sin()])[None], 1e-4)
    with pytest.raises(StructureError, match="modulus >= 1"):
        PhaseAggregation(1, modulus=0)


def test_finite_monoid_with_the_table_of_z3():
    module = FiniteMonoidAggregation(1, 3, hard=True).eval()
    ids = torch.arange(3)
    with torch.no_grad():
        module.logits.copy_(torch.nn.functional.one_hot((ids[:, None] + ids) % 3, 3)[None] * 9.0)
    values = torch.randint(0, 3, (1000,))
    out = module(torch.nn.functional.one_hot(values, 3) * 9.0)
    assert int(out.argmax()) == int(values.sum()) % 3
    assert module.associativity() == 0
    assert build("finite").associativity() > 1e-3


def test_top_k_counts_equal_values_twice():
    x = torch.tensor([[2.0], [1.0], [1.0], [3.0]])
    assert TopKAggregation(1, k=3)(x).tolist() == [[1.0, 1.0, 2.0]]
    with pytest.raises(StructureError, match="k >= 1"):
        TopKAggregation(1, k=0)
    with pytest.raises(StructureError, match="k >= 1"):
        TopRowsAggregation(1, k=0)


def test_top_rows_carry_the_rows_of_the_best_keys():
    module = TopRowsAggregation(2, k=2).eval()
    with torch.no_grad():
        module.key.weight.copy_(torch.tensor([[1.0, 0.0]]))
        module.missing.fill_(9.0)
    x = torch.tensor([[1.0, 5.0], [3.0, 6.0], [2.0, 7.0], [0.0, 8.0]])
    out = module(x, torch.tensor([0, 0, 0, 1]), dim_size=3)
    assert out.tolist() == [[3.0, 6.0, 2.0, 7.0], [0.0, 8.0, 9.0, 9.0], [9.0] * 4]


def test_gradients_flow_through_double_precision_checks():
    module, (x, index) = build("lcm"), sets([3, 0, 4, 1])
    weights = [w.detach().requires_grad_() for w in module._weights()]
    identity = module.identity.detach().requires_grad_()

    def run(x, identity, *weights):
        return fold(x, identity, list(weights), "symmetric_gru", index, None, 4)

    assert torch.autograd.gradcheck(run, (x.requires_grad_(), identity, *weights))
    args = (x.detach(), identity.detach(), [w.detach() for w in weights], "symmetric_gru", index, None, 4, -1)
    torch.library.opcheck(torch.ops.structnet.fold.default, args)
