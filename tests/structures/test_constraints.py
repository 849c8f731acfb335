import pytest
import torch

from structnet.errors import StructureError
from structnet.structures.constraints import (
    BOX,
    CELL,
    INTERSECTION,
    board_of,
    colouring_constraints,
    latin_constraints,
    queens_constraints,
    sudoku_constraints,
)

BOARDS = [(16, 4, 2, 2), (36, 6, 2, 3), (81, 9, 3, 3), (256, 16, 4, 4), (625, 25, 5, 5)]


@pytest.mark.parametrize("cells, size, rows, columns", BOARDS)
def test_boards(cells, size, rows, columns):
    board = board_of(cells)
    assert (board.size, board.box_rows, board.box_columns) == (size, rows, columns)
    graph = sudoku_constraints(board)
    assert graph.num_candidates == size**3 and graph.exact == 4
    for _, index, count in graph.units[:4]:  # every unit in which one candidate holds has n of them
        assert torch.equal(torch.bincount(index, minlength=count), torch.full((size * size,), size))
    for (kind, index, count), length in zip(graph.units[4:], (columns, rows), strict=True):
        assert kind == INTERSECTION
        assert torch.bincount(index, minlength=count).tolist() == [length] * (size**3 // length)


def test_two_candidates_share_units_exactly_when_the_rules_say_so():
    n = 4
    graph = sudoku_constraints(board_of(16))
    together = sum((index[:, None] == index) for _, index, _ in graph.units[: graph.exact])
    across, down = (index[:, None] == index for _, index, _ in graph.units[graph.exact :])
    for a in range(n**3):
        for b in range(n**3):
            (r, c, d), (s, e, f) = ((k // n**2, k // n % n, k % n) for k in (a, b))
            rules = ((r, c) == (s, e)) + ((r, d) == (s, f)) + ((c, d) == (e, f))
            rules += (r // 2, c // 2, d) == (s // 2, e // 2, f)
            assert int(together[a, b]) == rules
            in_box = (r // 2, c // 2, d) == (s // 2, e // 2, f)
            assert bool(across[a, b]) == (in_box and r == s) and bool(down[a, b]) == (in_box and c == e)


def test_other_problems():
    latin = latin_constraints(5)
    assert latin.num_candidates == 125 and [kind for kind, _, _ in latin.units].count(BOX) == 0
    queens = queens_constraints(6)
    sizes = [torch.bincount(index, minlength=count) for _, index, count in queens.units]
    assert sizes[0].tolist() == [6] * 6 and sizes[2].tolist() == [1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1]
    edges = torch.tensor([[0, 1, 2, 0], [1, 2, 0, 3]])
    colouring = colouring_constraints(edges, 4, 3)
    assert colouring.num_candidates == 12 and colouring.units[0][0] == CELL
    pairs = set()
    for _, index, _ in colouring.units[1:]:
        for a in range(12):
            for b in range(a):
                if index[a] == index[b]:
                    assert a % 3 == b % 3
                    pairs.add((b // 3, a // 3))
    assert pairs == {(0, 1), (1, 2), (0, 2), (0, 3)}


def test_no_such_board():
    with pytest.raises(StructureError, match="81"):
        board_of(80)
