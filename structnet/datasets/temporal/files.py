"""Original files: found, checked against what was published, read once, kept as arrays."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from pathlib import Path

import numpy as np

from structnet.datasets.cache import cached
from structnet.errors import StructureError


def locate(folder: str | Path, *names: str) -> Path:
    """The first of `names` (each also with .gz) that exists in `folder`, or in the folder STRUCTNET_DATA for ""."""
    base = Path(folder or os.environ.get("STRUCTNET_DATA", "."))
    for place in (base, base / "dynamic"):
        for name in names:
            for path in (place / name, place / f"{name}.gz"):
                if path.exists():
                    return path
    raise StructureError(
        f"{' or '.join(names)} in a folder", f"none in {base}", "--task_args.folder, or STRUCTNET_DATA"
    )


def content(path: Path, sha256: str | None = None) -> bytes:
    """The bytes of a file, unpacked if its name ends in .gz. With `sha256` it must be the published file."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise StructureError(f"a whole gzip file {path}", str(error), "to download it again") from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        got = f"{len(data):,} bytes with sha256 {found[:16]}..."
        again = "to download it again (a truncated file?), or check=False for your own"
        raise StructureError(f"{path.name} as published (sha256 {sha256[:16]}...)", got, again)
    return data


def read_table(
    path: Path, columns: int, delimiter: str | None = None, header: bool = False, sha256: str | None = None
) -> np.ndarray:
    """Numbers, float64 `[rows, columns]`; lines that start with # are passed over. Parsed once per content."""
    data = content(path, sha256)
    name = f"temporal/{path.stem}-{hashlib.sha256(data).hexdigest()[:20]}"

    def parse() -> dict[str, np.ndarray]:
        return {"table": _parse(data, path, columns, delimiter, header)}

    return cached(name, parse)["table"]


def _parse(data: bytes, path: Path, columns: int, delimiter: str | None, header: bool) -> np.ndarray:
    try:
        table = np.loadtxt(io.BytesIO(data), delimiter=delimiter, skiprows=int(header), ndmin=2)
    except ValueError:
        table = np.empty((0, 0))
    if table.shape[1] == columns and np.isfinite(table).all():
        return table
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if (number == 1 and header) or not line.strip() or line.startswith("#"):
            continue
        cells = line.split(delimiter)
        if len(cells) != columns or not all(_finite(cell) for cell in cells):
            got = f"{line[:60]!r} in line {number} of {path}"
            raise StructureError(f"{columns} numbers a line", got, "the whole file (is it truncated?)")
    raise StructureError(f"lines of {columns} numbers", f"none in {path}", "another file")


def _finite(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False
