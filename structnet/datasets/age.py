"""Age arithmetic: who is how old, along a tree of differences between ages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from structnet.errors import StructureError

PEOPLE, AGES = 8, 100
NAMES = ("Ann", "Bob", "Cid", "Dot", "Eve", "Fay", "Gus", "Hal")
OLDER, YOUNGER, EXACT = 0, 1, 2  # kinds of facts
TREES = PEOPLE ** (PEOPLE - 2)  # labelled trees, by Cayley


@dataclass(frozen=True)
class Puzzles:
    """Eight facts each: `first` is `value` years older or younger than `second`, or exactly `value` years old
    (`second` is then `first`), int64 `[P, 8]` all four; the person asked about, the answer, and the path from the
    person whose age is given to that one, in facts, `[P]`."""

    first: np.ndarray
    second: np.ndarray
    kind: np.ndarray
    value: np.ndarray
    asked: np.ndarray
    answer: np.ndarray
    hops: np.ndarray

    def __len__(self) -> int:
        return len(self.asked)


def prufer_edges(numbers: np.ndarray) -> np.ndarray:
    """Trees on 8 people by the number of their Prufer sequence, 0 .. 8^6 - 1: edges int64 `[P, 7, 2]`."""
    sequence = numbers[:, None] // PEOPLE ** np.arange(PEOPLE - 2) % PEOPLE
    rows = np.arange(len(numbers))
    degree = np.ones((len(numbers), PEOPLE), np.int64)
    np.add.at(degree, (rows[:, None], sequence), 1)
    edges = np.empty((len(numbers), PEOPLE - 1, 2), np.int64)
    for at in range(PEOPLE - 2):
        leaf = (degree == 1).argmax(1)  # the smallest
        edges[:, at, 0], edges[:, at, 1] = leaf, sequence[:, at]
        degree[rows, leaf] -= 1
        degree[rows, sequence[:, at]] -= 1
    edges[:, -1] = np.nonzero(degree == 1)[1].reshape(-1, 2)
    return edges


def draw(numbers: np.ndarray, rng: np.random.Generator) -> Puzzles:
    """Puzzles on these trees: ages uniform in 0 .. 99, each edge told from either end, one person's age given and
    one (the same or another) asked, facts in random order."""
    count, rows = len(numbers), np.arange(len(numbers))[:, None]
    edges = prufer_edges(numbers)
    ages = rng.integers(0, AGES, (count, PEOPLE))
    told = np.where(rng.random((count, PEOPLE - 1, 1)) < 0.5, edges, edges[..., ::-1])
    known, asked = rng.integers(0, PEOPLE, (2, count))
    first = np.concatenate([told[..., 0], known[:, None]], 1)
    second = np.concatenate([told[..., 1], known[:, None]], 1)
    difference = ages[rows, first] - ages[rows, second]
    kind = np.where(difference >= 0, OLDER, YOUNGER)
    value = np.abs(difference)
    kind[:, -1], value[:, -1] = EXACT, ages[rows[:, 0], known]
    order = rng.permuted(np.tile(np.arange(PEOPLE), (count, 1)), axis=1)
    first, second, kind, value = (column[rows, order] for column in (first, second, kind, value))
    hops = distances(edges)[rows[:, 0], known, asked]
    return Puzzles(first, second, kind, value, asked, ages[rows[:, 0], asked], hops)


def distances(edges: np.ndarray) -> np.ndarray:
    """Edges between any two people of each graph, `[P, 7, 2]` -> `[P, 8, 8]`; 8 where there is no way."""
    reach = np.tile(np.eye(PEOPLE, dtype=bool), (len(edges), 1, 1))
    rows = np.arange(len(edges))[:, None]
    near = reach.copy()
    near[rows, edges[..., 0], edges[..., 1]] = near[rows, edges[..., 1], edges[..., 0]] = True
    total = np.zeros(reach.shape, np.int64)
    for _ in range(PEOPLE):
        total += ~reach
        reach = reach @ near
    return total


FACT = re.compile(r"(\w+) is (\d+) years (?:(older|younger) than (\w+)|old)")
ASKED = re.compile(r"How old is (\w+)\?\t(\d+)\s*$")


def to_text(puzzles: Puzzles, row: int) -> str:
    """One line: the facts, the question, a tab and the answer."""
    facts = []
    for a, b, kind, value in zip(*(c[row] for c in (puzzles.first, puzzles.second, puzzles.kind, puzzles.value))):
        told = "old" if kind == EXACT else f"{('older', 'younger')[kind]} than {NAMES[b]}"
        facts.append(f"{NAMES[a]} is {value} years {told}.")
    return f"{' '.join(facts)} How old is {NAMES[puzzles.asked[row]]}?\t{puzzles.answer[row]}"


def read_puzzles(path: str | Path) -> Puzzles:
    """Lines as `to_text` writes them: `Ann is 20 years old. Ann is 4 years older than Bob. ... How old is Cid?<tab>31`.

    Raises:
        StructureError: with the line number, for anything but eight facts that make a tree with one known age.
    """
    rows = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append(_parse(line))
        except ValueError as error:
            hint = "seven differences that make a tree, one age, and How old is NAME?<tab>AGE"
            raise StructureError("eight facts and a question", f"{error} at {path}:{number}", hint) from error
    if not rows:
        raise StructureError("at least one puzzle", f"none in {path}", "another file")
    facts, asked, answer, hops = (np.array(column) for column in zip(*rows))
    return Puzzles(facts[:, 0], facts[:, 1], facts[:, 2], facts[:, 3], asked, answer, hops)


def _parse(line: str) -> tuple[np.ndarray, int, int, int]:
    """Facts `[4, 8]`, person asked about, answer, hops."""
    question, facts = ASKED.search(line), np.array([_fact(match) for match in FACT.finditer(line)]).reshape(-1, 4)
    known = facts[facts[:, 2] == EXACT, 0]
    if question is None or len(facts) != PEOPLE or len(known) != 1:
        raise ValueError(f"{len(facts)} facts, {len(known)} ages, {'no' if question is None else 'a'} question")
    hops = distances(facts[facts[:, 2] != EXACT, :2][None])[0, known[0]]
    if hops.max() == PEOPLE:
        raise ValueError("an age that does not follow")
    asked = NAMES.index(question[1])
    return facts.T, asked, int(question[2]), hops[asked]


def _fact(match: re.Match[str]) -> tuple[int, int, int, int]:
    first = NAMES.index(match[1])
    if match[3] is None:
        return first, first, EXACT, int(match[2])
    return first, NAMES.index(match[4]), ("older", "younger").index(match[3]), int(match[2])
