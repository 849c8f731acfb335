"""Sudoku files: one `puzzle` or `puzzle,solution` a line."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.structures.constraints import Board, board_of

SYMBOLS = ".123456789ABCDEFGHIJKLMNOP"  # the digits of up to 25 x 25; 0 also means empty


def parse_board(text: str, where: str = "the board") -> list[int]:
    """Digits of one board, 0 = empty. Accepts `.` or `0` for empty cells, letters above 9, and white space.

    Raises StructureError for a wrong length, an unknown symbol or contradictory givens (naming the two cells).
    """
    text = "".join(text.split()).upper()
    board = board_of(len(text)) if text else board_of(0)
    digits = []
    for at, symbol in enumerate(text):
        value = 0 if symbol == "0" else SYMBOLS.find(symbol)
        if value < 0 or value > board.size:
            got = f"{symbol!r} at character {at + 1} of {where}"
            raise StructureError(f". or 1 .. {SYMBOLS[board.size]}", got, ". for empty cells")
        digits.append(value)
    clash = contradiction(digits, board)
    if clash is not None:
        (r1, c1), (r2, c2) = ((cell // board.size + 1, cell % board.size + 1) for cell in clash)
        got = f"{SYMBOLS[digits[clash[0]]]} twice, in r{r1}c{c1} and r{r2}c{c2} of {where}"
        raise StructureError("each digit once in every row, column and box", got, "to check these two cells")
    return digits


def contradiction(digits: list[int], board: Board) -> tuple[int, int] | None:
    """Two cells of one row, column or box with the same digit, if there are any."""
    seen: dict[tuple[str, int, int], int] = {}
    for cell, digit in enumerate(digits):
        if not digit:
            continue
        r, c = divmod(cell, board.size)
        box = r // board.box_rows * (board.size // board.box_columns) + c // board.box_columns
        for unit in (("row", r, digit), ("column", c, digit), ("box", box, digit)):
            if unit in seen:
                return seen[unit], cell
            seen[unit] = cell
    return None


def read_boards(path: str | Path) -> tuple[Tensor, Tensor]:
    """Puzzles and solutions, uint8 `[boards, n * n]`; a missing solution is a row of zeros.

    All boards of a file have one size. A header line is passed over. Raises StructureError with the line number.
    """
    puzzles, solutions = [], []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            parts = line.strip().split(",")
            if not parts[0] or (number == 1 and parts[0].lower() in ("puzzle", "puzzles", "quizzes")):
                continue
            where = f"line {number} of {path}"
            puzzle = parse_board(parts[0], where)
            solution = parse_board(parts[1], where) if len(parts) > 1 and parts[1] else [0] * len(puzzle)
            sizes = {len(puzzle), len(solution), *(len(p) for p in puzzles[:1])}
            if len(sizes) > 1:
                raise StructureError("boards of one size", f"{sorted(sizes)} cells in {where}", "one file per size")
            if any(solution) and any(p not in (0, s) for p, s in zip(puzzle, solution)):
                raise StructureError("a solution that keeps the givens", f"another one in {where}", "to check the row")
            puzzles.append(puzzle)
            solutions.append(solution)
    if not puzzles:
        raise StructureError("at least one row puzzle[,solution]", f"none in {path}", "another file")
    return torch.tensor(puzzles, dtype=torch.uint8), torch.tensor(solutions, dtype=torch.uint8)


def format_board(digits: list[int] | Tensor) -> str:
    """One board as a line of symbols, `.` for empty."""
    return "".join(SYMBOLS[int(digit)] for digit in digits)
