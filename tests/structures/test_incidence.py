import torch

from structnet.structures.constraints import (
    UNIT_KINDS,
    board_of,
    colouring_constraints,
    latin_constraints,
    queens_constraints,
    sudoku_constraints,
)
from structnet.structures.incidence import Incidence


def pairs(graph: Incidence) -> set:
    """Unordered pairs of candidates that share a unit, with the unit's kind and how often."""
    found = {}
    for kind in range(UNIT_KINDS):
        part = slice(*graph.pair_ptr[kind : kind + 2])
        candidate, unit = graph.candidate[part].tolist(), graph.unit[part].tolist()
        assert all(graph.kind_ptr[kind] <= u < graph.kind_ptr[kind + 1] for u in unit)
        for a, u in zip(candidate, unit):
            for b, v in zip(candidate, unit):
                if u == v and a < b:
                    found[a, b, kind] = found.get((a, b, kind), 0) + 1
    return set(found.items())


def test_a_batch_is_its_graphs_side_by_side():
    edges = torch.tensor([[0, 1, 2, 0, 0], [1, 2, 0, 3, 2]])
    graphs = [queens_constraints(4), sudoku_constraints(board_of(16)), colouring_constraints(edges, 4, 3)]
    graphs.append(latin_constraints(3))
    batch, offset, expected = Incidence.of(graphs), 0, set()
    for at, graph in enumerate(graphs):
        one = Incidence.of([graph])
        expected |= {((a + offset, b + offset, kind), n) for (a, b, kind), n in pairs(one)}
        choice = batch.choice[offset : offset + graph.num_candidates]
        assert torch.equal(choice - choice.min(), one.choice) and (batch.problem[choice] == at).all()
        offset += graph.num_candidates
    assert pairs(batch) == expected and batch.num_candidates == offset and batch.num_problems == 4


def test_units_of_one_candidate_are_left_out():
    graph = Incidence.of([queens_constraints(4)])  # corners lie on a diagonal of their own
    sizes = torch.bincount(graph.unit, minlength=graph.kind_ptr[-1])
    assert sizes.min() == 2 and graph.kind_ptr == [0, 0, 8, 8 + 2 * 5, 8 + 2 * 5]
    assert graph.choice.tolist() == torch.arange(4).repeat_interleave(4).tolist()
