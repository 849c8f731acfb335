"""`structnet solve "53..7...."`: solve Sudokus (argument, file, standard input), show the beliefs round by round."""

from __future__ import annotations

import sys
from pathlib import Path

from jsonargparse import ArgumentParser


def main(argv: list[str]) -> int:
    parser = ArgumentParser(prog="structnet solve", description=__doc__)
    parser.add_argument("puzzle", type=str, nargs="?", default="-", help="a board, a file, or - for standard input")
    parser.add_argument("--run", type=str, default="sudoku", help="a run folder or a shipped checkpoint")
    parser.add_argument("--rounds", type=int, default=64, help="rounds of the network")
    parser.add_argument("--out", type=str, default="sudoku.html", help="page with the beliefs of the first board")
    options = parser.parse_args(argv)

    import torch

    from structnet.datasets.sudoku import format_board, parse_board
    from structnet.report.sudoku_html import solved_at, write_beliefs
    from structnet.systems import open_run

    texts = _texts(options.puzzle)
    puzzles = [torch.tensor([parse_board(text, f"board {at}")]) for at, text in enumerate(texts, 1)]
    model = open_run(options.run, rounds=1).weights()  # one round at a time, to keep what it believed after each
    solved = 0
    for at, puzzle in enumerate(puzzles):
        logits = _rounds(model, puzzle, options.rounds)
        answer, when = logits[-1].argmax(-1) + 1, solved_at(logits)
        kept = bool(((puzzle[0] == 0) | (puzzle[0] == answer)).all())
        solved += bool(when) and kept
        verdict = f"solved at round {when}" if when and kept else "NOT a valid solution"
        print(f"{format_board(answer)}  {verdict}" if len(puzzles) > 1 else f"{_grid(answer)}\n{verdict}")
        if at == 0:
            print(f"beliefs: {write_beliefs(Path(options.out), puzzle[0], logits)}", file=sys.stderr)
    if len(puzzles) > 1:
        print(f"{solved} of {len(puzzles)} solved")
    return 0 if solved == len(puzzles) else 1


def _texts(source: str) -> list[str]:
    if source == "-":
        lines = sys.stdin.read().splitlines()
    elif Path(source).is_file():
        lines = Path(source).read_text(encoding="utf-8").splitlines()
    else:
        lines = [source]
    return [line.split(",")[0] for line in lines if line.strip() and not line.lower().startswith("puzzle")]


def _rounds(model, puzzle, count: int):
    """Logits after every round, `[rounds, cells, digits]`."""
    import torch

    logits, state = [], None
    with torch.no_grad():
        for _ in range(count):
            out = model(puzzle, state)
            state = out.state
            logits.append(out.logits[-1, 0])
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
