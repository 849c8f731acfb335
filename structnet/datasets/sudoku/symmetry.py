"""The symmetries of Sudoku, and reveals: vectorised augmentation that keeps a puzzle's solution unique."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.structures.constraints import Board, board_of


def reveal(puzzles: Tensor, solutions: Tensor, most: int, generator: torch.Generator | None = None) -> Tensor:
    """Give away 0 .. `most` random empty cells of each puzzle (as many as drawn, uniformly): adding solution cells
    keeps the solution unique. Shapes `[boards, cells]` -> the same."""
    boards, cells = puzzles.shape
    count = torch.randint(0, most + 1, (boards, 1), generator=generator)
    order = torch.rand(boards, cells, generator=generator).masked_fill(puzzles > 0, 2.0)
    rank = order.argsort(1).argsort(1)
    return torch.where((puzzles == 0) & (rank < count), solutions, puzzles)


def relabel(puzzles: Tensor, solutions: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """A random element of the symmetry group for each board: digits, lines within bands, bands, transposition
    (9! x 2 x 6^8 elements for 9 x 9). Boxes must be square for transposition; other boards keep their axes."""
    board = board_of(puzzles.shape[1])
    count = len(puzzles)
    digits = 1 + torch.rand(count, board.size, generator=generator).argsort(1)
    digits = torch.cat([digits.new_zeros(count, 1), digits], 1)
    cells = _cells(count, board, generator)
    return tuple(digits.gather(1, b.long().gather(1, cells)).to(b.dtype) for b in (puzzles, solutions))  # type: ignore[return-value]


def _cells(count: int, board: Board, generator: torch.Generator | None) -> Tensor:
    """Source cell of each cell, `[count, n * n]`."""
    n = board.size
    rows = _lines(count, n // board.box_rows, board.box_rows, generator)
    columns = _lines(count, n // board.box_columns, board.box_columns, generator)
    cells = rows[:, :, None] * n + columns[:, None, :]
    if board.box_rows == board.box_columns:
        turn = torch.rand(count, 1, 1, generator=generator) < 0.5
        cells = torch.where(turn, cells.transpose(1, 2), cells)
    return cells.reshape(count, n * n)


def _lines(count: int, bands: int, per_band: int, generator: torch.Generator | None) -> Tensor:
    """A permutation of lines that keeps bands together, `[count, bands * per_band]`."""
    band = torch.rand(count, bands, generator=generator).argsort(1)
    line = torch.rand(count, bands, per_band, generator=generator).argsort(2)
    return (band[:, :, None] * per_band + line).reshape(count, bands * per_band)
