"""`structnet solve`: says when it is solved, and says when it is not."""

import io
import json
from types import SimpleNamespace

import pytest
import torch

from structnet.cli import main
from structnet.commands.solve import _rounds
from structnet.datasets.sudoku import parse_board, read_boards
from structnet.errors import StructureError
from structnet.report.sudoku_gif import clashes, write_gif
from structnet.report.sudoku_html import solved_at, write_beliefs
from structnet.structures.constraints import board_of
from structnet.systems import open_run
from tests.datasets.test_sudoku import PUZZLE, SOLUTION

RIGHT = torch.nn.functional.one_hot(torch.tensor(parse_board(SOLUTION)) - 1, 9).float()
WRONG = RIGHT.roll(1, 0)


def test_solved_at_is_the_round_from_which_nothing_changes():
    assert solved_at(torch.stack([WRONG, RIGHT, RIGHT])) == 2
    assert solved_at(torch.stack([RIGHT, WRONG, RIGHT])) == 3
    assert solved_at(torch.stack([RIGHT, RIGHT])) == 1
    assert solved_at(torch.stack([RIGHT, WRONG])) == 0


def test_the_page_needs_no_network_and_says_the_outcome(tmp_path):
    puzzle = torch.tensor(parse_board(PUZZLE))
    page = write_beliefs(tmp_path / "a.html", puzzle, torch.stack([WRONG, RIGHT])).read_text()
    assert "Solved at round 2" in page and "http" not in page and "30 givens" in page
    assert "Not solved" in write_beliefs(tmp_path / "b.html", puzzle, torch.stack([WRONG])).read_text()


@pytest.fixture
def oracle(monkeypatch):
    """A model that needs two rounds for every board, and cannot solve boards whose first cell is empty."""

    class Model:
        rounds = 5  # its own

        def __call__(self, puzzle, state):
            assert self.rounds == 1
            rounds = 1 if state is None else state + 1
            good = rounds >= 2 and int(puzzle[0, 0]) > 0
            return SimpleNamespace(logits=(RIGHT if good else WRONG)[None, None], state=rounds)

    run = SimpleNamespace(weights=Model)
    monkeypatch.setattr("structnet.systems.open_run", lambda where, **overrides: run)


def test_one_board_from_the_argument(oracle, tmp_path, capsys):
    assert main(["solve", PUZZLE, "--out", str(tmp_path / "s.html"), "--rounds", "4"]) == 0
    out = capsys.readouterr().out
    assert "5 3 4 | 6 7 8 | 9 1 2" in out and "solved at round 2" in out


def test_many_boards_from_a_file_and_standard_input(oracle, tmp_path, capsys, monkeypatch):
    path = tmp_path / "boards.csv"
    path.write_text(f"puzzle,solution\n{PUZZLE},{SOLUTION}\n.{PUZZLE[1:]}\n")
    assert main(["solve", str(path), "--out", str(tmp_path / "s.html"), "--rounds", "3"]) == 1
    out = capsys.readouterr().out
    assert "NOT solved: the answer after 3 rounds breaks the rules" in out and "1 of 2 solved" in out
    assert main(["solve", str(path), "--out", str(tmp_path / "s.html")]) == 1
    assert "after 5 rounds breaks the rules" in capsys.readouterr().out  # as many as the run's own
    monkeypatch.setattr("sys.stdin", io.StringIO(path.read_text()))
    assert main(["solve", "--out", str(tmp_path / "s.html"), "--rounds", "3"]) == 1


def test_a_board_with_no_or_several_solutions_is_refused_alone_and_named_among_many(oracle, tmp_path, capsys):
    none = "12345678." + "." * 63 + "........9"
    for text, words in ((none, "no solution"), ("5" + "." * 80, "several solutions")):
        assert main(["solve", text]) == 2
        assert "exactly one solution" in (err := capsys.readouterr().err) and words in err
    path = tmp_path / "two.csv"
    path.write_text(f"{PUZZLE}\n{none}\n")
    assert main(["solve", str(path), "--out", str(tmp_path / "s.html"), "--rounds", "3"]) == 1
    out = capsys.readouterr().out
    assert "board 2 has no solution" in out and "1 of 2 solved" in out
    path.write_text("\n")
    assert main(["solve", str(path)]) == 2 and "at least one board" in capsys.readouterr().err


def test_an_answer_that_changes_a_given_is_not_a_solution(oracle, tmp_path, capsys):
    names = str.maketrans("345", "453")  # another puzzle, and the oracle gives the same answer to all
    given = PUZZLE.translate(names)
    assert main(["solve", given, "--out", str(tmp_path / "s.html"), "--rounds", "3"]) == 1
    assert "NOT solved: the answer changes a given" in capsys.readouterr().out


def test_the_gif_has_a_frame_for_every_round_and_outlines_conflicts(tmp_path):
    image = pytest.importorskip("PIL.Image")
    beliefs = 20 * torch.stack([WRONG, RIGHT, RIGHT.roll(9, 0)])
    path = write_gif(tmp_path / "a.gif", torch.tensor(parse_board(PUZZLE)), beliefs)
    with image.open(path) as film:
        assert film.n_frames == 3
        pictures = []
        for at in range(3):
            film.seek(at)
            pictures.append(film.convert("RGB").getcolors(1 << 20))
    path = write_gif(tmp_path / "b.gif", torch.tensor(parse_board(PUZZLE)), beliefs.repeat(100, 1, 1))
    with image.open(path) as film:
        assert film.n_frames == 150  # of 300 rounds every second, the last among them
        film.seek(149)
        assert film.convert("RGB").getcolors(1 << 20) == pictures[2]
    red = [sum(count for count, (r, g, b) in colours if r > 180 and g < 90 and b < 90) for colours in pictures]
    assert red[0] > 100 and red[1] == 0
    digits = parse_board(SOLUTION)
    assert not any(clashes(board_of(81), digits, cell) for cell in range(81))
    digits[80] = digits[72]
    assert [cell for cell in range(81) if clashes(board_of(81), digits, cell)][-2:] == [72, 80]


def test_bad_boards_get_a_clear_line(oracle, capsys):
    clash, unknown = "55" + PUZZLE[2:], "x" * 81
    for text, words in ((PUZZLE[:80], "80 cells"), (clash, "r1c1 and r1c2"), (unknown, "'X' at character 1")):
        assert main(["solve", text]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("symbol", "?.Z")
def test_boards_have_at_most_25_digits(symbol, oracle, tmp_path, capsys):
    (tmp_path / "big.csv").write_text(26 * 26 * symbol + "\n")
    assert main(["solve", 26 * 26 * symbol]) == 2
    assert "at most 25 x 25 cells; got 26 x 26 in board 1" in capsys.readouterr().err
    with pytest.raises(StructureError, match="at most 25 x 25 cells; got 26 x 26 in line 1"):
        read_boards(tmp_path / "big.csv")


@pytest.mark.parametrize("rounds", ["0", "-1"])
def test_rounds_are_at_least_one(rounds, oracle, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["solve", PUZZLE, "--rounds", rounds])
    assert stop.value.code == 2 and "--rounds" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nothere.csv", "NotHere.TXT", "a.tsv", "a/b", "../nothere", "x" * 300 + ".csv"])
def test_a_missing_file_is_not_taken_for_a_board(name, oracle, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["solve", name]) == 2
    error = capsys.readouterr().err
    assert name in error and "cells" not in error and error.count("\n") == 1


def test_dots_of_a_board_are_not_a_suffix(oracle, tmp_path, capsys):
    assert main(["solve", SOLUTION[:-2] + ".9", "--rounds", "3", "--out", str(tmp_path / "s.html")]) == 0
    for text in (PUZZLE[:80], "." * 255 + "G.ABC"):
        assert main(["solve", text]) == 2
        assert f"{len(text)} cells" in capsys.readouterr().err


def test_the_shipped_checkpoint_is_marked_at_several_numbers_of_rounds(tmp_path, capsys):
    path = tmp_path / "two.csv"
    path.write_text(f"{PUZZLE},{SOLUTION}\n{PUZZLE}\n")
    assert main(["evaluate", "sudoku", "--data", str(path), "--rounds", "1,24", "--json"]) == 0
    splits = json.loads(capsys.readouterr().out)["splits"]
    assert list(splits) == [f"{path} @1", f"{path} @24"]
    assert splits[f"{path} @24"]["accuracy"] == 1.0 and splits[f"{path} @24"]["invalid"] == 0.0
    assert splits[f"{path} @1"]["accuracy"] == 0.0 and splits[f"{path} @24"]["by"]["guesses_log2"]["0"]["count"] == 2
    torch.manual_seed(1)
    assert main(["evaluate", "sudoku", "--data", str(path), "--rounds", "1", "--restarts", "2"]) == 0
    assert torch.initial_seed() == 0  # the same noise in every call
    for rounds in ("x", "0", "8,0"):
        assert main(["evaluate", "sudoku", "--data", str(path), "--rounds", rounds]) == 2
        assert "above 0" in capsys.readouterr().err


def test_wrong_answers_are_written_as_they_stood(tmp_path, monkeypatch, capsys):
    data, wrong = tmp_path / "data.csv", tmp_path / "wrong.csv"
    hard = ".................1.....2.3......3.2...1.4......5....6..3......4.7..8...962...7..."
    data.write_text(f"{PUZZLE},{SOLUTION}\n{hard}\n{PUZZLE}\n")
    for rounds, lines in (("1", [f"{PUZZLE},{SOLUTION}", hard, PUZZLE]), ("10", [hard]), ("64", [])):
        assert main(["evaluate", "sudoku", "--data", str(data), "--rounds", rounds, "--wrong", str(wrong)]) == 0
        assert wrong.read_text().splitlines() == lines
    monkeypatch.setattr("structnet.training.evaluate", None)  # refused before any work
    nowhere = str(tmp_path / "none" / "wrong.csv")
    assert main(["evaluate", "sudoku", "--data", str(data), "--rounds", "1", "--wrong", nowhere]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main(["evaluate", "sudoku", "--data", str(data), "--rounds", "1,64", "--wrong", str(wrong)]) == 2
    assert "one number of rounds" in capsys.readouterr().err


def test_the_shipped_checkpoint_solves_an_easy_board(tmp_path, capsys):
    assert main(["solve", PUZZLE, "--out", str(tmp_path / "s.html"), "--rounds", "32"]) == 0
    assert "solved at round" in capsys.readouterr().out


def test_only_a_model_with_starts_can_start_again(oracle, tmp_path, capsys):
    assert main(["solve", PUZZLE, "--out", str(tmp_path / "s.html"), "--restarts", "2"]) == 2
    assert "candidate network for --restarts" in capsys.readouterr().err


def test_a_board_that_fails_starts_again_from_noise(tmp_path, monkeypatch, capsys):
    model = open_run("sudoku", rounds=1).weights()
    first = model.first_state
    stuck = lambda puzzles: first(puzzles) + 1e4 * torch.arange(48)  # far from anything learned  # noqa: E731
    starts = iter([stuck, stuck, first])
    monkeypatch.setattr(model, "first_state", lambda puzzles: next(starts)(puzzles))
    far, states = model.thrown, []
    monkeypatch.setattr(model, "restart_noise", 0.5)
    monkeypatch.setattr(model, "thrown", lambda state: states.append(far(state)) or states[-1])
    monkeypatch.setattr("structnet.systems.open_run", lambda where, **overrides: SimpleNamespace(weights=lambda: model))
    argv = ["solve", PUZZLE, "--out", str(tmp_path / "s.html"), "--rounds", "8", "--restarts", "5"]
    torch.manual_seed(1)
    assert main(argv) == 0
    assert len(states) == 2 and (states[1] - first(torch.zeros(1, 81))).std() > 0.4
    assert torch.initial_seed() == 0  # the same noise in every call
    out = capsys.readouterr().out
    assert "of start 3" in out and "solved at round" in out and "5 3 4 | 6 7 8 | 9 1 2" in out


def test_a_model_that_halts_stops_at_its_answer():
    model = open_run("sudoku").weights()
    puzzle = torch.tensor([parse_board(PUZZLE)])
    stopped = _rounds(model, puzzle, 64)
    assert len(stopped) < 64 and len(stopped) % model.halt == 0
    assert (stopped[-1].argmax(-1) + 1).tolist() == list(parse_board(SOLUTION))
    model.halt = 0
    assert len(_rounds(model, puzzle, 64)) == 64
