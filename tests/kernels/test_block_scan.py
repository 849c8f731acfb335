import math

import pytest
import torch

from structnet.errors import StructureError
from structnet.kernels import block_scan, segment_scan
from structnet.kernels.block_scan import reference
from tests.kernels.conftest import LENGTHS, agree, normal, pointer


def arguments(lengths, heads, size, initial=True):
    rows = sum(lengths)
    transition = (normal(rows, heads, size, size) / 2 / size).requires_grad_()
    first = normal(len(lengths), heads, size, seed=3).requires_grad_() if initial else None
    return transition, normal(rows, heads, size).requires_grad_(), pointer(lengths), first


def test_parity_by_hand():
    """A swap at every 1: the state's two entries say whether there were evenly or oddly many."""
    swap, stay = torch.tensor([[0.0, 1], [1, 0]]), torch.eye(2)
    bits = [1, 0, 1, 1, 1]
    transition = torch.stack([swap if b else stay for b in bits])[:, None]
    start = torch.tensor([[[1.0, 0]], [[1.0, 0]]])
    out = block_scan(transition, torch.zeros(5, 1, 2), torch.tensor([0, 3, 5]), start)
    assert out[:, 0, 1].tolist() == [1, 1, 0, 1, 0]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_ragged_edges(lengths, size, initial, reverse):
    transition, x, ptr, first = arguments(lengths, 2, size, initial)
    slow = reference.block_scan(transition, x, ptr, first, reverse)
    agree(block_scan(transition, x, ptr, first, reverse), slow, [transition, x, *([first] if initial else [])], 1e-10)


def test_blocks_of_one_are_the_diagonal_scan():
    transition, x, ptr, first = arguments([3, 0, 4], 5, 1)
    expected = segment_scan(transition[..., 0, 0], x[..., 0], ptr, first[..., 0])
    torch.testing.assert_close(block_scan(transition, x, ptr, first)[..., 0], expected)


def test_second_derivatives():
    transition, x, ptr, first = arguments([2, 0, 3], 1, 2)
    assert torch.autograd.gradgradcheck(lambda a, b, c: block_scan(a, b, ptr, c), (transition, x, first))


def test_nan_stays_in_its_segment():
    transition, x, ptr, _ = (None if t is None else t.detach() for t in arguments([2, 2, 2], 1, 2, False))
    transition[2:4] = math.nan
    x[3] = math.inf
    out = block_scan(transition, x, ptr)
    assert out[[0, 1, 4, 5]].isfinite().all() and not out[3].isfinite().any()


@pytest.mark.parametrize(
    "shape, initial, words",
    [((3, 1, 2, 3), None, "[N, H, d, d]"), ((3, 1, 2, 2), torch.ones(2, 1, 2), "initial (1, 1, 2)")],
)
def test_bad_calls(shape, initial, words):
    with pytest.raises(StructureError) as error:
        block_scan(torch.ones(shape), torch.ones(3, 1, 2), pointer([3]), initial)
    assert words in str(error.value)
