"""Multisets of integers and what can be asked of them: second minimum and its relatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from structnet.errors import StructureError

HIGH = 256  # elements are 8-bit words


@dataclass(frozen=True)
class Question:
    """`answer(values)` of rows `[sets, n]`, defined from `smallest` elements on; `rank(n)` if it is the element of
    that rank (0 for the minimum), else None."""

    answer: Callable[[np.ndarray], np.ndarray]
    smallest: int = 1
    rank: Callable[[int], int] | None = None


def kth_minimum(k: int) -> Question:
    """The k-th smallest element, equal ones counted one by one."""
    return Question(lambda v: np.sort(v, 1)[:, k - 1], k, lambda n: k - 1)


def sum_modulo(m: int) -> Question:
    return Question(lambda v: v.sum(1) % m)


def _mode(values: np.ndarray) -> np.ndarray:
    counts = np.zeros((len(values), HIGH), np.int64)
    np.add.at(counts, (np.arange(len(values))[:, None], values), 1)
    return counts.argmax(1)  # the smallest of the most frequent


def _distinct(values: np.ndarray) -> np.ndarray:
    return (np.diff(np.sort(values, 1), axis=1) > 0).sum(1)


QUESTIONS = {
    "minimum": kth_minimum(1),
    "second_minimum": kth_minimum(2),
    "third_minimum": kth_minimum(3),
    "fifth_minimum": kth_minimum(5),
    "median": Question(lambda v: np.sort(v, 1)[:, (v.shape[1] - 1) // 2], 1, lambda n: (n - 1) // 2),
    "mode": Question(_mode),
    "xor": Question(lambda v: np.bitwise_xor.reduce(v, 1)),
    "sum_mod_2": sum_modulo(2),
    "sum_mod_3": sum_modulo(3),
    "sum_mod_7": sum_modulo(7),
    "distinct_less_one": Question(_distinct),  # less one, so that 1 .. 256 fits into 8 bits
}


def question(name: str) -> Question:
    if name not in QUESTIONS:
        raise StructureError(f"a question out of {', '.join(QUESTIONS)}", repr(name), 'question="second_minimum"')
    return QUESTIONS[name]


def sample(name: str, lengths: np.ndarray, rng: np.random.Generator, balanced: bool = False):
    """Sets of these lengths: values `[sum]` (int64), set after set, and answers `[sets]`.

    Elements are uniform in 0 .. 255. `balanced`, for questions about a rank: the answer is drawn uniformly and the rest
    around it, below for smaller ranks and above for larger ones, so that no constant guess scores more than about
    1 / 256 at any size.

    Raises:
        StructureError: a set that is too small for the question, or one whose answers cannot be balanced.
    """
    ask = question(name)
    if len(lengths) and lengths.min() < ask.smallest:
        raise StructureError(
            f"at least {ask.smallest} elements for {name}", str(lengths.min()), f"lengths >= {ask.smallest}"
        )
    if balanced and ask.rank is None:
        raise StructureError("a question about a rank", name, "balanced=False: its answers are even as they are")
    ptr = np.concatenate([[0], np.cumsum(lengths)])
    values, answers = np.empty(ptr[-1], np.int64), np.empty(len(lengths), np.int64)
    for n in np.unique(lengths):
        at = np.flatnonzero(lengths == n)
        block = _around(ask, len(at), int(n), rng) if balanced else rng.integers(0, HIGH, (len(at), n))
        values[ptr[at][:, None] + np.arange(n)] = block
        answers[at] = ask.answer(block)
    return values, answers


def _around(ask: Question, count: int, n: int, rng: np.random.Generator) -> np.ndarray:
    assert ask.rank is not None
    rank, target = ask.rank(n), rng.integers(0, HIGH, (count, 1))
    below = rng.integers(0, target + 1, (count, rank))
    above = rng.integers(target, HIGH, (count, n - 1 - rank))
    return rng.permuted(np.concatenate([below, target, above], 1), axis=1)
