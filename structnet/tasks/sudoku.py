"""Sudoku as a task: a puzzle in, every cell of the one solution out."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from structnet.datasets.cache import cached
from structnet.datasets.sudoku import format_board, generate, read_boards, reveal, solve
from structnet.errors import StructureError
from structnet.structures.constraints import is_solution
from structnet.tasks.task import Batch, mean_scores

HELD_OUT = 1_000  # rows of each file that are never trained on (a fifth of a file of less than 5,000)
GENERATED, GIVENS = 5_000, 26  # boards where no file is given, and what is left of them at least
LABELLED = 81  # cells of the largest boards whose guesses are counted


class SudokuSplit:
    """Boards of one size. In training, `reveals` random cells at most are given away."""

    def __init__(self, name: str, puzzles: Tensor, solutions: Tensor, reveals: int = 0):
        self.name, self.puzzles, self.solutions, self.reveals = name, puzzles, solutions, reveals
        self.givens = (puzzles > 0).sum(1)
        self.sizes = torch.full((len(puzzles),), puzzles.shape[1])

    def __len__(self) -> int:
        return len(self.puzzles)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        puzzles, solutions = self.puzzles[rows], self.solutions[rows]
        if generator is not None and self.reveals:
            puzzles = reveal(puzzles, solutions, self.reveals, generator)
        keys = {"givens": self.givens[rows]}
        if generator is None and puzzles.shape[1] <= LABELLED:  # a larger board may take the solver for ever
            keys["guesses_log2"] = guess_bands(puzzles)
        return Batch((puzzles.long(),), solutions.long(), len(rows), keys)

    def lines(self, rows: Tensor) -> list[str]:
        """Rows as they stand in a file: `puzzle,solution`, or the puzzle alone."""
        pairs = zip(self.puzzles[rows].tolist(), self.solutions[rows].tolist())
        return [",".join(format_board(board) for board in pair if any(board)) for pair in pairs]


class Sudoku:
    """Solve Sudokus; marked by whole boards.

    Args:
        files: `puzzle,solution` files with commas between; nothing for 5,000 generated boards of 9 x 9 (easy ones). Of
            each, a fixed 1,000 rows (of less than 5,000 a fifth) are held out; the rest train. The first file's are the
            validation split; every file's are a split named after it, those of generated boards "generated".
        reveals: most cells given away in a training puzzle.
        rows: training rows of each file in an epoch, with commas between; nothing or 0 for all, fewer are the first,
            more come again ("0,6000": a few hard boards among the others, or some hundreds of them often).
    """

    name = "sudoku"
    train, validation = "train", "validation"
    chance = 0.0

    def __init__(self, files: str = "", reveals: int = 17, rows: str = ""):
        self.files = tuple(Path(name) for name in files.split(",") if name) or (None,)
        self.rows = tuple(int(count) for count in rows.split(",") if count) or (0,) * len(self.files)
        if len(self.rows) != len(self.files):
            raise StructureError(f"rows for {len(self.files)} files", repr(rows), 'rows="0,6000" for two files')
        self.reveals = reveals
        self.splits = tuple(path.stem if path else "generated" for path in self.files)
        self.in_range = frozenset(self.splits)

    def split(self, name: str) -> SudokuSplit:
        parts = [_parts(path) for path in self.files]
        if name == "train":
            used = list(zip(parts, self.rows))
            puzzles, solutions = (torch.cat([_as_many(part[i], count) for part, count in used]) for i in (0, 1))
            return SudokuSplit(name, puzzles, solutions, self.reveals)
        named = {"validation": parts[0], **dict(zip(self.splits, parts))}
        if name not in named:
            raise StructureError(f"a split out of train, {', '.join(named)}", repr(name), "one of these")
        return SudokuSplit(name, *named[name][2:])

    def from_file(self, path: str | Path) -> SudokuSplit:
        return SudokuSplit(str(path), *read_boards(path))

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Cross-entropy over the digits of every cell, the mean over all kept rounds."""
        logits = output.logits
        target = (batch.target - 1).expand(len(logits), -1, -1)
        return F.cross_entropy(logits.flatten(0, 2), target.flatten())

    def score(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """`accuracy`: the whole board right; `cells`: share of cells; `invalid`: a unit breaks the rules, or a given
        is changed. Without a known solution a board is right if it is valid and keeps the givens."""
        answer = output.logits[-1].argmax(-1) + 1
        puzzle, known = batch.inputs[0], batch.target.any(1)
        valid = is_solution(puzzle, answer)
        right = torch.where(known, (answer == batch.target).all(1), valid)
        cells = torch.where(known, (answer == batch.target).float().mean(1), valid.float())
        return {"accuracy": right.float(), "cells": cells, "invalid": 1 - valid.float()}

    summary = staticmethod(mean_scores)


def _as_many(boards: Tensor, count: int) -> Tensor:
    return boards[torch.arange(count) % len(boards)] if count else boards


def guess_bands(puzzles: Tensor) -> Tensor:
    """0 where singles solve a puzzle, else 1 + floor(log2(digits that the solver tried at guesses))."""
    return solve(puzzles, limit=1).guesses.double().add(1).log2().ceil().long()


@cache
def _parts(path: Path | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training puzzles and solutions, held-out puzzles and solutions of a file; the cut is a function of the file."""
    puzzles, solutions = read_boards(path) if path else _generated()
    if not bool(solutions.any(1).all()):
        raise StructureError("puzzle,solution in every row", f"rows without solution in {path}", "a file with both")
    order = torch.randperm(len(puzzles), generator=torch.Generator().manual_seed(0))
    held, train = order.split([count := min(HELD_OUT, len(order) // 5), len(order) - count])
    return puzzles[train], solutions[train], puzzles[held], solutions[held]


def _generated() -> tuple[Tensor, Tensor]:
    """Boards for those who bring no file, made once (seed 0) and kept in the cache."""

    def build() -> dict[str, Any]:
        drawn = generate(GENERATED, givens=GIVENS, generator=torch.Generator().manual_seed(0))
        return dict(zip(("puzzles", "solutions"), (boards.numpy() for boards in drawn)))

    kept = cached(f"sudoku/{GENERATED}-boards-of-{GIVENS}-givens", build)
    return torch.from_numpy(kept["puzzles"]), torch.from_numpy(kept["solutions"])
