import itertools

import pytest
import torch

from structnet import native
from structnet.datasets.sudoku import canonical, equivalent, parse_board, relabel, solve
from structnet.errors import StructureError
from structnet.structures.constraints import is_valid

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"


def board(text: str) -> torch.Tensor:
    return torch.tensor([parse_board(text)], dtype=torch.uint8)


@pytest.fixture(params=("compiled", "python"))
def form(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(native, "library", lambda: None)
    elif native.library() is None:
        pytest.skip("no compiled library")
    return request.param


def test_the_288_full_4x4_grids_fall_into_two_classes(form):
    rows = itertools.permutations(range(1, 5))
    bands = [a + b for a, b in itertools.product(rows, repeat=2) if len({*a[:2], *b[:2]}) == len({*a[2:], *b[2:]}) == 4]
    full = torch.tensor([a + b for a, b in itertools.product(bands, repeat=2)])
    full = full[is_valid(full)].to(torch.uint8)
    assert len(full) == 288 and len(canonical(full, full).unique(dim=0)) == 2


@pytest.mark.parametrize(
    "text, count", [(PUZZLE, 3), ("..3.1.....2.3...", 20), ("1.....4..2......3......6....5..1....", 6)]
)
def test_images_have_one_form_and_a_changed_puzzle_another(text, count, form):
    puzzle = board(text)
    solution = solve(puzzle).boards
    if int(solve(puzzle).count) != 1:  # more givens until there is one solution
        shown = torch.rand(puzzle.shape, generator=torch.Generator().manual_seed(0)) < 0.6
        puzzle = torch.where(shown, solution, puzzle)
    moved, answers = relabel(*(x.expand(count, -1) for x in (puzzle, solution)), torch.Generator().manual_seed(0))
    forms = canonical(moved, answers)
    assert not torch.equal(moved[0], moved[1]) and len(forms.unique(dim=0)) == 1
    assert torch.equal(forms[:1], canonical(puzzle, solution))
    assert int((forms[0] > 0).sum()) == int((puzzle > 0).sum())
    more = puzzle.clone()
    empty = int((puzzle[0] == 0).nonzero()[0])
    more[0, empty] = solution[0, empty]
    assert not torch.equal(canonical(more, solution), forms[:1])


@pytest.mark.skipif(native.library() is None, reason="no compiled library")
def test_both_forms_agree_on_the_least_image(monkeypatch):
    puzzle = board(PUZZLE)
    fast = canonical(puzzle)
    monkeypatch.setattr(native, "library", lambda: None)
    assert torch.equal(fast, canonical(puzzle))


def test_equivalent_names_the_rows_and_wrong_input_is_refused():
    puzzles = torch.cat([board(PUZZLE), board(PUZZLE)])
    solution = solve(puzzles[:1]).boards
    puzzles[1, 2] = solution[0, 2]
    forms = canonical(puzzles)
    moved, _ = relabel(puzzles[1:], solution, torch.Generator().manual_seed(5))
    assert equivalent(forms, canonical(moved)).tolist() == [False, True]
    assert canonical(puzzles[:0], puzzles[:0]).shape == (0, 81)
    with pytest.raises(StructureError, match=r"one solution each.*2 in row 0"):
        canonical(torch.zeros(1, 81, dtype=torch.uint8))
    with pytest.raises(StructureError, match="at most 9 digits"):
        canonical(torch.zeros(1, 256, dtype=torch.uint8))
