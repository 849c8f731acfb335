"""Problems with one solution on any constraint graph: Latin squares, queens, colourings."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import torch

from structnet.errors import StructureError
from structnet.structures.constraints import (
    Constraints,
    board_of,
    colouring_constraints,
    latin_constraints,
    queens_constraints,
    sudoku_constraints,
)


@dataclass(frozen=True)
class Puzzle:
    """A graph, the candidates that are given, and those of the one solution."""

    graph: Constraints
    given: frozenset[int]
    solution: frozenset[int]

    def kinds(self) -> torch.Tensor:
        """What is known of each candidate, int64 `[M]`: 0 nothing, 1 given, 2 another of its choice is given."""
        index = self.graph.units[0][1]
        given = torch.tensor(sorted(self.given), dtype=torch.int64)
        kinds = torch.where(torch.isin(index, index[given]), 2, 0)
        return kinds.index_fill(0, given, 1)


class Solver:
    """Finds sets of candidates with exactly one in every exact unit and at most one in every other: the exact unit with
    the fewest open candidates first, sets as bits of an integer.

    Args:
        candidates: M.
        exact, others: units, each as its candidates.
    """

    def __init__(self, candidates: int, exact: Iterable[Iterable[int]], others: Iterable[Iterable[int]]):
        self.full = (1 << candidates) - 1
        self.excludes = [1 << at for at in range(candidates)]  # candidates that share a unit with each
        self.units = [self._add(unit) for unit in exact]
        for unit in others:
            self._add(unit)

    @classmethod
    def of(cls, graph: Constraints) -> Solver:
        kinds: tuple[list, list] = ([], [])
        for at, (_, index, count) in enumerate(graph.units):
            units: list[list[int]] = [[] for _ in range(count)]
            for candidate, unit in enumerate(index.tolist()):
                units[unit].append(candidate)
            kinds[at >= graph.exact].extend(unit for unit in units if unit)
        return cls(graph.num_candidates, *kinds)

    def _add(self, unit: Iterable[int]) -> int:
        mask = 0
        for candidate in unit:
            mask |= 1 << candidate
        for candidate in unit:
            self.excludes[candidate] |= mask
        return mask

    def solve(
        self, given: Iterable[int] = (), limit: int = 2, draw: random.Random | None = None
    ) -> list[frozenset[int]]:
        """Up to `limit` solutions that contain the given candidates; with `draw` in random order."""
        found: list[frozenset[int]] = []
        chosen, open_, left = [], self.full, self.units
        for candidate in given:
            if not open_ >> candidate & 1:
                return []
            chosen, open_, left = self._take(candidate, chosen, open_, left)
        self._search(chosen, open_, left, limit, draw, found)
        return found

    def _take(self, candidate: int, chosen: list[int], open_: int, left: list[int]) -> tuple[list[int], int, list[int]]:
        bit = 1 << candidate
        return [*chosen, candidate], open_ & ~self.excludes[candidate], [unit for unit in left if not unit & bit]

    def _search(self, chosen, open_, left, limit, draw, found) -> None:
        if not left:
            found.append(frozenset(chosen))
            return
        options = min((unit & open_ for unit in left), key=int.bit_count)
        candidates = [at for at in range(options.bit_length()) if options >> at & 1]
        if draw is not None:
            draw.shuffle(candidates)
        for candidate in candidates:
            if len(found) >= limit:
                return
            self._search(*self._take(candidate, chosen, open_, left), limit, draw, found)


def puzzle(graph: Constraints, draw: random.Random, extra: float = 0.0) -> Puzzle:
    """A random solution, and of its candidates as few as keep it the only one: each is taken away once, in random
    order, where uniqueness allows, but is kept with probability `extra`.

    Raises:
        StructureError: the graph has no solution.
    """
    solver = Solver.of(graph)
    solutions = solver.solve(limit=1, draw=draw)
    if not solutions:
        raise StructureError("constraints that can be met", "a graph without a solution", "more colours or fewer edges")
    solution, given = solutions[0], sorted(solutions[0])
    for candidate in draw.sample(given, len(given)):
        rest = [c for c in given if c != candidate]
        if draw.random() >= extra and len(solver.solve(rest)) == 1:
            given = rest
    return Puzzle(graph, frozenset(given), solution)


PROBLEMS = {
    "latin": lambda size, draw: _fixed("latin", size),
    "queens": lambda size, draw: _fixed("queens", size),
    "sudoku": lambda size, draw: _fixed("sudoku", size),
    "colouring": lambda size, draw: random_colouring(size, draw),
}


def generate(problem: str, size: int, count: int, seed: int = 0, extra: float = 0.1) -> list[Puzzle]:
    """`count` puzzles: "latin" and "sudoku" squares of this size, "queens" on a board of this size, "colouring" of
    random graphs with this many nodes and 3 colours."""
    if problem not in PROBLEMS:
        raise StructureError(f"a problem out of {', '.join(PROBLEMS)}", repr(problem), 'problem="latin"')
    draw = random.Random(f"{problem} {size} {count} {seed}")
    return [puzzle(PROBLEMS[problem](size, draw), draw, extra) for _ in range(count)]


@cache
def _fixed(problem: str, size: int) -> Constraints:
    if problem == "sudoku":
        return sudoku_constraints(board_of(size * size))
    return (latin_constraints if problem == "latin" else queens_constraints)(size)


def random_colouring(nodes: int, draw: random.Random, colours: int = 3, degree: float = 4.0) -> Constraints:
    """A graph that can be coloured: edges between nodes of different colour of a hidden colouring, `degree` on average
    (near 4.7 three colours stop being enough for most graphs)."""
    hidden = [draw.randrange(colours) for _ in range(nodes)]
    pairs = [(a, b) for a in range(nodes) for b in range(a) if hidden[a] != hidden[b]]
    edges = draw.sample(pairs, min(len(pairs), round(nodes * degree / 2)))
    return colouring_constraints(torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).t(), nodes, colours)
