import numpy as np
import pytest
import torch

from structnet.errors import StructureError
from structnet.structures import Segments


def test_three_segments_by_hand():
    s = Segments(torch.tensor([0, 2, 2, 5]))
    assert s.lengths.tolist() == [2, 0, 3]
    assert s.index.tolist() == [0, 0, 2, 2, 2]
    assert (s.num_segments, s.num_rows, s.max_length, len(s)) == (3, 5, 3, 3)


def test_all_constructors_agree():
    lengths = torch.tensor([2, 0, 3])
    for other in (Segments.from_index(torch.tensor([0, 0, 2, 2, 2])), Segments.from_lengths(lengths)):
        assert torch.equal(other.ptr, torch.tensor([0, 2, 2, 5]))
    assert Segments.from_index(torch.tensor([0, 0]), 3).lengths.tolist() == [2, 0, 0]
    assert Segments(torch.tensor([0, 2], dtype=torch.int32)).ptr.dtype == torch.int64


def test_no_segments_and_no_rows():
    assert Segments(torch.tensor([0])).max_length == 0
    assert Segments(torch.tensor([0, 0, 0])).index.numel() == 0
    assert Segments.from_index(torch.tensor([], dtype=torch.int64), 2).lengths.tolist() == [0, 0]
    for none in ([], (), np.array([])):
        assert Segments.from_lengths(none).ptr.tolist() == [0]
    assert Segments.from_lengths([2, 0]).ptr.tolist() == [0, 2, 2]


@pytest.mark.parametrize(
    "ptr, words",
    [
        (torch.tensor([1, 2]), "start at 0"),
        (torch.tensor([0, 3, 2]), "ptr[1] = 3 > ptr[2] = 2"),
        (torch.tensor([0.0, 2.0]), "integer dtype"),
        (torch.tensor([0.0, float("nan")]), "NaN"),
        (torch.tensor([[0, 1]]), "one dimension"),
        (torch.tensor([], dtype=torch.int64), "at least one entry"),
        (np.array([0, 1]), "torch.Tensor"),
        (torch.tensor([False, True]), "integer dtype"),
    ],
)
def test_bad_pointers_say_expected_got_try(ptr, words):
    with pytest.raises(StructureError) as error:
        Segments(ptr)
    text = str(error.value)
    assert words in text and "expected" in text and "; got " in text and "; try " in text


def test_bad_index_and_lengths():
    with pytest.raises(StructureError, match="sorted"):
        Segments.from_index(torch.tensor([1, 0]))
    with pytest.raises(StructureError, match="between 0 and 1"):
        Segments.from_index(torch.tensor([0, 2]), 2)
    with pytest.raises(StructureError, match="lengths >= 0"):
        Segments.from_lengths(torch.tensor([1, -1]))
    for lengths in ([1.5], torch.tensor([])):
        with pytest.raises(StructureError, match="integer dtype"):
            Segments.from_lengths(lengths)
    with pytest.raises(StructureError, match="one dimension"):
        Segments.from_lengths([[]])
