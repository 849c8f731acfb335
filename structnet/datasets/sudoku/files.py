"""Sudoku files: one `puzzle` or `puzzle,solution` a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.structures.constraints import CELL, Board, board_of, sudoku_constraints

SYMBOLS = ".123456789ABCDEFGHIJKLMNOP"  # the digits of up to 25 x 25; 0 also means empty


def parse_board(text: str, where: str = "the board") -> list[int]:
    """Digits of one board, 0 = empty. Accepts `.` or `0` for empty cells, letters above 9, and white space.

    Raises StructureError for a wrong length (or one above 25 x 25), an unknown symbol or contradictory givens (naming
    the two cells).
    """
    text = "".join(text.split()).upper()
    board = board_of(len(text))
    if board.size >= len(SYMBOLS):
        got = f"{board.size} x {board.size} in {where}"
        raise StructureError("a board of at most 25 x 25 cells", got, "81, 16, 36, 256 or 625 characters")
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

    All boards of a file have one size. A header line is passed over. Raises StructureError with the line number: rows
    are read as one table, and looked at one by one only if the table is not sound.
    """
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    numbered = [(at, line) for at, line in enumerate(lines, 1) if line and not _is_header(at, line)]
    if not numbered:
        raise StructureError("at least one row puzzle[,solution]", f"none in {path}", "another file")
    parts: list[tuple[int, str, str]] = []
    for at, line in numbered:
        puzzle, solution = [*line.split(","), ""][:2]
        parts.append((at, puzzle, solution))
    cells = len(parts[0][1])
    sound = all(len(puzzle) == cells and len(solution) in (0, cells) for _, puzzle, solution in parts)
    if sound:
        puzzles, solutions = (_table(texts, cells) for texts in ([p for _, p, _ in parts], [s for _, _, s in parts]))
        kept = ((puzzles == 0) | (puzzles == solutions) | (solutions == 0)).all()
        if kept and _consistent(puzzles) and _consistent(solutions):
            return torch.from_numpy(puzzles), torch.from_numpy(solutions)
    return _one_by_one(parts, path)


def _is_header(at: int, line: str) -> bool:
    return at == 1 and line.split(",")[0].lower() in ("puzzle", "puzzles", "quizzes")


def _table(texts: list[str], cells: int) -> np.ndarray:
    """Digits of equally long texts, uint8; 255 where a symbol is unknown. An empty text is a row of zeros."""
    codes = np.frombuffer("".join(text or "." * cells for text in texts).upper().encode("latin-1", "replace"), np.uint8)
    values = np.full(256, 255, np.uint8)
    values[[ord(symbol) for symbol in SYMBOLS]] = np.arange(len(SYMBOLS))
    values[ord("0")] = 0
    return values[codes].reshape(-1, cells)


def _consistent(boards: np.ndarray) -> bool:
    """Whether no row, column or box of any board holds a digit twice, and there are symbols for all digits."""
    board = board_of(boards.shape[1])
    if boards.max(initial=0) > board.size or board.size >= len(SYMBOLS):
        return False
    held = boards[:, :, None] == np.arange(1, board.size + 1, dtype=np.uint8)
    held = held.reshape(len(boards), -1)
    counts = (np.add.reduceat(held[:, order], starts, 1, dtype=np.uint8) for order, starts in _units(board))
    return all(count.max(initial=0) <= 1 for count in counts)


def _units(board: Board) -> list[tuple[np.ndarray, np.ndarray]]:
    """For rows, columns and boxes: candidates sorted by unit, and where each unit starts."""
    graph = sudoku_constraints(board)
    units = [(index, count) for kind, index, count in graph.units[: graph.exact] if kind != CELL]
    return [(index.argsort(stable=True).numpy(), np.arange(count) * board.size) for index, count in units]


def _one_by_one(parts: list[tuple[int, str, str]], path: str | Path) -> tuple[Tensor, Tensor]:
    puzzles: list[list[int]] = []
    solutions: list[list[int]] = []
    for number, left, right in parts:
        where = f"line {number} of {path}"
        puzzle = parse_board(left, where)
        solution = parse_board(right, where) if right else [0] * len(puzzle)
        sizes = {len(puzzle), len(solution), *(len(p) for p in puzzles[:1])}
        if len(sizes) > 1:
            raise StructureError("boards of one size", f"{sorted(sizes)} cells in {where}", "one file per size")
        if any(solution) and any(p not in (0, s) for p, s in zip(puzzle, solution)):
            raise StructureError("a solution that keeps the givens", f"another one in {where}", "to check the row")
        puzzles.append(puzzle)
        solutions.append(solution)
    return torch.tensor(puzzles, dtype=torch.uint8), torch.tensor(solutions, dtype=torch.uint8)


def format_board(digits: list[int] | Tensor) -> str:
    """One board as a line of symbols, `.` for empty."""
    return "".join(SYMBOLS[int(digit)] for digit in digits)
