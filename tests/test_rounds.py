import pytest
import torch

from structnet.errors import StructureError
from structnet.rounds import pass_messages


def graph_nodes(tensor) -> int:
    """Size of the autograd graph behind a tensor."""
    stack, seen = [tensor.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            stack += [following for following, _ in node.next_functions]
    return len(seen)


def run(rounds, state=None, **options):
    adjacency = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])  # the path 0 - 1 - 2
    weight = torch.ones((), requires_grad=True)
    start = torch.tensor([1.0, 0.0, 0.0]) if state is None else state
    return pass_messages(lambda h, a: a @ h, lambda m, h: weight * m + h, start, adjacency, rounds, **options)


def test_three_nodes_by_hand():
    kept, last = run(3, keep=3)
    assert [state.tolist() for state in kept] == [[1, 1, 0], [2, 2, 1], [4, 5, 3]] and last is kept[-1]


def test_rounds_go_on_from_a_state():
    assert torch.equal(run(5)[1], run(2, run(3)[1])[1])
    assert run(0)[0] == [] and run(0)[1].tolist() == [1, 0, 0]
    assert len(run(2, keep=5)[0]) == 2


def test_the_gradient_sees_the_last_rounds_only():
    sizes = [graph_nodes(run(rounds, gradient=2)[1]) for rounds in (2, 5, 50)]
    assert 0 < sizes[1] == sizes[2] and graph_nodes(run(50)[1]) > 10 * sizes[2]
    kept, last = run(5, gradient=2, keep=5)
    assert [state.requires_grad for state in kept] == [False] * 3 + [True] * 2
    assert torch.equal(last, run(5)[1])
    with torch.no_grad():
        assert not run(3)[1].requires_grad


def test_bad_calls():
    with pytest.raises(StructureError, match="rounds >= 0"):
        run(-1)
