"""`structnet bench`: the benchmarks, which live beside the package in a checkout (`python -m bench`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from structnet.errors import StructureError

CHECKOUT = Path(__file__).parents[2]


def main(argv: list[str]) -> int:
    if not (CHECKOUT / "bench" / "__main__.py").exists():
        raise StructureError("a checkout with bench/", f"none in {CHECKOUT}", "a clone of the repository")
    return subprocess.call([sys.executable, "-m", "bench", *argv], cwd=CHECKOUT)
