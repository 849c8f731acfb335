"""Logical inference as a task: two formulas in, one of seven relations out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from structnet.datasets.logic import RELATIONS, VOCABULARY, Pairs, generate, read_pairs
from structnet.datasets.logic.semantics import VARIABLES
from structnet.errors import StructureError
from structnet.structures import Segments
from structnet.structures.topology import ranges
from structnet.tasks.task import Batch, mean_scores

HELD_OUT = {"A": r"\( and \( not a \) \)", "B": r"\( and \( not .* \) \)", "C": r"\( (and|or) \( not .* \) \)"}
TRAINED = 6  # most operators in training
MIRROR = torch.tensor([RELATIONS.index({"<": ">", ">": "<"}.get(name, name)) for name in RELATIONS])


class LogicSplit:
    """Rows of one split. A batch holds `(tokens [N], Segments)`, two members a sample: left 0, right 0, left 1, ...

    With `augment` the training draws another naming of the six variables for each sample (the relation stays) and, for
    every other one, the two sides in the other order (`<` and `>` change places)."""

    def __init__(self, name: str, pairs: Pairs, augment: bool = False):
        self.name, self.pairs, self.augment = name, pairs, augment
        self.sizes = torch.from_numpy(pairs.ptr[2::2] - pairs.ptr[:-2:2])
        self.operators = torch.from_numpy(pairs.operators)

    def __len__(self) -> int:
        return len(self.pairs)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        drawn = generator is not None and self.augment
        swap = torch.rand(len(rows), generator=generator) < 0.5 if drawn else torch.zeros(len(rows), dtype=torch.bool)
        side = (2 * rows[:, None] + (torch.arange(2) ^ swap[:, None])).flatten().numpy()
        start, stop = self.pairs.ptr[side], self.pairs.ptr[side + 1]
        tokens = torch.from_numpy(self.pairs.tokens[ranges(start, stop)].astype(np.int64))
        target = torch.from_numpy(self.pairs.labels[rows.numpy()])
        target = torch.where(swap, MIRROR[target], target)
        segments = Segments.from_lengths(torch.from_numpy(stop - start))
        if drawn:  # a permutation of the variables per sample; the other tokens stay
            words = torch.arange(len(VOCABULARY)).repeat(len(rows), 1)
            words[:, : len(VARIABLES)] = torch.rand(len(rows), len(VARIABLES), generator=generator).argsort(1)
            tokens = words[segments.index // 2, tokens]
        return Batch((tokens, segments), target, len(rows), {"operators": self.operators[rows]})


class Logic:
    """Relations of formulas, trained on at most 6 operators, marked on 7 to 12 (Bowman et al. 2015).

    Args:
        folder: of the original files `train0` .. `train12` (and `test7` .. `test12` where there are any, else the
            unused `train7` ..); left out, the pairs are drawn.
        held_out: "A", "B" or "C": training pairs that match the pattern become the split "held_out" instead.
        seed, count: of the drawn pairs.
        augment: training samples with their variables renamed and their sides exchanged.
    """

    name = "logic"
    train, validation = "train", "validation"
    in_range = frozenset({"validation", "held_out"})
    chance = 0.54

    def __init__(
        self, folder: str = "", held_out: str = "", seed: int = 0, count: int = 500_000, augment: bool = False
    ):
        if held_out and held_out not in HELD_OUT:
            raise StructureError(f"held_out out of {', '.join(HELD_OUT)}", repr(held_out), 'held_out="C"')
        self.source = Source(folder, held_out, seed, count, augment)
        self.splits = ("validation", *(["held_out"] if held_out else []), *map(str, range(TRAINED + 1, 13)))

    def split(self, name: str) -> LogicSplit:
        if name not in ("train", *self.splits):
            raise StructureError(f"one of train, {', '.join(self.splits)}", repr(name), 'split("12")')
        return _split(self.source, name)

    def from_file(self, path: str | Path) -> LogicSplit:
        return LogicSplit(str(path), read_pairs(path))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(output, batch.target)

    def score(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        right = (output.argmax(-1) == batch.target).float()
        return {"accuracy": right, "loss": F.cross_entropy(output.float(), batch.target, reduction="none")}

    summary = staticmethod(mean_scores)


@dataclass(frozen=True)
class Source:
    folder: str
    held_out: str
    seed: int
    count: int
    augment: bool


@cache
def _split(source: Source, name: str) -> LogicSplit:
    if name.isdigit():
        return LogicSplit(name, _test(source, int(name)))
    known = [_training(source, operators) for operators in range(TRAINED + 1)]
    matching = [_matches(pairs, source.held_out) for pairs in known]
    if name == "held_out":
        return LogicSplit(name, _join([pairs.take(np.flatnonzero(match)) for pairs, match in zip(known, matching)]))
    rest = _join([pairs.take(np.flatnonzero(~match)) for pairs, match in zip(known, matching)])
    rows = np.arange(len(rest))
    tenth = rows[::10]  # every tenth row validates, in random order: any first rows hold pairs of all lengths
    validation = tenth[np.random.Generator(np.random.PCG64(0)).permutation(len(tenth))]
    return LogicSplit(name, rest.take(validation if name == "validation" else np.delete(rows, tenth)), source.augment)


def _training(source: Source, operators: int) -> Pairs:
    if source.folder:
        return read_pairs(Path(source.folder) / f"train{operators}")
    pairs = generate(source.count, source.seed)["train"]
    return pairs.take(np.flatnonzero(pairs.operators == operators))


def _test(source: Source, operators: int) -> Pairs:
    if source.folder:
        test = Path(source.folder) / f"test{operators}"
        return read_pairs(test if test.exists() else test.with_name(f"train{operators}"))
    pairs = generate(source.count, source.seed)["test"]
    return pairs.take(np.flatnonzero(pairs.operators == operators))


def _matches(pairs: Pairs, held_out: str) -> np.ndarray:
    if not held_out:
        return np.zeros(len(pairs), bool)
    pattern = re.compile(HELD_OUT[held_out])
    return np.array([bool(pattern.search(pairs.text(row))) for row in range(len(pairs))], bool)


def _join(parts: list[Pairs]) -> Pairs:
    lengths = np.concatenate([np.diff(part.ptr) for part in parts])
    ptr = np.concatenate([[0], np.cumsum(lengths)])
    tokens, labels, operators = (
        np.concatenate([getattr(p, n) for p in parts]) for n in ("tokens", "labels", "operators")
    )
    return Pairs(tokens, ptr, labels, operators)
