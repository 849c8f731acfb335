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


def cached(name: str, build: Callable[[], Arrays], expected: str | None = None, rebuild: bool = False) -> Arrays:
    """The arrays kept under `name` (e.g. "listops/near_iid-0"), built once, or anew with `rebuild`.

    The file carries its own checksum, so a truncated or altered one is noticed, named on stderr and built again.
    `expected` is the checksum that the library knows for the default seed: a kept file of another release is built
    again, and a build that differs raises RuntimeError (and is not kept).
    """
    path = cache_folder() / f"{name}-v{FORMAT}.npz"
    arrays = _read(path, expected) if path.exists() and not rebuild else None
    if arrays is None:
        arrays = build()
        if expected is not None and checksum(arrays) != expected:
            raise RuntimeError(f"{name}: expected sha256 {expected}; got {checksum(arrays)}; try another numpy version")
        _write(path, arrays)
    return arrays


def _read(path: Path, expected: str | None) -> Arrays | None:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        kept, found = str(arrays.pop("sha256")), checksum(arrays)
        if kept == found and expected in (None, found):
            return arrays
        reason = "damaged: checksum does not match" if kept != found else "of another release"
    except Exception as error:  # zip, zlib, header: whatever a damaged file raises
        reason = f"damaged: {error}"
    print(f"structnet: cached file {path} is {reason}; building it again", file=sys.stderr)
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
