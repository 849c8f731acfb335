"""String matching and the longest common subsequence. Two strings share the nodes; `string` is 1 on the second."""

from __future__ import annotations

import numpy as np

from structnet.datasets.algorithms.trace import Algorithm, Trace, chain, one, one_hot, positions, spec

LETTERS = 4
TEXT = "pos node scalar, string node mask, key node categorical"


def _two_strings(rng: np.random.Generator, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, LETTERS, first), rng.integers(0, LETTERS, second)


def _inputs(first: np.ndarray, second: np.ndarray) -> Trace:
    """Positions run from 0 inside each string."""
    return Trace({
        "pos": np.concatenate([positions(len(first)), positions(len(second))]),
        "string": np.repeat([0.0, 1.0], [len(first), len(second)]),
        "key": one_hot(np.concatenate([first, second]), LETTERS),
    })  # fmt: skip


def _links(first: int, second: int) -> np.ndarray:
    """Each string as a chain of its own."""
    return np.concatenate([chain(np.arange(first)), first + chain(np.arange(second))])


def _planted(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A haystack, and a needle of n // 5 letters (at least 1) that occurs in it."""
    needle = max(n // 5, 1)
    text, pattern = _two_strings(rng, n - needle, needle)
    start = rng.integers(0, n - 2 * needle + 1)
    text[start : start + needle] = pattern
    return text, pattern


def naive_string_matcher(rng: np.random.Generator, n: int) -> Trace:
    """Start s in the haystack, places i (haystack) and j (needle) compared; the answer is the first start that fits."""
    text, pattern = _planted(rng, n)
    trace, links, start = _inputs(text, pattern), _links(len(text), len(pattern)), 0
    while True:
        matched = 0
        while matched < len(pattern) and text[start + matched] == pattern[matched]:
            matched += 1
        at = min(matched, len(pattern) - 1)
        trace.step(pred_h=links, s=one(start, n), i=one(start + at, n), j=one(len(text) + at, n))
        if matched == len(pattern):
            break
        start += 1
    trace.outputs["match"] = one(start, n)
    return trace


def kmp_matcher(rng: np.random.Generator, n: int) -> Trace:
    """Phase 0 fills the failure function of the needle (`pi`; `is_reset` where empty), phase 1 runs over the text.

    k and q are places in the needle, `k_reset` and `q_reset` say that nothing is matched.
    """
    text, pattern = _planted(rng, n)
    trace, links, offset = _inputs(text, pattern), _links(len(text), len(pattern)), len(text)
    fail, reset = np.arange(n), (np.arange(n) >= offset).astype(float)

    def note(k, q, s, i, phase):
        trace.step(pred_h=links, pi=fail, is_reset=reset, k=one(offset + max(k - 1, 0), n), k_reset=float(k == 0),
                   q=one(offset + max(q - 1, 0), n), q_reset=float(q == 0), s=one(s, n), i=one(i, n),
                   phase=float(phase))  # fmt: skip

    borders, k = [0], 0  # borders[j]: longest proper prefix of the needle that ends at place j
    note(0, 0, 0, 0, 0)
    for j in range(1, len(pattern)):
        while k and pattern[k] != pattern[j]:
            k = borders[k - 1]
        k += int(pattern[k] == pattern[j])
        borders.append(k)
        if k:
            fail[offset + j], reset[offset + j] = offset + k - 1, 0
        note(k, j, 0, 0, 0)
    q = 0
    for i, letter in enumerate(text):
        while q and pattern[q] != letter:
            q = borders[q - 1]
        q += int(pattern[q] == letter)
        start = max(i - q + 1, 0)
        note(0, q, min(start, i), i, 1)
        if q == len(pattern):
            break
    trace.outputs["match"] = one(i - len(pattern) + 1, n)
    return trace


def lcs_length(rng: np.random.Generator, n: int) -> Trace:
    """Row by row; `b[i, j]` on the edge from letter i to letter j: 0 none, 1 both, 2 up, 3 left; `c` lengths over n."""
    first, second = _two_strings(rng, n // 2, n - n // 2)
    trace, links, offset = _inputs(first, second), _links(n // 2, n - n // 2), n // 2
    choice, table = np.zeros((n, n), int), np.zeros((len(first) + 1, len(second) + 1))

    def note():
        lengths = np.zeros((n, n))
        lengths[:offset, offset:] = table[1:, 1:] / n
        trace.step(pred_h=links, b_h=one_hot(choice, 4), c=lengths)

    note()
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            if a == b:
                choice[i, offset + j], table[i + 1, j + 1] = 1, table[i, j] + 1
            else:
                up = table[i, j + 1] >= table[i + 1, j]
                choice[i, offset + j] = 2 if up else 3
                table[i + 1, j + 1] = max(table[i, j + 1], table[i + 1, j])
        note()
    trace.outputs["b"] = one_hot(choice, 4)
    return trace


STRINGS = {
    "naive_string_matcher": Algorithm(
        spec(TEXT, "pred_h node pointer, s node mask_one, i node mask_one, j node mask_one", "match node mask_one"),
        naive_string_matcher),
    "kmp_matcher": Algorithm(
        spec(TEXT, "pred_h node pointer, pi node pointer, is_reset node mask, k node mask_one, k_reset graph mask, "
                   "q node mask_one, q_reset graph mask, s node mask_one, i node mask_one, phase graph mask",
             "match node mask_one"), kmp_matcher),
    "lcs_length": Algorithm(
        spec(TEXT, "pred_h node pointer, b_h edge categorical, c edge scalar", "b edge categorical"), lcs_length),
}  # fmt: skip
