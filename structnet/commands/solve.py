"""`structnet solve "53..7...."`: solve Sudokus (argument, file or standard input), show the beliefs round by round."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveInt

from structnet.errors import StructureError


def main(argv: list[str]) -> int:
    parser = ArgumentParser(prog="structnet solve", description=__doc__)
    parser.add_argument("puzzle", type=str, nargs="?", default="-", help="a board, a file of boards, or - (stdin)")
    parser.add_argument("--run", type=str, default="sudoku", help="a run folder or a shipped checkpoint")
    parser.add_argument("--rounds", type=PositiveInt, help="most rounds, if not those of the run")
    parser.add_argument("--restarts", type=PositiveInt, default=1, help="starts to try, all but the first from noise")
    parser.add_argument("--out", type=str, default="sudoku.html", help="page with the beliefs of the first board")
    parser.add_argument("--gif", type=str, default="", help="the same as an animated GIF, to this file")
    options = parser.parse_args(argv)

    import torch

    from structnet.datasets.sudoku import format_board, parse_board
    from structnet.systems import open_run

    texts = _texts(options.puzzle)
    puzzles = [torch.tensor([parse_board(text, f"board {at}")]) for at, text in enumerate(texts, 1)]
    if not puzzles:
        raise StructureError("at least one board", f"none in {options.puzzle}", "81 characters, . for empty cells")
    model: Any = open_run(options.run).weights()
    solved = 0
    rounds, model.rounds = options.rounds or model.rounds, 1  # one at a time, to keep what it believed after each
    torch.manual_seed(0)  # restarts begin from noise
    for at, puzzle in enumerate(puzzles, 1):
        fault = _fault(puzzle)
        if fault and len(puzzles) == 1:
            raise StructureError("a Sudoku with exactly one solution", fault, "to check the givens")
        logits, good, verdict = _attempts(model, puzzle, rounds, options.restarts)
        answer = logits[-1].argmax(-1) + 1
        solved += good
        if len(puzzles) == 1:
            print(f"{_grid(answer)}\n{verdict}")
        else:
            print(f"{format_board(answer)}  {verdict}" + (f" (board {at} has {fault})" if fault else ""))
        if at == 1:
            _show(options, puzzle[0], logits)
    if len(puzzles) > 1:
        print(f"{solved} of {len(puzzles)} solved")
    return 0 if solved == len(puzzles) else 1


def _texts(source: str) -> list[str]:
    if source == "-":
        lines = sys.stdin.read().splitlines()
    elif _is_name(source) or (len(source) < 256 and Path(source).is_file()):
        lines = Path(source).read_text(encoding="utf-8").splitlines()
    else:
        lines = [source]
    return [line.split(",")[0] for line in lines if line.strip() and not line.lower().startswith("puzzle")]


def _is_name(source: str) -> bool:
    """Whether this can only be the name of a file: dots are empty cells of a board, and A to P are digits."""
    return bool({"/", "\\"} & set(source)) or Path(source).suffix.lower() in (".csv", ".tsv", ".txt", ".dat", ".sdk")


def _fault(puzzle) -> str:
    """What is wrong with a board that has not exactly one solution; "" if it has, or if that takes long to tell."""
    from structnet.datasets.sudoku import solve

    count = int(solve(puzzle, limit=2, budget=20_000).count)
    return {0: "no solution", 2: "several solutions"}.get(count, "")


def _verdict(puzzle, logits) -> tuple[bool, str]:
    from structnet.report.sudoku_html import solved_at

    answer, when = logits[-1].argmax(-1) + 1, solved_at(logits)
    if not when:
        return False, f"NOT solved: the answer after {len(logits)} rounds breaks the rules"
    if not bool(((puzzle == 0) | (puzzle == answer)).all()):
        return False, "NOT solved: the answer changes a given"
    return True, f"solved at round {when}"


def _show(options, puzzle, logits) -> None:
    from structnet.report.sudoku_html import write_beliefs

    print(f"beliefs: {write_beliefs(Path(options.out), puzzle, logits)}", file=sys.stderr)
    if options.gif:
        from structnet.report.sudoku_gif import write_gif

        print(f"animation: {write_gif(Path(options.gif), puzzle, logits)}", file=sys.stderr)


def _attempts(model, puzzle, rounds: int, starts: int):
    """Logits after every round of the first start that solves the board, or of the last; whether it does; in words."""
    if starts > 1 and not hasattr(model, "thrown"):
        raise StructureError("a candidate network for --restarts", type(model).__name__, "leaving it out")
    logits = _rounds(model, puzzle, rounds)
    good, verdict = _verdict(puzzle[0], logits)
    for start in range(2, starts + 1):
        if good:
            break
        logits = _rounds(model, puzzle, rounds, model.thrown(model.first_state(puzzle)))
        good, verdict = _verdict(puzzle[0], logits)
        verdict += f" of start {start}"
    return logits, good, verdict


def _rounds(model, puzzle, count: int, state=None):
    """Logits after every round, `[rounds, cells, digits]`; a model that halts stops here as it does in evaluation."""
    import torch

    from structnet.structures.constraints import is_solution

    logits, halt = [], getattr(model, "halt", 0)
    with torch.no_grad():
        for _ in range(count):
            out = model(puzzle, state)
            state = out.state
            logits.append(out.logits[-1, 0])
            if halt and len(logits) % halt == 0 and bool(is_solution(puzzle, out.logits[-1].argmax(-1) + 1)):
                break
    return torch.stack(logits)


def _grid(answer) -> str:
    from structnet.datasets.sudoku import format_board
    from structnet.structures.constraints import board_of

    board = board_of(len(answer))
    text, lines = format_board(answer), []
    for r in range(board.size):
        row = text[r * board.size : (r + 1) * board.size]
        blocks = [" ".join(row[c : c + board.box_columns]) for c in range(0, board.size, board.box_columns)]
        if r and r % board.box_rows == 0:
            lines.append("-+-".join("-" * len(block) for block in blocks))
        lines.append(" | ".join(blocks))
    return "\n".join(lines)
