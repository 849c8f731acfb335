"""Canonical form: puzzles that are one another's images under the symmetry group have the same one."""

from __future__ import annotations

from itertools import permutations, product

import torch
from torch import Tensor

from structnet import native
from structnet.datasets.sudoku.solver import solve
from structnet.errors import StructureError
from structnet.structures.constraints import Board, board_of

LARGEST = 9  # the arrangements of columns are listed: 1,296 of them for 9 x 9


def canonical(puzzles: Tensor, solutions: Tensor | None = None) -> Tensor:
    """The least image of each puzzle, uint8 `[boards, n * n]`: of all images under digits, lines, bands and (square
    boxes) transposition those with the least solution, read row by row, and of these the least puzzle, 0 = empty.

    Two puzzles with one solution each are equivalent if and only if their canonical forms are equal. No boards give
    none. Cost: 2 n arrangements of rows times those of columns, nearly all given up in the second row.

    Args:
        puzzles: uint8 `[boards, n * n]`, n at most 9.
        solutions: of the puzzles; None to solve them first.

    Raises StructureError for larger boards, and for puzzles that have no solution or several.
    """
    board = board_of(puzzles.shape[1])
    if board.size > LARGEST:
        raise StructureError(f"boards of at most {LARGEST} digits", f"{board.size}", "9 x 9, 6 x 6 or 4 x 4")
    if solutions is None:
        found = solve(puzzles)
        bad = (found.count != 1).nonzero().flatten().tolist()
        if bad:
            raise StructureError("one solution each", f"{int(found.count[bad[0]])} in row {bad[0]}", "to leave it out")
        solutions = found.boards
    puzzles, solutions = (part.to(torch.uint8).cpu().contiguous().clone() for part in (puzzles, solutions))
    library = native.library()
    if library is None:
        rows = [_least(s, p, board) for s, p in zip(solutions.tolist(), puzzles.tolist())]
        return torch.tensor(rows, dtype=torch.uint8).view(puzzles.shape)
    sizes = (native.ctypes.c_int64(size) for size in (len(puzzles), board.size, board.box_rows))
    library.structnet_sudoku_canonical(*sizes, native.pointer(solutions), native.pointer(puzzles))
    return puzzles


def equivalent(first: Tensor, second: Tensor) -> Tensor:
    """Which rows of `first` are images of a row of `second`, bool `[len(first)]`; both in canonical form."""
    known = {row.tobytes() for row in second.numpy()}
    return torch.tensor([row.tobytes() in known for row in first.numpy()], dtype=torch.bool)


def _least(solution: list[int], puzzle: list[int], board: Board) -> list[int]:
    """Every image is made and the least taken: canonical.cpp without its short cuts."""
    n = board.size
    turns = [(solution, puzzle)]
    if board.box_rows == board.box_columns:
        turns.append(tuple([part[c * n + r] for r in range(n) for c in range(n)] for part in turns[0]))  # type: ignore[arg-type]
    images = []
    for (grid, given), top, order in product(turns, range(n), _arrangements(n, board.box_columns)):
        name = {0: 0, **{grid[top * n + column]: at + 1 for at, column in enumerate(order)}}
        first = [name[grid[r * n + order[0]]] for r in range(n)]
        bands = [sorted(range(b, b + board.box_rows), key=first.__getitem__) for b in range(0, n, board.box_rows)]
        rows = [r for band in sorted(bands, key=lambda band: first[band[0]]) for r in band]
        images.append(tuple([name[part[r * n + c]] for r in rows for c in order] for part in (grid, given)))
    return min(images)[1]


def _arrangements(n: int, per_band: int) -> list[list[int]]:
    """Orders of n lines that keep bands together."""
    lines = list(permutations(range(per_band)))
    bands = n // per_band
    return [
        [band * per_band + line for band, inner in zip(order, within) for line in inner]
        for order in permutations(range(bands))
        for within in product(lines, repeat=bands)
    ]
