"""Exact cover as a task: some candidates are given, all of the one solution are asked."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from structnet.datasets.exact_cover import Puzzle, Solver, generate
from structnet.errors import StructureError
from structnet.structures.constraints import Constraints
from structnet.structures.incidence import Incidence
from structnet.tasks.task import Batch, mean_scores

TEST = 200  # puzzles for validation and of each test


class PuzzleSplit:
    """A batch holds the kind of input of each candidate `[M]` and the `Incidence` of all; the target is 1.0 at
    candidates of the solution."""

    def __init__(self, name: str, puzzles: list[Puzzle]):
        self.name, self.puzzles = name, puzzles
        self.sizes = torch.tensor([p.graph.num_candidates for p in puzzles])

    def __len__(self) -> int:
        return len(self.puzzles)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        chosen = [self.puzzles[row] for row in rows.tolist()]
        graph = Incidence.of([p.graph for p in chosen])
        empty = [torch.zeros(p.graph.num_candidates) for p in chosen]
        target = torch.cat([t.index_fill(0, _tensor(p.solution), 1.0) for t, p in zip(empty, chosen)])
        kinds = torch.cat([p.kinds() for p in chosen])
        return Batch((kinds, graph), _Target(target, graph), len(chosen), {"size": self.sizes[rows]})


class _Target:
    """What is right, and which candidates are one choice."""

    def __init__(self, right: Tensor, graph: Incidence):
        self.right, self.graph = right, graph

    def to(self, device: torch.device | str) -> _Target:
        return _Target(self.right.to(device), self.graph.to(device))


class ExactCover:
    """Puzzles with one solution: Latin squares, queens, colourings, Sudokus; marked by whole puzzles.

    Args:
        problem: "latin", "queens", "colouring" or "sudoku".
        size: of squares and boards, or number of nodes.
        count: training puzzles.
        seed: of all splits.

    Splits: "validation" of the training size, and "larger" (one size up: 1 more line, or half as many nodes again).
    """

    name = "exact-cover"
    train, validation = "train", "validation"
    splits: tuple[str, ...] = ("validation", "larger")
    in_range: frozenset[str] = frozenset({"validation"})
    chance = 0.0

    def __init__(self, problem: str = "latin", size: int = 5, count: int = 2_000, seed: int = 0):
        self.problem, self.size, self.count, self.seed = problem, size, count, seed

    def split(self, name: str) -> PuzzleSplit:
        if name not in (self.train, *self.splits):
            raise StructureError(f"one of train, {', '.join(self.splits)}", repr(name), 'split("larger")')
        size = self.size if name != "larger" else _larger(self.problem, self.size)
        place = (self.train, *self.splits).index(name)
        return _split(name, self.problem, size, self.count if name == "train" else TEST, 3 * self.seed + place)

    def from_file(self, path: str | Path) -> PuzzleSplit:
        """JSON lines `{"candidates": M, "units": [[kind, exact, [candidate, ...]], ...], "given": [candidate,
        ...]}`: kinds 0 (choices; exact, and every candidate in one), 1, 2; the solution is computed and must be the
        only one."""
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        puzzles = [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
        if not puzzles:
            raise StructureError("at least one puzzle", f"none in {path}", "another file")
        return PuzzleSplit(str(path), puzzles)

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Cross-entropy over the candidates of each choice, the mean over choices and kept rounds."""
        graph, right = batch.target.graph, batch.target.right
        logits = output.logits.float()
        index = graph.choice.expand_as(logits)
        top = logits.new_zeros(len(logits), graph.num_choices).scatter_reduce(
            1, index, logits.detach(), "amax", include_self=False
        )
        total = torch.zeros_like(top).scatter_add(1, index, (logits - top.gather(1, index)).exp())
        return (total.log() + top).mean() - (logits * right).sum() / (len(logits) * graph.num_choices)

    def score(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """`accuracy`: every choice of the puzzle right; `choices`: share of right ones."""
        graph, last = batch.target.graph, output.logits[-1].float()
        best = last.new_zeros(graph.num_choices).scatter_reduce(0, graph.choice, last, "amax", include_self=False)
        at_solution = last.new_zeros(graph.num_choices).index_add(0, graph.choice, last * batch.target.right)
        right = (best == at_solution).float()
        count = torch.bincount(graph.problem, minlength=graph.num_problems)
        share = right.new_zeros(graph.num_problems).index_add(0, graph.problem, right) / count
        return {"accuracy": (share == 1).float(), "choices": share}

    summary = staticmethod(mean_scores)


def _tensor(candidates: frozenset[int]) -> Tensor:
    return torch.tensor(sorted(candidates), dtype=torch.int64)


def _larger(problem: str, size: int) -> int:
    return {"colouring": size + size // 2, "sudoku": 9 if size < 9 else 16}.get(problem, size + 1)


@cache
def _split(name: str, problem: str, size: int, count: int, seed: int) -> PuzzleSplit:
    return PuzzleSplit(name, generate(problem, size, count, seed))


def _parse(line: str, where: str) -> Puzzle:
    """Every unit becomes a family of its own (its other candidates in units of one), the choices one together."""
    try:
        data = json.loads(line)
        count, units = int(data["candidates"]), [(int(k), bool(e), [int(c) for c in cs]) for k, e, cs in data["units"]]
        choices = [members for kind, exact, members in units if kind == 0 and exact]
        if sorted(c for members in choices for c in members) != list(range(count)):
            raise ValueError("choices that hold every candidate once")
        index = torch.empty(count, dtype=torch.int64)
        for at, members in enumerate(choices):
            index[members] = at
        families = [(0, index, len(choices))]
        for kind, exact, members in units:
            if kind == 0 and exact:
                continue
            families.append((range(3)[kind], torch.arange(count).index_fill(0, torch.tensor(members), members[0]),
            count))
        graph = Constraints(count, tuple(families), exact=1)
        kinds = ([m for _, exact, m in units if exact], [m for _, exact, m in units if not exact])
        solutions = Solver(count, *kinds).solve([int(c) for c in data["given"]])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise StructureError("a puzzle as JSON", f"{error} at {where}", "candidates, units, given") from error
    if len(solutions) != 1:
        raise StructureError("one solution", f"{'none' if not solutions else 'several'} at {where}", "other givens")
    return Puzzle(graph, frozenset(data["given"]), solutions[0])
