"""Generated data on disk: checksummed, written whole or not at all, rebuilt when damaged."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from structnet.native import cache_folder

Arrays = dict[str, np.ndarray]
FORMAT = 1  # raise it when the meaning of a stored array changes: older files are then rebuilt


def checksum(arrays: Arrays) -> str:
    """sha256 over names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def cached(name: str, build: Callable[[], Arrays], expected: str | None = None) -> Arrays:
    """The arrays kept under `name` (e.g. "listops/near_iid-0"), built once.

    The file carries its own checksum, so a truncated or altered one is noticed, named on stderr and rebuilt.
    `expected` is the checksum that the library knows for the default seed: a build that differs raises RuntimeError.
    """
    path = cache_folder() / f"{name}-v{FORMAT}.npz"
    arrays = _read(path) if path.exists() else None
    if arrays is None:
        arrays = build()
        _write(path, arrays)
    if expected is not None and checksum(arrays) != expected:
        raise RuntimeError(f"{name}: expected sha256 {expected}; got {checksum(arrays)}; try to report your numpy version")
    return arrays


def _read(path: Path) -> Arrays | None:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        if str(arrays.pop("sha256")) == checksum(arrays):
            return arrays
        reason = "checksum does not match"
    except Exception as error:  # zip, zlib, header: whatever a damaged file raises
        reason = str(error)
    print(f"structnet: cached file {path} is damaged ({reason}); building it again", file=sys.stderr)
    return None


def _write(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, sha256=np.array(checksum(arrays)), **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
