"""The candidate network: a literal re-statement, the general graph, every symmetry, any size."""

import pytest
import torch
from torch import nn

from structnet.datasets.sudoku import parse_board, relabel
from structnet.errors import StructureError
from structnet.kernels.candidate_rounds.torch_form import one_round
from structnet.models.candidate_network import CandidateNetwork
from structnet.native import library
from structnet.structures.constraints import (
    BOX,
    CELL,
    INTERSECTION,
    LINE,
    board_of,
    colouring_constraints,
    is_valid,
    latin_constraints,
    queens_constraints,
    sudoku_constraints,
)
from structnet.systems import open_run

EASY = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = CandidateNetwork(width=6, hidden=8, rounds=3, train_rounds=3).double().eval()
    nn.init.normal_(model.input_slope, std=0.1)
    nn.init.normal_(model.gather_slope, std=0.1)
    return model


def boards(count: int, n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    given = torch.rand(count, n * n, generator=generator) < 0.3
    return torch.randint(1, n + 1, (count, n * n), generator=generator) * given


def literal(model: CandidateNetwork, puzzle: torch.Tensor, rounds: int) -> torch.Tensor:
    """One candidate at a time, straight from the docstring."""
    board = board_of(len(puzzle))
    n = board.size
    side = 0 if n > 9 else 1
    h = {}
    names = [(r, c, d) for r in range(n) for c in range(n) for d in range(n)]
    kind = {(r, c, d): 0 if puzzle[r * n + c] == 0 else 1 if puzzle[r * n + c] == d + 1 else 2 for r, c, d in names}
    box = lambda r, c: (r // board.box_rows, c // board.box_columns)  # noqa: E731
    for name in names:
        h[name] = model.start
    for _ in range(rounds):
        new = {}
        for r, c, d in names:
            units = [
                (CELL, [h[r, c, e] for e in range(n)]),
                (LINE, [h[r, e, d] for e in range(n)]),
                (LINE, [h[e, c, d] for e in range(n)]),
                (BOX, [h[s, e, d] for s in range(n) for e in range(n) if box(s, e) == box(r, c)]),
                (INTERSECTION, [h[r, e, d] for e in range(n) if box(r, e) == box(r, c)]),
                (INTERSECTION, [h[e, c, d] for e in range(n) if box(e, c) == box(r, c)]),
            ]
            z = h[r, c, d] @ model.own + model.input[kind[r, c, d]] + (n - 9) * model.input_slope[side, kind[r, c, d]]
            for k, members in units:
                gathered = sum(members) @ model.gather[k] + model.gather_bias[k] + (n - 9) * model.gather_slope[side, k]
                z = z + gathered.relu() @ model.spread[k]
            gate, change = (z.relu() @ model.update + model.update_bias).chunk(2)
            v = h[r, c, d] + torch.sigmoid(gate) * change
            v = (v - v.mean()) / (v.var(unbiased=False) + 1e-5).sqrt()
            new[r, c, d] = v * model.scale + model.shift
        h = new
    logits = [h[name] @ model.readout[:-1] + model.readout[-1] for name in names]
    return torch.stack(logits).view(n * n, n)


@pytest.mark.parametrize("n", [4, 6])
def test_against_the_equations_candidate_by_candidate(model, n):
    puzzle = boards(1, n)
    fast, slow = model(puzzle).logits[-1, 0], literal(model, puzzle[0], 3)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-10)
    grads = [torch.autograd.grad(out.sin().sum(), list(model.parameters())) for out in (fast, slow)]
    torch.testing.assert_close(*grads, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n", [4, 6, 9])
def test_the_regular_board_is_the_general_graph(model, n):
    puzzle, board = boards(2, n), board_of(n * n)
    given = model.given(puzzle)
    state = torch.randn(*given.shape[:-1], 6, dtype=torch.float64)
    fast = one_round(model.weights(n), state, given, board)
    graph = sudoku_constraints(board)
    slow = [model.graph_round(s.flatten(0, 2), g.flatten(0, 2), graph, n) for s, g in zip(state, given)]
    torch.testing.assert_close(fast.flatten(1, 3), torch.stack(slow), rtol=0, atol=1e-12)


def test_equivariance_to_the_whole_symmetry_group(model):
    """Relabel digits, exchange lines, bands, stacks and axes: the answer is relabelled in the same way."""
    puzzle = boards(5, 9)
    cells = torch.arange(81).expand(5, 81) + 1  # where each cell comes from, carried along as a second board
    generator = torch.Generator().manual_seed(3)
    moved, _ = relabel(puzzle, puzzle, generator)
    # recover the element of the group from its action on cells and on digits
    import structnet.datasets.sudoku.symmetry as symmetry

    generator = torch.Generator().manual_seed(3)
    digits = torch.rand(5, 9, generator=generator).argsort(1)
    where = symmetry._cells(5, board_of(81), generator)
    before, after = model(puzzle).logits[-1], model(moved).logits[-1]
    expected = before.gather(1, where[:, :, None].expand(-1, -1, 9))
    expected = torch.empty_like(expected).scatter_(2, digits[:, None, :].expand(-1, 81, -1), expected)
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-10)
    assert not torch.equal(moved, puzzle) and cells.shape == puzzle.shape


def test_batching_law_and_going_on_from_a_state(model):
    puzzle = boards(4, 9)
    whole = model(puzzle)
    for at in range(4):
        torch.testing.assert_close(model(puzzle[at : at + 1]).logits, whole.logits[:, at : at + 1], rtol=0, atol=1e-12)
    model.rounds = 1
    state = None
    for _ in range(3):
        step = model(puzzle, state)
        state = step.state
    torch.testing.assert_close(step.logits, whole.logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [4, 6, 9, 16, 25])
def test_one_set_of_weights_for_every_size(model, n):
    assert model(boards(1, n)).logits.shape == (1, 1, n * n, n)


def test_training_keeps_every_round_and_warm_rounds_cost_no_memory():
    torch.manual_seed(1)
    model = CandidateNetwork(width=4, hidden=4, train_rounds=3, warm_rounds=9, noise=0.1).train()
    out = model(boards(2, 4))
    assert out.logits.shape == (3, 2, 16, 4)
    nodes, seen = [out.logits.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes += [n for n, _ in node.next_functions]
    norms = [n for n in seen if "NativeLayerNorm" in type(n).__name__]  # width 4: the torch form
    assert len(norms) == 3  # the gradient sees train_rounds rounds, however many came before


def test_size_terms_act_beside_nine_digits_and_are_trained_alone():
    model = CandidateNetwork(width=4, hidden=4, train_rounds=1, only_size=True)
    for slope in (model.gather_slope, model.input_slope):
        nn.init.ones_(slope[0])
        nn.init.constant_(slope[1], -2.0)
    assert torch.equal(model.weights(9).input, model.input) and torch.equal(model.weights(4).input, model.input + 10)
    assert torch.equal(model.weights(16).input, model.input + 7)
    assert torch.equal(model.weights(25).gather_bias, model.gather_bias + 16)
    for n, side in ((16, 0), (4, 1)):
        model.zero_grad()
        model.train()(boards(1, n)).logits.sum().backward()
        trained = {name for name, part in model.named_parameters() if part.grad is not None}
        assert trained == {"input_slope", "gather_slope"}
        assert model.input_slope.grad[side].any() and not model.input_slope.grad[1 - side].any()


def test_few_parameters_and_bad_input():
    assert sum(p.numel() for p in CandidateNetwork().parameters()) < 50_000
    with pytest.raises(StructureError, match=r"digits 0 .. 4"):
        CandidateNetwork()(torch.full((1, 16), 5))
    with pytest.raises(StructureError, match="81"):
        CandidateNetwork()(torch.zeros(1, 80, dtype=torch.int64))


@pytest.mark.parametrize("aggr", ["max", "lcm", "attention"])
def test_any_aggregator_gathers_the_units_and_batches_do_not_mix(aggr):
    torch.manual_seed(0)
    model = CandidateNetwork(width=6, hidden=8, rounds=2, train_rounds=2, aggr=aggr).double().eval()
    puzzle = boards(3, 6)
    whole = model(puzzle)
    assert whole.logits.shape == (1, 3, 36, 6) and whole.state.shape == (3, 6, 6, 6, 6)
    for at in range(3):
        torch.testing.assert_close(model(puzzle[at : at + 1]).logits, whole.logits[:, at : at + 1], rtol=0, atol=1e-12)
    moved = torch.where(puzzle > 0, puzzle % 6 + 1, 0)  # every digit renamed to the next
    if aggr != "lcm":  # its operator commutes but need not associate: the order of a unit's members counts
        torch.testing.assert_close(model(moved).logits, whole.logits.roll(1, -1), rtol=0, atol=1e-10)
    model.train()(puzzle).logits.sum().backward()
    unused = ("identity", "empty")  # values of empty units, of which there are none
    used = [part for name, part in model.aggr.named_parameters() if name not in unused]
    assert all(part.grad is not None for part in (model.own, model.gather, *used))
    with pytest.raises(StructureError, match="sum, max, lcm, attention"):
        CandidateNetwork(aggr="median")


def test_sums_over_the_general_graph_are_the_fast_path(model):
    puzzle = boards(2, 6)
    fast = model(puzzle)
    slow = model._on_graph(puzzle, model.first_state(puzzle), 3, 1)
    for a, b in zip(slow, fast):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


TRIANGLE = torch.tensor([[0, 1, 2], [1, 2, 0]])


@pytest.mark.parametrize("graph", [latin_constraints(5), queens_constraints(6), colouring_constraints(TRIANGLE, 4, 3)])
def test_other_problems_on_the_same_weights(model, graph):
    state = torch.randn(graph.num_candidates, 6, dtype=torch.float64)
    given = model.input[torch.zeros(graph.num_candidates, dtype=torch.int64)]
    assert model.graph_round(state, given, graph).shape == state.shape


def test_restarts_keep_the_run_that_moved_least():
    torch.manual_seed(0)
    model = CandidateNetwork(width=16, hidden=16, rounds=4, restart_noise=5.0).eval()
    with torch.no_grad():
        for part in (model.own, model.gather, model.spread, model.update):
            part *= 4  # far from a fixed point, so that any start may move least
    puzzle = boards(40, 4)
    single = model(puzzle)
    model.restarts = 3
    torch.manual_seed(7)
    chosen = model(puzzle)
    torch.manual_seed(7)
    runs = []
    for at in range(3):
        start = model.first_state(puzzle)
        start = start + 5.0 * torch.randn_like(start) if at else start
        model.restarts, model.rounds = 1, 3
        before = model(puzzle, start)
        model.rounds = 1
        last = model(puzzle, before.state)
        runs.append(((last.state - before.state).flatten(1).norm(dim=1), last.logits))
    least = torch.stack([residual for residual, _ in runs]).argmin(0)
    expected = torch.stack([runs[int(run)][1][0, at] for at, run in enumerate(least)])
    torch.testing.assert_close(chosen.logits[0], expected, rtol=0, atol=1e-6)
    assert len(least.unique()) > 1 and not torch.equal(single.logits, chosen.logits)


def test_only_boards_without_a_valid_answer_start_again(monkeypatch):
    model = open_run("sudoku", rounds=24, halt=8, restarts=3).weights()
    puzzles, asked = torch.tensor([parse_board(text) for text in (EASY, HARD, EASY)]), []
    once = model._until_valid

    def counted(part, state):
        asked.append(part.tolist())
        return once(part, state)

    monkeypatch.setattr(model, "_until_valid", counted)
    with torch.no_grad():
        torch.manual_seed(0)
        answer = model(puzzles).logits
        model.restarts = 1
        single = model(puzzles).logits
    assert asked[:3] == [puzzles.tolist(), [puzzles[1].tolist()], [puzzles[1].tolist()]]
    assert torch.equal(answer[:, ::2], single[:, ::2])


def test_a_board_halts_when_its_answer_is_valid_and_the_rest_goes_on():
    """Each board gives what it gives alone after the first multiple of `halt` rounds with a valid answer."""
    model = open_run("sudoku").weights().eval()
    if library() is None:  # torch's products of other shapes round otherwise; the compiled rounds go board by board
        model = model.double()
    puzzles = torch.tensor([parse_board(text) for text in (EASY, HARD, "." * 81)])
    with torch.no_grad():
        model.rounds, model.halt = 24, 8
        halted = model(puzzles)
        model.halt, stops = 0, []
        for at in range(3):
            for rounds in (8, 16, 24):
                model.rounds = rounds
                alone = model(puzzles[at : at + 1])
                if bool(is_valid(alone.logits[-1].argmax(-1) + 1)):
                    break
            stops.append(rounds)
            torch.testing.assert_close(halted.logits[:, at], alone.logits[:, 0])
            torch.testing.assert_close(halted.state[at], alone.state[0])
    assert stops[0] < 24 and stops[2] == 24  # the empty board has many solutions and finds none
    assert not model(puzzles[:0]).logits.numel()


def test_memory_for_the_gradient_does_not_grow_with_warm_rounds_and_one_round_is_enough():
    """Truncated to one step: what is kept for the gradient is that of one round."""
    torch.manual_seed(0)
    model = CandidateNetwork(width=16, hidden=16, train_rounds=1, warm_rounds=50).train()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        for _ in range(4):
            kept.append(0)
            out = model(boards(2, 4))
    assert out.logits.shape[0] == 1 and sum(kept) / 4 < 3 * (2 * 64 * 16 * 2 + 2 * 64) + 4 * 5_000
    out.logits.sum().backward()
    assert model.own.grad.abs().sum() > 0
