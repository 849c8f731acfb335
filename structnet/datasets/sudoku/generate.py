"""Generator: puzzles of any board size with one solution, by deleting cells under proof."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.datasets.sudoku.solver import solve
from structnet.datasets.sudoku.symmetry import relabel
from structnet.structures.constraints import board_of


def generate(
    count: int, size: int = 9, givens: int = 30, generator: torch.Generator | None = None, budget: int = 10_000
) -> tuple[Tensor, Tensor]:
    """Puzzles and solutions, uint8 `[count, size * size]`, each puzzle with exactly one solution.

    Solutions are random images of the canonical grid under the symmetry group (so of one of the many classes of full
    grids). Cells are visited once in random order and emptied where the solution stays unique, until `givens` are
    left; a board that runs out of cells to empty keeps more. A deletion that the solver cannot decide in `budget` tries
    is undone.
    Cost: size^2 calls of the solver on all boards.
    """
    board = board_of(size * size)
    r, c = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    canonical = (board.box_columns * (r % board.box_rows) + r // board.box_rows + c) % size + 1
    solutions = canonical.reshape(1, -1).to(torch.uint8).expand(count, -1)
    solutions, _ = relabel(solutions, solutions, generator)
    puzzles = solutions.clone()
    for cells in torch.rand(count, size * size, generator=generator).argsort(1).t():
        rows = ((puzzles > 0).sum(1) > givens).nonzero().squeeze(1)
        if not len(rows):
            break
        trial = puzzles[rows]
        trial[torch.arange(len(rows)), cells[rows]] = 0
        unique = solve(trial, limit=2, budget=budget).count == 1
        puzzles[rows[unique]] = trial[unique]
    return puzzles, solutions
