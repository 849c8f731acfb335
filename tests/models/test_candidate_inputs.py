"""What the candidate network may be given; its compiled rounds trust what reaches them."""

import pytest
import torch

from structnet.errors import StructureError
from structnet.models.candidate_network import CandidateNetwork
from tests.models.test_candidate_network import boards


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_narrow_digits(dtype):
    network, puzzles = CandidateNetwork(width=16, hidden=16, rounds=3).eval(), boards(2, 4)
    assert torch.equal(network(puzzles.to(dtype)).logits, network(puzzles).logits)


def test_what_the_compiled_rounds_must_not_be_given():
    network = CandidateNetwork(width=16, hidden=16, rounds=2).eval()
    state = network(boards(1, 4)).state
    for puzzles, carried in ((boards(3, 4), state), (boards(1, 9), state), (boards(1, 4), state[..., :8])):
        with pytest.raises(StructureError, match="state"):
            network(puzzles, carried)
    for puzzles in (boards(1, 4).float(), boards(1, 4)[0], boards(1, 4).view(1, 4, 4)):
        with pytest.raises(StructureError, match="integers"):
            network(puzzles)
    with pytest.raises(RuntimeError, match="dtype"):  # weights of another type than the state
        network.double()(boards(1, 4), state)


def test_no_rounds_on_the_general_graph():
    network = CandidateNetwork(width=8, hidden=8, rounds=0, aggr="max").eval()
    assert network(boards(2, 4)).logits.shape == (0, 2, 16, 4)
