"""Solver: solutions up to a limit, by singles and guesses; compiled where a library is to be had, else in Python."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from structnet import native
from structnet.errors import StructureError
from structnet.structures.constraints import Board, board_of

LARGEST = 31  # digits that fit one mask


class Solutions(NamedTuple):
    """First solution of each board `[boards, n * n]` (zeros if none was found), number of solutions up to the limit
    (-1: the budget was spent first), digits tried at guesses up to the first solution (0: singles do) `[boards]`."""

    boards: Tensor
    count: Tensor
    guesses: Tensor


def solve(puzzles: Tensor, limit: int = 2, budget: int = 1_000_000) -> Solutions:
    """Solve boards and, with a limit of 2, prove that each solution is the only one.

    Naked singles (a cell with one candidate) and hidden singles (a digit with one cell in a unit) to a fixed point,
    then a guess at the cell with the fewest candidates. Both forms search in the same order and give the same answers.

    Args:
        puzzles: uint8 `[boards, n * n]`, 0 = empty; no boards give no solutions.
        limit: stop at this many solutions of a board.
        budget: digits tried on a board before it is given up.

    Raises StructureError for a board that is not square, or digits above n.
    """
    board = board_of(puzzles.shape[1])
    if board.size > LARGEST or (puzzles.numel() and int(puzzles.max()) > board.size):
        got = f"{board.size} x {board.size} cells, digits up to {int(puzzles.max()) if puzzles.numel() else 0}"
        raise StructureError(f"digits 0 .. n, n at most {LARGEST}", got, "a smaller board or other digits")
    puzzles = puzzles.to(torch.uint8).cpu().contiguous()
    out = Solutions(torch.zeros_like(puzzles), *torch.zeros(2, len(puzzles), dtype=torch.int64))
    library = native.library()
    if library is None:
        for at, digits in enumerate(puzzles.tolist()):
            search = _Search(board, limit, budget)
            out.count[at], out.guesses[at] = search.start(digits)
            if search.first:
                out.boards[at] = torch.tensor([mask.bit_length() for mask in search.first])
        return out
    sizes = (native.ctypes.c_int64(size) for size in (len(puzzles), board.size, board.box_rows, limit, budget))
    library.structnet_sudoku_solve(native.pointer(puzzles), *sizes, *map(native.pointer, out))
    return out


class _Search:
    """The search of solver.cpp, line by line."""

    def __init__(self, board: Board, limit: int, budget: int):
        n = board.size
        self.full, self.limit, self.budget = (1 << n) - 1, limit, budget
        self.count = self.tried = self.guesses = 0
        self.first: list[int] = []
        self.units: list[list[int]] = [[] for _ in range(3 * n)]
        self.units_of: list[tuple[int, ...]] = []
        for cell in range(n * n):
            r, c = divmod(cell, n)
            box = r // board.box_rows * (n // board.box_columns) + c // board.box_columns
            self.units_of.append((r, n + c, 2 * n + box))
            for unit in self.units_of[-1]:
                self.units[unit].append(cell)

    def start(self, digits: list[int]) -> tuple[int, int]:
        finished = self.run([1 << (d - 1) if d else self.full for d in digits], [False] * len(digits))
        count = self.count if finished or self.count >= self.limit else -1
        return count, self.guesses if self.count else self.tried

    def propagate(self, cells: list[int], done: list[bool]) -> bool:
        changed = True
        while changed:
            changed = False
            for cell, bit in enumerate(cells):
                bit = cells[cell]
                if done[cell] or bit & (bit - 1):
                    continue
                done[cell] = True
                for other in (o for unit in self.units_of[cell] for o in self.units[unit]):
                    if other != cell and cells[other] & bit:
                        cells[other] &= ~bit
                        changed = True
                        if not cells[other]:
                            return False
            for unit in self.units:
                once = twice = 0
                for cell in unit:
                    twice, once = twice | once & cells[cell], once | cells[cell]
                if once != self.full:
                    return False
                for cell in unit:
                    bit = cells[cell] & once & ~twice
                    if bit and bit != cells[cell]:
                        if bit & (bit - 1):
                            return False
                        cells[cell] = bit
                        changed = True
        return True

    def run(self, cells: list[int], done: list[bool]) -> bool:
        if not self.propagate(cells, done):
            return True
        open_cells = [(mask.bit_count(), at) for at, mask in enumerate(cells) if mask & (mask - 1)]
        if not open_cells:
            if not self.count:
                self.first, self.guesses = cells, self.tried
            self.count += 1
            return True
        best, left = min(open_cells)[1], cells[min(open_cells)[1]]
        while left and self.count < self.limit:
            self.tried += 1
            if self.tried > self.budget:
                return False
            if not self.run([*cells[:best], left & -left, *cells[best + 1 :]], done[:]):
                return False
            left &= left - 1
        return True
