"""The splits of the literature, and where their rows come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from structnet.datasets.cache import Arrays, cached
from structnet.datasets.listops.sampler import Grammar, draw_unique
from structnet.errors import StructureError

TRAIN_ROWS, DEV_ROWS, UNIQUE = 90_000, 1_000, 100_000


@dataclass(frozen=True)
class Source:
    """A grammar and how many different rows of it. `part` cuts the common 100,000 rows of the original data."""

    grammar: Grammar
    rows: int
    part: str = ""


def _lengths(low: int) -> Source:
    return Source(Grammar(low=low + 1, high=low + 99), 2_000)  # strictly between, as in the published generator


def _depths(name: str, low: int, high: int) -> dict[str, Source]:
    """A ListOps-DG variant of the comparison with NDR: trained on depth 1-5, validated on 6, tested on 7-8."""

    def source(rows: int, max_depth: int, depth_low: int, depth_high: int) -> Source:
        return Source(Grammar(0.3, 5, max_depth, low, high, depth_low, depth_high), rows)

    return {
        f"{name}_train": source(1_000_000, 6, 1, 5),
        f"{name}_validation": source(2_000, 7, 6, 6),
        f"{name}_test": source(2_000, 9, 7, 8),
    }


_ARGS = {"max_depth": 9, "low": 100, "high": 1000}
_DG = {"p_op": 0.3, "max_depth": 10}
ORIGINAL = Grammar()
SPLITS: dict[str, Source] = {
    "train": Source(ORIGINAL, UNIQUE, "train"),
    "validation": Source(ORIGINAL, UNIQUE, "validation"),
    "near_iid": Source(ORIGINAL, UNIQUE, "near_iid"),
    **{f"{low}-{low + 100}": _lengths(low) for low in range(200, 1000, 100)},
    "iid_args": Source(Grammar(max_args=5, **_ARGS), 2_000),
    "10_args": Source(Grammar(max_args=10, **_ARGS), 2_000),
    "15_args": Source(Grammar(max_args=15, **_ARGS), 2_000),
    "lra": Source(Grammar(max_args=10, max_depth=10, low=501, high=1999), 2_000),
    "dg_train": Source(Grammar(max_depth=6, low=20, high=100), 100_000),
    "dg_validation": Source(Grammar(**_DG, low=20, high=500, depth_low=7, depth_high=7), 2_000),
    "dg_test": Source(Grammar(**_DG, low=20, high=100, depth_low=8), 2_000),
    **_depths("dg1", 50, 50),
    **_depths("dg2", 20, 100),
}
# of the default seed, 0; whatever is built or read is compared with them
CHECKSUMS: dict[str, str] = {
    "train": "c0036574bb47ba7e5e930be6d45b7e354d94fd2bc28fe7f8b3bd43c09991e54b",
    "validation": "27681e50dc9665729c48dfa9bafadac7fc122fa39f707057c293ecb122e613b9",
    "near_iid": "91c3435401d572cc1f11a139a132768985dedb080b2625973cdfe9a3f1a18812",
    "200-300": "9df62f529da8e6aa7828e18600c1cbd228dabb56c6a48c2e9bdc850c8acea33c",
    "300-400": "8d8a049d60f437d6f82e07840e103ad6de602b568a974e3e8940679f688b1482",
    "400-500": "796ed6be3d434631f59ea20d1a0ffda05ed61ec8727b940128ae024da6545c68",
    "500-600": "64e2df12f0632843446332ba72f2a03aff9fbd2e34cb6703ca02d47aab12995f",
    "600-700": "a1abff5f4202bf801c9cc454020b8db7adc99ecf80cedf213fadd6f11644f691",
    "700-800": "6ebb3a43abf42ff2a38a0f73224444c1c4eb04500816b5f860fee768e05f123f",
    "800-900": "9e0da493d69bd7df6a06fc98100715ae6782b0bad785d146c458291878f44b58",
    "900-1000": "067108109eeef3f1b406e8d0ad5445f1b9223269e5fa9bf4fc3049761099e99e",
    "iid_args": "b4558cca7225572dfae7fe96510e3d40a224cf548ad6295020cfdb2833b1556b",
    "10_args": "4f7db7287c76e59ccb74454c5e6aee04b2361009c0a5705733ba97b93eb65703",
    "15_args": "77948c0d05b0a63dabb6c52c499645fe208d35ee69739f458df225a8c089301c",
    "lra": "a10653789a24b91b9d3530c23b6f009f73074a1b1d9ca82b4d5dff1ee410005e",
    "dg_train": "f0a3437bf8b22c6a971ecf6a53ae358bb97106a615a7f95975f64f14863715e5",
    "dg_validation": "4787cfbc924f0de37f626dec29ffcf5bce986d59a5f98da0d162713db25b54c8",
    "dg_test": "2226ae4370dfc93ea1093b72b20abb7432b7df251e62dc80a0a840e4581f7e8b",
    "dg1_train": "458fbdd7f7950ac51286c8977e0d5d57480bd72f450b69b3a1a3edfe2ba2ce41",
    "dg1_validation": "c0b531cb1617a6ef477ed424f8f9c815ac57996e53de256dd88bd9b0f8b620be",
    "dg1_test": "a1266c22ff72363480898f9814389e46dfa31f5cc318586e33999d7cf63d1e5f",
    "dg2_train": "2e431ccbae4948236b8c4bc419dfbe98bf7ed7aed68c4106f405606942fed4da",
    "dg2_validation": "fd2124e26284c8049026f6a1e0978f4ff6e513c7d1aecf4a250b0cb0e2b440e7",
    "dg2_test": "be864c6f444e46b4013b2aee5af87fd12c3858b54cc811b9998e5ac06f05a09f",
}


def further_rows(count: int, seed: int = 0) -> Arrays:
    """More to train on: the next `count` different draws of at most 100 tokens after the 100,000 of the original data,
    so none of them validates or tests. Drawn anew at each call: 1,000,000 take about five seconds."""
    drawn, short = count, np.empty(0, np.int64)
    while len(short) < count:
        drawn += count - len(short)
        tokens, ptr = draw_unique(ORIGINAL, UNIQUE + drawn, seed * 1_000)
        short = UNIQUE + np.flatnonzero(np.diff(ptr)[UNIQUE:] <= 100)
    return dict(zip(("tokens", "ptr"), take_rows(tokens, ptr, short[:count])))


def rows_of(name: str, seed: int = 0, rebuild: bool = False) -> Arrays:
    """Tokens uint8 `[total]` and ptr int64 `[rows + 1]` of a split, generated once and kept in the cache."""
    if name not in SPLITS:
        raise StructureError(f"one of {', '.join(SPLITS)}", repr(name), 'a split such as "near_iid"')
    expected = CHECKSUMS.get(name) if seed == 0 else None
    return cached(f"listops/{name}-{seed}", _builder(name, seed), expected, rebuild)


def _builder(name: str, seed: int) -> Callable[[], Arrays]:
    source = SPLITS[name]
    if source.part:
        return lambda: _part(source.part, seed)
    # every split its own stream: the same seed must not give the same draws twice
    stream = seed * 1_000 + list(SPLITS).index(name) + 1

    def build() -> Arrays:
        tokens, ptr = draw_unique(source.grammar, source.rows, stream)
        return {"tokens": tokens, "ptr": ptr}

    return build


def _part(part: str, seed: int) -> Arrays:
    """100,000 different rows, shuffled: 90,000 to train (the first 1,000 validate, of the rest those of at most 100
    tokens train), 10,000 to test."""
    tokens, ptr = draw_unique(ORIGINAL, UNIQUE, seed * 1_000)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(UNIQUE)
    short = np.diff(ptr) <= 100
    rows = {
        "validation": order[:DEV_ROWS],
        "train": order[DEV_ROWS:TRAIN_ROWS][short[order[DEV_ROWS:TRAIN_ROWS]]],
        "near_iid": order[TRAIN_ROWS:],
    }[part]
    return dict(zip(("tokens", "ptr"), take_rows(tokens, ptr, rows)))


def take_rows(flat: np.ndarray, ptr: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The given rows of ragged data, in that order."""
    from structnet.structures.topology import ranges

    lengths = ptr[rows + 1] - ptr[rows]
    return flat[ranges(ptr[rows], ptr[rows + 1])], np.concatenate([[0], np.cumsum(lengths)])
