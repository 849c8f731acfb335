"""Every puzzle has one solution, found by trying everything; files; the network on all of them."""

import itertools
import json
import random

import pytest
import torch

from structnet.datasets.exact_cover import PROBLEMS, Solver, generate, puzzle
from structnet.errors import StructureError
from structnet.structures.constraints import Constraints, colouring_constraints, queens_constraints
from structnet.tasks.exact_cover import ExactCover, PuzzleSplit


def holds(graph: Constraints, chosen) -> bool:
    """The rules, unit by unit."""
    for at, (_, index, count) in enumerate(graph.units):
        taken = torch.bincount(index[sorted(chosen)], minlength=count)
        there = torch.bincount(index, minlength=count) > 0
        if (taken > 1).any() or (at < graph.exact and (taken[there] != 1).any()):
            return False
    return True


@pytest.mark.parametrize("queens, solutions", [(4, 2), (5, 10), (6, 4), (8, 92)])
def test_all_placements_of_queens(queens, solutions):
    found = Solver.of(queens_constraints(queens)).solve(limit=1_000)
    assert len(set(found)) == len(found) == solutions
    assert all(holds(queens_constraints(queens), one) for one in found)


def test_colourings_counted_by_trying_all():
    edges = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]])
    found = Solver.of(colouring_constraints(edges, 4, 3)).solve(limit=1_000)
    tried = [c for c in itertools.product(range(3), repeat=4) if all(c[a] != c[b] for a, b in edges.t().tolist())]
    assert {tuple(at % 3 for at in sorted(one)) for one in found} == set(tried)


@pytest.mark.parametrize("problem, size", [("latin", 4), ("queens", 6), ("colouring", 8), ("sudoku", 4)])
def test_puzzles_have_one_solution_and_no_given_too_many(problem, size):
    for one in generate(problem, size, 6, seed=1, extra=0.0):
        assert holds(one.graph, one.solution) and one.given <= one.solution
        solver = Solver.of(one.graph)
        assert solver.solve(one.given) == [one.solution]
        assert all(len(solver.solve(one.given - {given})) == 2 for given in one.given)
        kinds, choice = one.kinds(), one.graph.units[0][1]
        assert set((kinds == 1).nonzero().flatten().tolist()) == one.given
        for at in range(one.graph.num_candidates):
            other = any(choice[g] == choice[at] and g != at for g in one.given)
            assert (kinds[at] == 2) == other
    assert generate(problem, size, 2, seed=5)[1].given == generate(problem, size, 2, seed=5)[1].given


def test_what_cannot_be_solved_is_said():
    with pytest.raises(StructureError, match="without a solution"):
        puzzle(queens_constraints(3), random.Random(0))
    assert Solver.of(queens_constraints(4)).solve([0, 1]) == []
    with pytest.raises(StructureError, match=f"a problem out of {', '.join(PROBLEMS)}"):
        generate("chess", 8, 1)


def test_a_file_of_puzzles(tmp_path):
    path, one = tmp_path / "puzzles.jsonl", generate("queens", 5, 1)[0]
    units = []
    for at, (kind, index, count) in enumerate(one.graph.units):
        members = [(index == unit).nonzero().flatten().tolist() for unit in range(count)]
        units += [[0 if at == 0 else kind, at < one.graph.exact, m] for m in members]
    text = {"candidates": 25, "units": units, "given": sorted(one.given)}
    path.write_text(json.dumps(text))
    split = ExactCover().from_file(path)
    assert split.puzzles[0].solution == one.solution and len(split) == 1
    assert torch.equal(split.batch(torch.tensor([0])).inputs[0], one.kinds())
    for broken, words in (({**text, "given": []}, "several"), ({**text, "given": [0, 1]}, "none"), ({}, "candidates")):
        path.write_text("\n" + json.dumps(broken))
        with pytest.raises(StructureError, match=words):
            ExactCover().from_file(path)


def test_loss_and_marks_by_choice():
    puzzles = generate("queens", 4, 1) + generate("latin", 3, 2)
    split, task = PuzzleSplit("some", puzzles), ExactCover()
    batch = split.batch(torch.arange(3))
    right = batch.target.right
    assert right.sum() == 4 + 9 + 9
    output = type("Output", (), {"logits": torch.stack([torch.zeros_like(right), 50 * right])})
    choices = batch.target.graph.num_choices
    guess = torch.log(torch.bincount(batch.target.graph.choice).double()).sum() / choices
    expected = guess / 2  # of two rounds: a guess, then certainty
    torch.testing.assert_close(task.loss(output, batch).double(), expected, rtol=1e-5, atol=1e-5)
    assert task.score(output, batch)["accuracy"].tolist() == [1, 1, 1]
    output.logits[1, 16:25] *= -1  # three of the nine cells of the first Latin square wrong
    assert task.score(output, batch)["accuracy"].tolist() == [1, 0, 1]
    assert task.score(output, batch)["choices"].tolist() == pytest.approx([1, 2 / 3, 1])
