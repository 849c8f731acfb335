"""Expressions per second: different rows drawn, sampler and removal of duplicates together (one thread)."""

from __future__ import annotations

from unittest.mock import patch

from bench.registry import Case, measure
from structnet import native
from structnet.datasets.listops import SPLITS, sampler


def _case(split: str, rows: int) -> Case:
    """Compiled and numpy form of the sampler on the same draws; both give the same bits."""
    grammar, library = SPLITS[split].grammar, native.library()
    assert library is not None, "needs the compiled library: structnet info says why there is none"

    def compiled():
        return sampler.draw_unique(grammar, rows, 0)

    def plain():
        with patch.object(sampler, "library", lambda: None):
            return sampler.draw_unique(grammar, rows, 0)

    def check() -> None:
        for one, other in zip(compiled(), plain(), strict=True):
            assert (one == other).all()

    return Case({"compiled": compiled, "numpy": plain}, check, items=rows, note=f"{rows} rows of {split}")


@measure("listops/train", tests="tests/datasets/test_listops.py", repeats=5)
def train() -> Case:
    return _case("near_iid", 100_000)


@measure("listops/200-300", tests="tests/datasets/test_listops.py", repeats=5)
def long() -> Case:
    return _case("200-300", 2_000)
