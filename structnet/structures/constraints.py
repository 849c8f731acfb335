"""Constraint graphs: candidates, and the units in which exactly one of them holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from structnet.errors import StructureError

CELL, LINE, BOX, INTERSECTION = range(UNIT_KINDS := 4)  # kinds of units; rows and columns are one kind


@dataclass(frozen=True)
class Board:
    """A Sudoku board of n = box_rows * box_columns digits, n x n cells."""

    size: int
    box_rows: int
    box_columns: int


@cache
def board_of(cells: int) -> Board:
    """The board with this many cells, boxes as square as they get (2 x 3 for 6 x 6), or StructureError."""
    size = math.isqrt(cells)
    if size * size != cells or size < 2:
        raise StructureError("a square board such as 81 cells", f"{cells} cells", "81, 16, 36, 256 or 625 characters")
    rows = next(r for r in range(math.isqrt(size), 0, -1) if size % r == 0)
    return Board(size, rows, size // rows)


@dataclass(frozen=True, eq=False)
class Constraints:
    """Candidates and, for each family of units, the unit of every candidate.

    Attributes:
        num_candidates: M.
        units: `(kind, index [M], number of units)` per family; families of one kind share their weights.
        exact: in the units of this many first families exactly one candidate holds, in the rest at most one; the first
            family are the choices to be made.
    """

    num_candidates: int
    units: tuple[tuple[int, Tensor, int], ...]
    exact: int

    def repeat(self, copies: int) -> Constraints:
        """This many copies side by side, as one graph."""
        step = torch.arange(copies).repeat_interleave(self.num_candidates)
        units = ((kind, index.repeat(copies) + step * count, copies * count) for kind, index, count in self.units)
        return replace(self, num_candidates=copies * self.num_candidates, units=tuple(units))


def sudoku_constraints(board: Board) -> Constraints:
    """Candidates (row, column, digit) in this order; families: cells, rows, columns, boxes (of one digit each), and the
    intersections of boxes with rows and with columns, which follow from the others: at most one. They tell whether
    all that is left of a digit in a box lies in one line, which is then ruled out in the rest of the line."""
    n = board.size
    r, c, d = torch.meshgrid(*(torch.arange(n),) * 3, indexing="ij")
    beside, below = n // board.box_columns, n // board.box_rows  # boxes in a row, in a column
    stack, band = c // board.box_columns, r // board.box_rows
    families = (
        (CELL, r * n + c, n),
        (LINE, r * n + d, n),
        (LINE, c * n + d, n),
        (BOX, (band * beside + stack) * n + d, n),
        (INTERSECTION, (r * beside + stack) * n + d, n * beside),
        (INTERSECTION, (c * below + band) * n + d, n * below),
    )
    return Constraints(n**3, tuple((kind, index.reshape(-1), n * count) for kind, index, count in families), exact=4)


def is_valid(boards: Tensor) -> Tensor:
    """Whether each full board `[boards, n * n]` has every digit once in each row, column and box, bool `[boards]`."""
    board = board_of(boards.shape[1])
    graph = sudoku_constraints(board)
    held = torch.zeros(len(boards), board.size**3, device=boards.device)
    candidate = torch.arange(boards.shape[1], device=boards.device) * board.size + boards - 1
    held.scatter_(1, candidate, 1.0)
    good = torch.ones(len(boards), dtype=torch.bool, device=boards.device)
    for _, index, count in graph.units[: graph.exact]:
        total = held.new_zeros(len(boards), count).index_add(1, index.to(boards.device), held)
        good &= (total == 1).all(1)
    return good


def is_solution(puzzles: Tensor, boards: Tensor) -> Tensor:
    """Whether each full board is valid and keeps the givens of its puzzle (0: empty), bool `[boards]`."""
    return is_valid(boards) & ((puzzles == 0) | (puzzles == boards)).all(1)


def latin_constraints(size: int) -> Constraints:
    """Latin squares: a Sudoku without boxes."""
    full = sudoku_constraints(Board(size, 1, size))
    return Constraints(full.num_candidates, full.units[:3], exact=3)


def queens_constraints(size: int) -> Constraints:
    """n queens: candidates (row, column); one in each row and column, at most one in each diagonal (kind BOX)."""
    r, c = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    families = ((LINE, r, size), (LINE, c, size), (BOX, r + c, 2 * size - 1), (BOX, r - c + size - 1, 2 * size - 1))
    return Constraints(size * size, tuple((k, index.reshape(-1), count) for k, index, count in families), exact=2)


def colouring_constraints(edge_index: Tensor, num_nodes: int, colours: int) -> Constraints:
    """Graph colouring: candidates (node, colour), one colour per node; every edge and colour is a unit (kind LINE) of
    its two ends. A node lies in as many units as it has edges, so edges are families of a matching each."""
    node = torch.arange(num_nodes).repeat_interleave(colours)
    colour = torch.arange(colours).repeat(num_nodes)
    families = [(CELL, node, num_nodes)]
    for ends in _matchings(edge_index):
        partner = torch.arange(num_nodes)
        partner[ends[0]], partner[ends[1]] = ends[1], ends[0]
        pair = torch.minimum(torch.arange(num_nodes), partner)
        families.append((LINE, pair[node] * colours + colour, num_nodes * colours))
    return Constraints(num_nodes * colours, tuple(families), exact=1)


def _matchings(edge_index: Tensor) -> list[Tensor]:
    """Edges in groups in which no node appears twice (greedy; at most twice the largest degree)."""
    edges = sorted({(min(a, b), max(a, b)) for a, b in edge_index.t().tolist() if a != b})
    groups: list[tuple[set[int], list[tuple[int, int]]]] = []
    for a, b in edges:
        for taken, members in groups:
            if a not in taken and b not in taken:
                taken.update((a, b))
                members.append((a, b))
                break
        else:
            groups.append(({a, b}, [(a, b)]))
    return [torch.tensor(members).t() for _, members in groups]
