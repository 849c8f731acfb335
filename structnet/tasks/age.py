"""Age arithmetic as a task: eight facts about eight people, one age asked."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from structnet.datasets.age import AGES, PEOPLE, TREES, Puzzles, draw, read_puzzles
from structnet.errors import StructureError
from structnet.tasks.questions import Questions
from structnet.tasks.scenes import complete, one_hot
from structnet.tasks.task import Batch

CHANNELS = 3 * PEOPLE + 3 + AGES  # both people, who is asked about, kind, value
ROWS = {"validation": 2_000, "test": 8_000}  # puzzles on held-out trees


class FactSplit:
    """One puzzle a tree. A batch holds `(x [P * 8, 127], complete graphs with loops, None, puzzle of each fact)`: a
    fact is a node. In training all but the tree is drawn anew each time. Broken down by the facts on the path
    (`hops`)."""

    def __init__(self, name: str, puzzles: Puzzles, trees: np.ndarray | None = None):
        self.name, self.puzzles, self.trees = name, puzzles, trees
        self.sizes = torch.full((len(puzzles if trees is None else trees),), PEOPLE)

    def __len__(self) -> int:
        return len(self.sizes)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        at, puzzles = rows.numpy(), self.puzzles
        if self.trees is not None:
            seed = int(torch.randint(2**62, (), generator=generator)) if generator is not None else 0
            puzzles, at = draw(self.trees[at], np.random.default_rng(seed)), np.arange(len(at))
        graph, owner = complete(len(at), PEOPLE, loops=True)
        asked = one_hot(puzzles.asked[at], PEOPLE)[:, None].expand(-1, PEOPLE, -1)
        columns = ((puzzles.first, PEOPLE), (puzzles.second, PEOPLE), (puzzles.kind, 3), (puzzles.value, AGES))
        x = torch.cat([*(one_hot(column[at], classes) for column, classes in columns), asked], 2).flatten(0, 1)
        keys = {"hops": torch.from_numpy(puzzles.hops[at])}
        return Batch((x, graph, None, owner), torch.from_numpy(puzzles.answer[at]), len(at), keys)


class Age(Questions):
    """"Ann is 20 years old. Ann is 4 years older than Bob. ... How old is Cid?" on all trees of eight people, 90 %
    of the 262,144 for training (Palm et al., 2018, the age arithmetic task).

    Args:
        seed: of the split and of the validation and test puzzles.

    Differs from the paper in what it does not state: ages are uniform in 0 .. 99, and each training tree gets new ages
    every time it is seen.
    """

    name = "age"
    train, validation = "train", "validation"
    splits: tuple[str, ...] = ("validation", "test")
    in_range: frozenset[str] = frozenset(splits)
    chance = 1 / AGES

    def __init__(self, seed: int = 0):
        self.seed = seed

    def split(self, name: str) -> FactSplit:
        if name not in (self.train, *ROWS):
            raise StructureError(f"one of train, {', '.join(ROWS)}", repr(name), 'split("test")')
        return _split(name, self.seed)

    def from_file(self, path: str | Path) -> FactSplit:
        """Text as `structnet.datasets.age.to_text` writes it."""
        return FactSplit(str(path), read_puzzles(path))


@cache
def _split(name: str, seed: int) -> FactSplit:
    rng = np.random.default_rng(seed)
    order = rng.permutation(TREES)
    cut = TREES * 9 // 10
    if name == "train":
        return FactSplit(name, draw(order[:0], rng), order[:cut])
    held_out = order[cut:][: ROWS["validation"]] if name == "validation" else order[cut:][ROWS["validation"] :]
    return FactSplit(name, draw(held_out[: ROWS[name]], np.random.default_rng([seed, len(name)])))
