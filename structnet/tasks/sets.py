"""Questions about multisets: trained on at most 16 elements, asked of up to 1,024."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from structnet.datasets.sets import question, sample
from structnet.errors import StructureError
from structnet.structures import Segments
from structnet.structures.topology import ranges
from structnet.tasks.task import Batch, mean_scores

BITS = torch.arange(8)
TEST_SIZES = (8, 16, 32, 64, 128, 200, 1024)


class SetSplit:
    """Sets of one split as flat arrays; a batch holds `(values [N], Segments)` and the answers `[sets]`."""

    def __init__(self, name: str, values: np.ndarray, lengths: np.ndarray, answers: np.ndarray):
        self.name, self.values, self.answers = name, values, torch.from_numpy(answers)
        self.ptr = np.concatenate([[0], np.cumsum(lengths)])
        self.sizes = torch.from_numpy(lengths)

    def __len__(self) -> int:
        return len(self.answers)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        at = rows.numpy()
        values = torch.from_numpy(self.values[ranges(self.ptr[at], self.ptr[at + 1])])
        segments = Segments.from_lengths(self.sizes[rows])
        if generator is not None:  # a new order of every set, as in Ong and Velickovic, 2022
            draw = torch.rand(len(values), generator=generator).argsort()
            values = values[draw[segments.index[draw].argsort(stable=True)]]
        return Batch((values, segments), self.answers[rows], len(at), {"length": self.sizes[rows]})


class Sets:
    """Second minimum and its relatives (Ong and Velickovic, "Learnable Commutative Monoids for Graph Neural Networks",
    2022, section 3.1): 65,536 training sets of up to 16 elements in 0 .. 255, validation on 1,024 sets of 32; the
    answer as 8 bits, right if all bits are.

    Splits are named by size; `balanced_N`, for questions about a rank, has uniformly distributed answers: on the
    published distribution a constant guess scores 27.9 % at n = 200 (second minimum).

    Args:
        question: a name in `structnet.datasets.sets.QUESTIONS`.
        seed: of all splits.

    Differs from the paper in the smallest training set: 2 elements where the second minimum of 1 is not defined.
    """

    name = "sets"
    train, validation = "train", "validation"
    in_range = frozenset({"8", "16"})
    chance = 1 / 256

    def __init__(self, question: str = "second_minimum", seed: int = 0):
        self.question, self.seed = question, seed
        balanced = [f"balanced_{n}" for n in TEST_SIZES if n > 16] if _ranked(question) else []
        self.splits = ("validation", *map(str, TEST_SIZES), *balanced)

    def split(self, name: str) -> SetSplit:
        if name not in (self.train, *self.splits):
            raise StructureError(f"one of train, {', '.join(self.splits)}", repr(name), 'split("32")')
        return _split(self.question, name, self.seed)

    def from_file(self, path: str | Path) -> SetSplit:
        """One set a line, integers in 0 .. 255 with spaces between; the answers are computed."""
        rows = [np.array(line.split(), np.int64) for line in Path(path).read_text().splitlines() if line.strip()]
        ask = question(self.question)
        for number, row in enumerate(rows, 1):
            if len(row) < ask.smallest or row.min() < 0 or row.max() > 255:
                wanted = f"{ask.smallest} or more integers in 0 .. 255 a line"
                raise StructureError(wanted, f"line {number} of {path}", "to fix it")
        answers = np.array([ask.answer(row[None])[0] for row in rows], np.int64)
        return SetSplit(str(path), np.concatenate(rows), np.array([len(row) for row in rows]), answers)

    def loss(self, output, batch: Batch) -> Tensor:
        return F.binary_cross_entropy_with_logits(output.logits, _bits(batch.target, output.logits)) + output.penalty

    def score(self, output, batch: Batch) -> dict[str, Tensor]:
        right = (output.logits > 0) == (_bits(batch.target, output.logits) > 0)
        return {"accuracy": right.all(1).float(), "bits": right.float().mean(1)}

    summary = staticmethod(mean_scores)


def _bits(answers: Tensor, like: Tensor) -> Tensor:
    return (answers[:, None] >> BITS.to(answers.device) & 1).to(like.dtype)


def _ranked(name: str) -> bool:
    return question(name).rank is not None


@cache
def _split(name: str, split: str, seed: int) -> SetSplit:
    smallest = question(name).smallest
    if split == "train":
        rng = np.random.default_rng([seed, 0])
        lengths = rng.integers(smallest, 17, 65_536)
    else:
        size = 32 if split == "validation" else int(split.removeprefix("balanced_"))
        rng = np.random.default_rng([seed, 1 + size, split.startswith("balanced"), split == "validation"])
        lengths = np.full(1024, size)
    values, answers = sample(name, lengths, rng, split.startswith("balanced"))
    return SetSplit(split, values, lengths, answers)
