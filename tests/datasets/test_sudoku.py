from pathlib import Path

import pytest
import torch

from structnet.datasets.sudoku import format_board, parse_board, read_boards, relabel, reveal, solve
from structnet.datasets.sudoku.__main__ import main as command
from structnet.errors import StructureError
from structnet.structures.constraints import is_valid
from structnet.tasks.sudoku import Sudoku, SudokuSplit, _parts, guess_bands

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SOLUTION = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
CANON = torch.tensor([[(3 * (r % 3) + r // 3 + c) % 9 + 1 for r in range(9) for c in range(9)]])


def rows(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    boards = torch.tensor([parse_board(text) for text in (PUZZLE, SOLUTION)], dtype=torch.uint8)
    return boards[:1].expand(count, 81).clone(), boards[1:].expand(count, 81).clone()


def test_files_with_and_without_solution_and_header(tmp_path):
    path = tmp_path / "boards.csv"
    path.write_text(f"puzzle,solution\n{PUZZLE},{SOLUTION}\n\n{PUZZLE.replace('.', '0')}\n")
    puzzles, solutions = read_boards(path)
    assert torch.equal(puzzles[0], puzzles[1]) and format_board(puzzles[0]) == PUZZLE
    assert format_board(solutions[0]) == SOLUTION and solutions[1].sum() == 0


@pytest.mark.parametrize(
    "line, words",
    [
        (PUZZLE[:-1], "80 cells"),
        (PUZZLE.replace("53..7", "5x..7"), "'X' at character 2"),
        ("55" + PUZZLE[2:], "5 twice, in r1c1 and r1c2"),
        ("53..7....5" + PUZZLE[10:], "5 twice, in r1c1 and r2c1"),
        (f"{PUZZLE},{SOLUTION[::-1]}", "keeps the givens"),
        (f"{PUZZLE},{SOLUTION[:9]}", "cells"),
        (f"{PUZZLE},{'5' + SOLUTION[:80]}", "twice"),
        ("." * 16, "boards of one size"),
    ],
)
def test_a_bad_row_is_named(tmp_path, line, words):
    path = tmp_path / "bad.csv"
    path.write_text(f"{PUZZLE},{SOLUTION}\n{line}\n")
    with pytest.raises(StructureError) as error:
        read_boards(path)
    assert words in str(error.value) and ("line 2" in str(error.value) or "80 cells" in words)


def test_an_empty_file(tmp_path):
    (tmp_path / "none").write_text("puzzle,solution\n")
    with pytest.raises(StructureError, match="at least one row"):
        read_boards(tmp_path / "none")


def test_reveals_only_add_right_digits():
    puzzles, solutions = rows(200)
    shown = reveal(puzzles, solutions, 17, torch.Generator().manual_seed(0))
    assert torch.equal(shown[puzzles > 0], puzzles[puzzles > 0])
    assert torch.equal(shown[shown > 0], solutions[shown > 0])
    added = (shown > 0).sum(1) - (puzzles > 0).sum(1)
    assert added.min() == 0 and added.max() == 17 and len(added.unique()) > 12
    assert torch.equal(shown, reveal(puzzles, solutions, 17, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("n", [4, 6, 9])
def test_symmetries_keep_boards_valid_and_givens_in_place(n):
    if n == 9:
        puzzles, solutions = rows(50)
    else:
        r, c = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
        columns = {4: 2, 6: 3}[n]
        solutions = ((r % 2 * columns + r // 2 + c) % n + 1).flatten().expand(50, n * n).to(torch.uint8)
        puzzles = solutions * (torch.rand(50, n * n) < 0.4)
    moved, answers = relabel(puzzles, solutions, torch.Generator().manual_seed(1))
    assert bool(is_valid(answers.long()).all())
    assert torch.equal(moved[moved > 0], answers[moved > 0])
    assert torch.equal((moved > 0).sum(1), (puzzles > 0).sum(1)) and len(moved.unique(dim=0)) > 45


def test_validity_against_the_rules():
    full = torch.tensor([parse_board(SOLUTION)])
    wrong = full.clone()
    wrong[0, :2] = wrong[0, :2].flip(0)
    assert is_valid(full).tolist() == [True] and is_valid(wrong).tolist() == [False]
    assert is_valid(CANON).tolist() == [True]


def test_the_task_holds_rows_out_and_marks_boards(tmp_path, monkeypatch):
    monkeypatch.setattr("structnet.tasks.sudoku.HELD_OUT", 3)
    puzzles, solutions = rows(16)
    puzzles, solutions = relabel(puzzles, solutions, torch.Generator().manual_seed(0))
    path = tmp_path / "list.csv"
    path.write_text("".join(f"{format_board(p)},{format_board(s)}\n" for p, s in zip(puzzles, solutions)))
    task = Sudoku(files=str(path))
    train, held = task.split("train"), task.split("list")
    assert (len(train), len(held), len(task.split("validation"))) == (13, 3, 3)
    assert not {tuple(r) for r in train.puzzles.tolist()} & {tuple(r) for r in held.puzzles.tolist()}
    batch = held.batch(torch.arange(3))
    right = torch.nn.functional.one_hot(batch.target - 1, 9)[None].float()
    half = right.clone()
    half[0, 1, :2] = half[0, 1, :2].flip(0)

    class Output:
        logits = half

    scores = task.score(Output, batch)
    assert scores["accuracy"].tolist() == [1, 0, 1] and scores["invalid"].tolist() == [0, 1, 0]
    assert scores["cells"][1] == pytest.approx(79 / 81)
    grown = train.batch(torch.arange(13), torch.Generator().manual_seed(0)).inputs[0]
    assert (grown > 0).sum() > (train.puzzles > 0).sum()
    for name, words in (("nowhere", "train, validation"),):
        with pytest.raises(StructureError, match=words):
            task.split(name)
    few = Sudoku(files=f"{path},{path}", rows="0,2").split("train")
    assert torch.equal(few.puzzles, torch.cat([train.puzzles, train.puzzles[:2]]))
    many = Sudoku(files=f"{path},{path}", rows="2,30").split("train")
    assert torch.equal(many.puzzles, torch.cat([train.puzzles[:2], *[train.puzzles] * 2, train.puzzles[:4]]))
    assert torch.equal(many.solutions[2:15], train.solutions)
    with pytest.raises(StructureError, match="rows for 1 files"):
        Sudoku(files=str(path), rows="1,2")


def test_without_files_boards_are_generated_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("STRUCTNET_CACHE", str(tmp_path))
    monkeypatch.setattr("structnet.tasks.sudoku.GENERATED", 10)
    monkeypatch.setattr("structnet.tasks.sudoku._parts", _parts.__wrapped__)  # what it has read is kept for ever
    task = Sudoku()
    train, held = task.split("train"), task.split("generated")
    assert task.splits == ("generated",) and (len(train), len(held)) == (8, 2)
    for split in (train, held):
        found = solve(split.puzzles, limit=2)
        assert (found.count == 1).all() and torch.equal(found.boards.to(torch.uint8), split.solutions)
        assert (split.givens >= 26).all() and (split.givens < 40).all()
    monkeypatch.setattr("structnet.tasks.sudoku.generate", None)
    assert torch.equal(task.split("train").puzzles, train.puzzles)


def test_without_a_solution_a_valid_answer_that_keeps_the_givens_is_right(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(PUZZLE + "\n")
    batch = Sudoku().from_file(path).batch(torch.tensor([0]))

    class Output:
        logits = torch.nn.functional.one_hot(torch.tensor([parse_board(SOLUTION)]) - 1, 9)[None].float()

    assert Sudoku().score(Output, batch)["accuracy"].tolist() == [1.0]
    Output.logits = torch.nn.functional.one_hot(CANON - 1, 9)[None].float()  # valid, but another puzzle
    assert Sudoku().score(Output, batch)["accuracy"].tolist() == [0.0]


@pytest.mark.slow
def test_the_real_lists_load(shared_data):
    puzzles, solutions = read_boards(shared_data / "sudoku" / "clue17_train.csv")
    assert len(puzzles) == 39_227 and bool(is_valid(solutions.long()).all()) and int((puzzles > 0).sum(1).max()) == 17


def test_boards_are_told_apart_by_givens_and_by_guesses():
    hard = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
    boards = torch.tensor([parse_board(text) for text in (PUZZLE, hard)], dtype=torch.uint8)
    bands = guess_bands(boards)
    assert bands[0] == 0 and bands[1] == int(solve(boards).guesses[1]).bit_length() > 3
    keys = SudokuSplit("two", boards, torch.zeros_like(boards)).batch(torch.arange(2)).keys
    assert keys["givens"].tolist() == [30, 21] and torch.equal(keys["guesses_log2"], bands)


def test_boards_are_made_and_compared_from_the_command_line(tmp_path, capsys):
    first, second = str(tmp_path / "first.csv"), str(tmp_path / "second.csv")
    assert command(["generate", "--out", first, "--size", "4", "--count", "12", "--least", "5", "--most", "7"]) == 0
    puzzles, solutions = read_boards(first)
    assert len(puzzles) == 12 and (solve(puzzles, limit=2).count == 1).all()
    moved = zip(*relabel(puzzles[:3], solutions[:3], torch.Generator().manual_seed(0)))
    Path(second).write_text("".join(f"{format_board(p)},{format_board(s)}\n" for p, s in moved))
    capsys.readouterr()
    assert command(["check", "--first", second, "--second", first]) == 0
    assert f"3 rows also in {first}" in capsys.readouterr().out
    for name, words in ((str(tmp_path / "none.csv"), "No such file"), (second, "at most 9 digits")):
        if name == second:
            Path(second).write_text("." * 256 + "\n")
        assert command(["check", "--first", name]) == 2
        assert words in capsys.readouterr().err
