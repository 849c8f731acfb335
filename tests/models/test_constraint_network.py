"""The same rounds as on boards, on any constraint graph, with any aggregator."""

import pytest
import torch

from structnet.datasets.exact_cover import generate
from structnet.errors import StructureError
from structnet.models.candidate_network import CandidateNetwork
from structnet.models.constraint_network import AGGREGATORS, ConstraintNetwork
from structnet.structures.constraints import (
    board_of,
    colouring_constraints,
    latin_constraints,
    sudoku_constraints,
)
from structnet.structures.incidence import Incidence
from structnet.tasks.exact_cover import ExactCover, PuzzleSplit

MIXED = generate("queens", 4, 2) + generate("latin", 3, 1) + generate("colouring", 6, 2) + generate("sudoku", 4, 1)


def network(aggregator="sum", **arguments):
    torch.manual_seed(0)
    model = ConstraintNetwork(6, 8, rounds=3, train_rounds=3, aggregator=aggregator, **arguments).double()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.4)
    return model


@pytest.mark.parametrize("size", [4, 6, 9])
def test_on_boards_it_is_the_candidate_network(size):
    torch.manual_seed(0)
    board = CandidateNetwork(6, 8, rounds=4).double().eval()
    for p in board.parameters():
        torch.nn.init.normal_(p, std=0.4)
    model = ConstraintNetwork(6, 8, rounds=4).double().eval()
    model.load_state_dict({**board.weights(size)._asdict(), "start": board.start})
    puzzles = torch.randint(1, size + 1, (2, size * size)) * (torch.rand(2, size * size) < 0.3)
    digit = torch.arange(1, size + 1)
    kinds = torch.where(puzzles[..., None] == 0, 0, torch.where(puzzles[..., None] == digit, 1, 2))
    graph = Incidence.of([sudoku_constraints(board_of(size * size))] * 2)
    expected = board(puzzles)
    out = model(kinds.flatten(), graph)
    torch.testing.assert_close(out.logits.view_as(expected.logits), expected.logits, rtol=0, atol=1e-11)
    torch.testing.assert_close(out.state.view_as(expected.state), expected.state, rtol=0, atol=1e-11)


def literal(model, kinds, graph, rounds):
    """Candidate by candidate, unit by unit."""
    h = [model.start for _ in kinds]
    units = [graph.candidate[graph.unit == u] for u in range(graph.kind_ptr[-1])]
    kind_of = [next(k for k in range(4) if graph.kind_ptr[k] <= u < graph.kind_ptr[k + 1]) for u in range(len(units))]
    gathered = {"sum": lambda rows, k: rows.sum(0), "max": lambda rows, k: rows.amax(0)}
    one_set = lambda rows, k: model.aggregators[k](rows, ptr=torch.tensor([0, len(rows)]))[0]  # noqa: E731
    how = gathered.get(model.name, one_set)
    for _ in range(rounds):
        told = []
        for members, k in zip(units, kind_of):
            s = how(torch.stack([h[m] for m in members]), k)
            told.append((s @ model.gather[k] + model.gather_bias[k]).relu() @ model.spread[k])
        new = []
        for at, kind in enumerate(kinds.tolist()):
            z = h[at] @ model.own + model.input[kind] + sum(t for t, m in zip(told, units) if at in m.tolist())
            gate, change = (z.relu() @ model.update + model.update_bias).chunk(2)
            v = h[at] + gate.sigmoid() * change
            new.append((v - v.mean()) / (v.var(unbiased=False) + 1e-5).sqrt() * model.scale + model.shift)
        h = new
    return torch.stack(h) @ model.readout[:-1] + model.readout[-1]


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_against_the_equations_candidate_by_candidate(aggregator):
    model = network(aggregator)
    model.name = aggregator
    puzzles = [MIXED[0], MIXED[3], MIXED[-1]]
    graph, kinds = Incidence.of([p.graph for p in puzzles]), torch.cat([p.kinds() for p in puzzles])
    fast, slow = model(kinds, graph).logits[-1], literal(model, kinds, graph, 3)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-9)
    grads = [torch.autograd.grad(out.sin().sum(), list(model.parameters()), allow_unused=True) for out in (fast, slow)]
    torch.testing.assert_close(*[[g for g in some if g is not None] for some in grads], rtol=0, atol=1e-7)


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_batching_law_and_going_on_from_a_state(aggregator):
    model, split = network(aggregator).eval(), PuzzleSplit("mixed", MIXED)
    whole = model(*split.batch(torch.arange(6)).inputs)
    alone = torch.cat([model(*split.batch(torch.tensor([at])).inputs).logits for at in range(6)], 1)
    torch.testing.assert_close(whole.logits, alone, rtol=0, atol=1e-11)
    kinds, graph = split.batch(torch.arange(6)).inputs
    model.rounds = 1
    state = None
    for _ in range(3):
        step = model(kinds, graph, state)
        state = step.state
    torch.testing.assert_close(step.logits, whole.logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("aggregator", [name for name in AGGREGATORS if name != "lcm"])  # a fold, in order
def test_equivariance_to_the_numbers_of_nodes_and_colours(aggregator):
    """Colours of a colouring and lines of a Latin square have names, not meanings."""
    model, generator = network(aggregator).eval(), torch.Generator().manual_seed(1)
    edges, node = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]]), torch.randperm(4, generator=generator)
    colour = torch.randperm(3, generator=generator)
    kinds = torch.randint(0, 3, (4, 3), generator=generator)
    before = model(kinds.flatten(), Incidence.of([colouring_constraints(edges, 4, 3)])).logits.view(4, 3)
    moved = torch.empty_like(kinds).index_put((node[:, None], colour[None]), kinds)
    after = model(moved.flatten(), Incidence.of([colouring_constraints(node[edges], 4, 3)])).logits.view(4, 3)
    torch.testing.assert_close(after[node][:, colour], before, rtol=0, atol=1e-12)
    kinds, order = torch.randint(0, 3, (3, 3, 3), generator=generator), torch.randperm(3, generator=generator)
    square = Incidence.of([latin_constraints(3)])
    before = model(kinds.flatten(), square).logits.view(3, 3, 3)
    for axis in range(3):
        after = model(kinds.index_select(axis, order).flatten(), square).logits.view(3, 3, 3)
        torch.testing.assert_close(after, before.index_select(axis, order), rtol=0, atol=1e-12)


def test_it_learns_small_squares():
    torch.manual_seed(0)
    model, split = ConstraintNetwork(16, 16, train_rounds=6, rounds=6), PuzzleSplit("latin", generate("latin", 3, 12))
    optimizer, task, batch = torch.optim.Adam(model.parameters(), 1e-2), ExactCover(), split.batch(torch.arange(12))
    for _ in range(60):
        optimizer.zero_grad()
        task.loss(model(*batch.inputs), batch).backward()
        optimizer.step()
    assert task.score(model.eval()(*batch.inputs), batch)["accuracy"].mean() > 0.9


def test_bad_calls():
    with pytest.raises(StructureError, match="an aggregator out of sum"):
        ConstraintNetwork(aggregator="mean")
    with pytest.raises(StructureError, match="kinds \\[64\\]"):
        ConstraintNetwork()(torch.zeros(3, dtype=torch.int64), Incidence.of([sudoku_constraints(board_of(16))]))
