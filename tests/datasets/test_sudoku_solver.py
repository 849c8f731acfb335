import itertools

import pytest
import torch

from structnet import native
from structnet.datasets.sudoku import generate, parse_board, solve
from structnet.errors import StructureError
from structnet.structures.constraints import is_valid

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SOLUTION = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
FORMS = ("compiled", "python")


def boards(*texts: str) -> torch.Tensor:
    return torch.tensor([parse_board(text) for text in texts], dtype=torch.uint8)


@pytest.fixture(params=FORMS)
def form(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(native, "library", lambda: None)
    elif native.library() is None:
        pytest.skip("no compiled library")
    return request.param


def test_a_known_puzzle(form):
    found = solve(boards(PUZZLE))
    assert torch.equal(found.boards, boards(SOLUTION))
    assert found.count.tolist() == [1] and found.guesses.tolist() == [0]


def test_counts_equal_brute_force_on_4x4(form):
    rows = itertools.permutations(range(1, 5))
    bands = [a + b for a, b in itertools.product(rows, repeat=2) if len({*a[:2], *b[:2]}) == len({*a[2:], *b[2:]}) == 4]
    full = torch.tensor([a + b for a, b in itertools.product(bands, repeat=2)])
    full = full[is_valid(full)]
    assert len(full) == 288
    draw = torch.Generator().manual_seed(0)
    for row in full[torch.randperm(288, generator=draw)[:20]]:
        puzzle = row * (torch.rand(16, generator=draw) < 0.25)
        expected = int(((puzzle == 0) | (puzzle == full)).all(1).sum())
        found = solve(puzzle[None].to(torch.uint8), limit=1000)
        assert int(found.count) == expected
        assert is_valid(found.boards.long()).all()


def test_no_solution_several_solutions_and_a_spent_budget(form):
    # r1c9 sees 1 .. 8 in its row and 9 in its column
    impossible = "12345678." + "." * 63 + "........9"
    found = solve(boards(impossible, "." * 81, SOLUTION))
    assert found.count.tolist() == [0, 2, 1]
    assert found.boards[0].sum() == 0
    assert solve(boards("." * 81), budget=1).count.tolist() == [-1]
    assert len(solve(boards(PUZZLE)[:0]).count) == 0


@pytest.mark.parametrize("size, givens", [(4, 5), (6, 12), (9, 26)])
def test_both_forms_agree_and_generated_puzzles_have_one_solution(size, givens, monkeypatch):
    puzzles, solutions = generate(8, size, givens, torch.Generator().manual_seed(1))
    again, _ = generate(8, size, givens, torch.Generator().manual_seed(1))
    assert torch.equal(puzzles, again) and is_valid(solutions.long()).all()
    assert ((puzzles == 0) | (puzzles == solutions)).all() and ((puzzles > 0).sum(1) >= givens).all()
    assert (puzzles > 0).sum(1).min() == givens
    harder = puzzles.clone()
    harder[:, : size + 1] = 0  # several solutions, so guesses count
    both = [solve(torch.cat([puzzles, harder]))]
    monkeypatch.setattr(native, "library", lambda: None)
    both.append(solve(torch.cat([puzzles, harder])))
    assert all(torch.equal(a, b) for a, b in zip(*both))
    assert torch.equal(both[0].boards[:8], solutions) and (both[0].count[:8] == 1).all()
    assert both[0].guesses.max() > 0


@pytest.mark.parametrize("size, givens", [(16, 150), (25, 450)])
def test_large_boards(size, givens):
    puzzles, solutions = generate(2, size, givens, torch.Generator().manual_seed(2))
    assert ((puzzles > 0).sum(1) == givens).all() and torch.equal(solve(puzzles).boards, solutions)


def test_digits_above_the_size():
    with pytest.raises(StructureError, match=r"digits 0 \.\. n"):
        solve(torch.full((1, 16), 5, dtype=torch.uint8))
