"""The published ListOps sampler, seeded and vectorised.

`tree(depth)`: while `depth < max_depth`, with probability p_op an operator with 2 .. max_args arguments (uniform), each
again a tree one deeper; else a digit. Draw i is a pure function of (seed, i), so a split is the same bits on every
machine; rejected lengths are abandoned as soon as they cannot fit. With the compiled library several million draws a
second, in numpy some hundred thousand, the same bits.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from structnet.errors import StructureError
from structnet.native import library

DIGITS, OPERATORS, CLOSE = 10, ("MIN", "MAX", "MED", "SM"), 14
VOCABULARY = (*map(str, range(10)), *(f"[{name}" for name in OPERATORS), "]")
PATIENCE = 1 << 28  # draws without a new row after which a grammar is taken to have no more (seconds, compiled)
_GOLDEN, _STEP = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)


@dataclass(frozen=True)
class Grammar:
    """One row of the table of splits: what is drawn and what is kept.

    Attributes:
        p_op: probability of an operator.
        max_args, max_depth: most arguments of an operator; depth at which only digits are drawn (the root has 1).
        low, high: shortest and longest kept, in tokens, both included.
        depth_low, depth_high: nesting of brackets kept, both included.
    """

    p_op: float = 0.25
    max_args: int = 5
    max_depth: int = 20
    low: int = 1
    high: int = 1 << 16
    depth_low: int = 0
    depth_high: int = 64


def draw_unique(grammar: Grammar, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` different expressions in the order of drawing: tokens uint8 `[total]`, ptr int64 `[count + 1]`.

    Raises StructureError for a grammar that cannot be drawn from, or that has too few different expressions.
    """
    seen: set[bytes] = set()
    rows: list[bytes] = []
    first = newest = 0
    while len(rows) < count:
        known = len(rows)
        tokens, lengths, first = draw_range(grammar, seed, first, 1 << 24, 4 * (count - len(rows)) + 64)
        text, at = tokens.tobytes(), 0
        for length in lengths.tolist():
            row = text[at : at + length]
            at += length
            if row not in seen:
                seen.add(row)
                rows.append(row)
                if len(rows) == count:
                    break
        newest = first if len(rows) > known else newest
        if first - newest > PATIENCE:
            got = f"{known}, and no new one in {first - newest} draws of {grammar}"
            raise StructureError(f"{count} different expressions", got, "fewer rows or a wider grammar")
    ptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return np.frombuffer(b"".join(rows), np.uint8), ptr


def draw_range(grammar: Grammar, seed: int, first: int, count: int, rows: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Kept expressions from draw `first` on, at most `count` draws and `rows` rows: tokens, lengths, next draw."""
    if not (0 <= grammar.p_op < 1 and grammar.max_args >= 2 and 1 <= grammar.max_depth <= 64):
        raise StructureError("0 <= p_op < 1, max_args >= 2, 1 <= max_depth <= 64", repr(grammar), "Grammar()")
    native = library()
    if native is None:
        return _numpy(grammar, seed, first, min(count, 1 << 18), rows)  # side by side: a bounded block at a time
    return _native(native, grammar, seed, first, count, rows)


def _threshold(grammar: Grammar) -> int:
    return round(grammar.p_op * 2**32)


def _native(native: ctypes.CDLL, g: Grammar, seed: int, first: int, count: int, rows: int):
    room = g.high + (1 << 24)
    tokens, lengths = np.empty(room, np.uint8), np.empty(rows, np.int64)
    ahead = ctypes.c_int64()
    native.structnet_listops.restype = ctypes.c_int64
    i64, i32, u64 = ctypes.c_int64, ctypes.c_int32, ctypes.c_uint64
    found = native.structnet_listops(
        u64(seed), i64(first), i64(count), u64(_threshold(g)), i32(g.max_args), i32(g.max_depth), i64(g.low),
        i64(g.high), i32(g.depth_low), i32(g.depth_high), i64(rows), i64(room),
        ctypes.c_void_p(tokens.ctypes.data), ctypes.c_void_p(lengths.ctypes.data), ctypes.byref(ahead),
    )  # fmt: skip
    return tokens[: lengths[:found].sum()], lengths[:found], ahead.value


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _scale(bits: np.ndarray, size: int) -> np.ndarray:
    return ((bits & np.uint64(0xFFFFFFFF)) * np.uint64(size)) >> np.uint64(32)


def _numpy(g: Grammar, seed: int, first: int, count: int, rows: int):
    """All draws side by side, one token per round; a draw leaves when it is complete or can no longer fit."""
    with np.errstate(over="ignore"):
        base = _mix(np.uint64(seed) + _GOLDEN)
        key = _mix(base + (np.arange(first, first + count).astype(np.uint64)) * _GOLDEN)
        draw = np.arange(count)
        left = np.zeros((count, g.max_depth + 1), np.int32)
        left[:, 0] = 1
        depth, deepest, owed = (np.full(count, v, np.int64) for v in (0, 0, 1))
        rounds, final = [], np.zeros((count, 2), np.int64)
        length = 0
        while len(draw):
            here = np.arange(len(draw))
            closing = left[here, depth] == 0
            done = closing & (depth == 0)
            final[draw[done]] = np.stack([np.full(done.sum(), length), deepest[done]], 1)
            bits = _mix(key + np.uint64(length) * _STEP)
            opening = ~closing & (depth + 1 < g.max_depth) & ((bits >> np.uint64(32)) < np.uint64(_threshold(g)))
            arity = 2 + _scale(bits, g.max_args - 1).astype(np.int64)
            token = np.where(closing, CLOSE, _scale(bits, 10)).astype(np.uint8)
            token = np.where(opening, 10 + (_mix(bits) >> np.uint64(62)), token).astype(np.uint8)
            left[here[~closing], depth[~closing]] -= 1
            depth = depth + opening - (closing & ~done)
            left[here[opening], depth[opening]] = arity[opening]
            deepest = np.maximum(deepest, depth)
            owed = owed + np.where(opening, arity, -1)
            keep = ~done & (length + 1 + owed <= g.high)
            rounds.append((draw[keep], token[keep]))
            draw, key, left, depth, deepest, owed = (a[keep] for a in (draw, key, left, depth, deepest, owed))
            length += 1
    n, d = final.T
    kept = np.flatnonzero((n > 0) & (n >= g.low) & (n <= g.high) & (d >= g.depth_low) & (d <= g.depth_high))
    ahead = first + count
    if len(kept) > rows:
        ahead = first + int(kept[rows - 1]) + 1
        kept = kept[:rows]
    start = np.full(count, -1)
    start[kept] = np.cumsum(n[kept]) - n[kept]
    tokens = np.empty(n[kept].sum(), np.uint8)
    for at, (who, token) in enumerate(rounds):
        wanted = start[who] >= 0
        tokens[start[who[wanted]] + at] = token[wanted]
    return tokens, n[kept], ahead
