"""Pairs of formulas: drawn by the published grammar, or read from the original files."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from structnet.datasets.cache import cached
from structnet.datasets.logic.semantics import ALL, RELATIONS, TABLES, VARIABLES, VOCABULARY, relation, truth_table
from structnet.errors import StructureError

PAIRS, MOST = 500_000, 12
_IDS = {word: at for at, word in enumerate(VOCABULARY)}
_DRAWS = ("and", "or", "and", "or", None, None, None, None, None)


@dataclass(frozen=True)
class Pairs:
    """Formulas as flat tokens uint8 and ptr int64 `[2 * rows + 1]` (left 0, right 0, left 1, ...); labels `[rows]` into
    `RELATIONS`; operators `[rows]`, of the side that has more, 12 for all above."""

    tokens: np.ndarray
    ptr: np.ndarray
    labels: np.ndarray
    operators: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def text(self, row: int) -> str:
        """`left<TAB>right` as in the files."""
        a, b, c = self.ptr[2 * row : 2 * row + 3].tolist()
        return "\t".join(" ".join(VOCABULARY[t] for t in part) for part in (self.tokens[a:b], self.tokens[b:c]))

    def take(self, rows: np.ndarray) -> Pairs:
        sides = np.stack([2 * rows, 2 * rows + 1], 1).reshape(-1)
        parts = [self.tokens[self.ptr[s] : self.ptr[s + 1]] for s in sides.tolist()]
        ptr = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)])
        return Pairs(np.concatenate([*parts, self.tokens[:0]]), ptr, self.labels[rows], self.operators[rows])


def draw(random_: random.Random, names: list[str], size: int) -> tuple[list[str], int]:
    """One formula of at most `size` leaves, and its truth table."""
    name = random_.choice(_DRAWS)
    if name is None or size < 2:
        leaf = random_.choice(names)
        words, table = [leaf], TABLES[leaf]
    else:
        (left, a), (right, b) = draw(random_, names, size // 2), draw(random_, names, size // 2)
        words, table = ["(", *left, "(", name, *right, ")", ")"], a & b if name == "and" else a | b
    return (["(", "not", *words, ")"], ALL ^ table) if random_.random() < 1 / 3 else (words, table)


def generate(count: int = PAIRS, seed: int = 0) -> dict[str, Pairs]:
    """`count` accepted pairs, duplicates removed, 85 % "train" and 15 % "test": by the grammar of Bowman et al.,
    "Tree-structured composition in neural networks without tree-structured architectures", 2015. Formulas that are
    always or never true are drawn again. Kept on disk after the first call (about two minutes for the full size)."""
    arrays = cached(f"logic/pairs-{count}-{seed}", lambda: vars(_draw_all(count, seed)))
    pairs = Pairs(**arrays)
    test = np.random.default_rng(seed).random(len(pairs)) < 0.15
    return {"train": pairs.take(np.flatnonzero(~test)), "test": pairs.take(np.flatnonzero(test))}


def _draw_all(count: int, seed: int) -> Pairs:
    random_, rows, accepted = random.Random(seed), {}, 0
    while accepted < count:
        names = random_.sample(VARIABLES, 4)
        (left, a), (right, b) = draw(random_, names, 12), draw(random_, names, 12)
        if a in (0, ALL) or b in (0, ALL):
            continue
        accepted += 1
        rows[" ".join(left), " ".join(right)] = relation(a, b)
    return _pack([(label, left.split(), right.split()) for (left, right), label in rows.items()])


def _pack(rows: list[tuple[str, list[str], list[str]]]) -> Pairs:
    sides = [side for _, *both in rows for side in both]
    tokens = np.array([_IDS[word] for side in sides for word in side], np.uint8)
    ptr = np.concatenate([[0], np.cumsum([len(side) for side in sides], dtype=np.int64)])
    count = [sum(word in ("and", "or", "not") for word in side) for side in sides]
    operators = np.array(count, np.int64).reshape(-1, 2).max(1, initial=0).clip(max=MOST)
    return Pairs(tokens, ptr, np.array([RELATIONS.index(label) for label, *_ in rows], np.int64), operators)


def read_pairs(path: str | Path) -> Pairs:
    """Rows of `label<TAB>formula<TAB>formula`. Raises StructureError with the line number on anything else."""
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            parts = line.rstrip("\r\n").split("\t")
            if len(parts) != 3 or parts[0] not in RELATIONS:
                hint = f"one of the labels {' '.join(RELATIONS)} and two formulas, with tabs between"
                raise StructureError("label<TAB>formula<TAB>formula", f"{line.strip()!r} at {path}:{number}", hint)
            left, right = parts[1].split(), parts[2].split()
            for side in (left, right):
                truth_table(side)  # raises on anything that is not a formula
            rows.append((parts[0], left, right))
    if not rows:
        raise StructureError("at least one row", f"none in {path}", "another file")
    return _pack(rows)
