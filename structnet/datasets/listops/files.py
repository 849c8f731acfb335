"""Files of the original data: `label<TAB>expression`, and the Long Range Arena form with a header."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from structnet.datasets.listops.sampler import CLOSE, DIGITS, VOCABULARY
from structnet.errors import StructureError

_IDS = {token: at for at, token in enumerate(VOCABULARY)}
_IGNORED = frozenset("()")  # the binary bracketing of the original files; the models see no structure


def read_file(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens uint8 `[total]`, ptr int64 `[rows + 1]`, labels int64 `[rows]`.

    Accepts `label<TAB>expression` (with or without the round brackets) and `Source<TAB>Target` with a header line.
    Empty lines are passed over. Raises StructureError with the line number on anything else.
    """
    rows, labels, swapped = [], [], False
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\r\n")
            if not line.strip():
                continue
            parts = line.split("\t")
            if number == 1 and [part.strip().lower() for part in parts] == ["source", "target"]:
                swapped = True
                continue
            if len(parts) != 2:
                raise _bad(path, number, "label<TAB>expression", f"{len(parts)} columns")
            label, text = parts[::-1] if swapped else parts
            if label.strip() not in _IDS or _IDS[label.strip()] >= DIGITS:
                raise _bad(path, number, "a label 0 .. 9", repr(label))
            labels.append(int(label))
            rows.append(_parse(text, path, number))
    if not rows:
        raise StructureError("at least one row of label<TAB>expression", f"none in {path}", "another file")
    ptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return np.concatenate(rows), ptr, np.array(labels, np.int64)


def encode(text: str) -> np.ndarray:
    """One expression as token ids, e.g. "[MAX 2 9 [MIN 4 7 ] 0 ]"; raises StructureError if it is not one."""
    return _parse(text, "the expression", 1)


def decode(tokens: np.ndarray) -> str:
    """The expression of token ids, as in the original files without round brackets."""
    return " ".join(VOCABULARY[token] for token in tokens)


def _parse(text: str, path: str | Path, number: int) -> np.ndarray:
    words = [word for word in text.replace("]", " ] ").split() if word not in _IGNORED]
    unknown = next((word for word in words if word not in _IDS), None)
    if unknown is not None:
        raise _bad(path, number, f"tokens out of {' '.join(VOCABULARY)}", repr(unknown))
    ids = np.array([_IDS[word] for word in words], np.uint8)
    step = ((ids >= DIGITS) & (ids < CLOSE)).astype(int) - (ids == CLOSE)
    inside = np.cumsum(step)
    complete = len(ids) > 0 and inside[-1] == 0 and (inside[:-1] > 0).all() and ids[0] != CLOSE
    empty = (ids[:-1] >= DIGITS) & (ids[:-1] < CLOSE) & (ids[1:] == CLOSE)
    if not complete or empty.any():
        raise _bad(path, number, "one complete expression with arguments for each operator", repr(text[:60]))
    return ids


def _bad(path: str | Path, number: int, expected: str, got: str) -> StructureError:
    return StructureError(expected, f"{got} in line {number} of {path}", "a row such as 9<TAB>[MAX 2 9 ]")
