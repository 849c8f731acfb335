"""The compiled part: plain C++ with a C interface, found and loaded with ctypes; everything works without it.

All `*.cpp` of the package become one shared library: at install time (optional, see setup.py), else on first use into
the user's cache (seconds, with any g++ or clang++), else not at all, and the library's torch or numpy forms are used.
The file's name holds a digest of the sources, so an old library is never taken for a new one. `STRUCTNET_NATIVE=0`
switches it off.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # no Unix: several processes may compile the same thing, which is slower and no worse
    fcntl = None

PACKAGE = Path(__file__).parent
FLAGS = ("-O3", "-std=c++17", "-fPIC", "-fno-math-errno", "-ffp-contract=off", "-Wall")


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.cpp"))


@cache
def library() -> ctypes.CDLL | None:
    """The shared library, or None where there is none to be had (`status()` says why)."""
    return _load()[0]


def pointer(tensor: Any) -> ctypes.c_void_p:
    """Address of a contiguous CPU tensor (None: the null pointer) for a call into the library."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def status() -> str:
    """One line for `structnet info`: which library is in use, or why none is."""
    return _load()[1]


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    if os.environ.get("STRUCTNET_NATIVE", "1") == "0":
        return None, "off (STRUCTNET_NATIVE=0)"
    import torch  # noqa: F401  # first, so that its OpenMP runtime is the one we share

    installed, folder = PACKAGE / library_name(), cache_folder()
    if installed.exists():
        return ctypes.CDLL(str(installed)), f"installed: {installed.name}"
    try:
        with _alone(folder):
            built = compile_library(folder / library_name(), folder / "objects")
    except (OSError, subprocess.CalledProcessError) as error:
        said = str(getattr(error, "stderr", None) or error)
        detail = next((line for line in said.splitlines() if "error:" in line), said)
        return None, f"torch forms only, no compiled library: {detail}"
    return ctypes.CDLL(str(built)), f"compiled on first use: {built.name}"


def library_name() -> str:
    return f"libstructnet-{_digest(sources())}.so"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Of several processes that start together (torchrun, pytest -n) one compiles and the others wait for it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cache_folder() -> Path:
    """Where compiled code and generated data are kept: STRUCTNET_CACHE, or the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    return Path(os.environ.get("STRUCTNET_CACHE", Path(base) / "structnet"))


def compile_library(target: Path, objects: Path | None = None) -> Path:
    """Compile all sources into `target` (unless it is there) through a temporary file and an atomic rename.

    `objects`: keep compiled sources here, so that only what has changed since is compiled the next time.
    """
    if target.exists():
        return target
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise OSError("no C++ compiler found; install g++ or clang++, or set CXX")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        built, kept = Path(scratch) / "lib.so", objects or Path(scratch) / "objects"
        kept.mkdir(parents=True, exist_ok=True)
        for threads in ("-fopenmp", "-Wno-unknown-pragmas"):  # a compiler without OpenMP: one thread is fine
            try:
                parts = [_object(compiler, source, threads, kept) for source in sources()]
                _run([compiler, "-shared", *map(str, parts), threads, "-o", str(built)])
                break
            except subprocess.CalledProcessError:
                if threads != "-fopenmp":
                    raise
        os.replace(built, target)
    return target


def _object(compiler: str, source: Path, threads: str, folder: Path) -> Path:
    target = folder / f"{source.stem}-{_digest([source], compiler, threads)}.o"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            built = Path(scratch) / "part.o"
            _run([compiler, *FLAGS, threads, "-c", str(source), "-o", str(built)])
            os.replace(built, target)
    return target


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _digest(files: list[Path], *words: str) -> str:
    """Of these sources, all headers, the flags and `words`."""
    digest = hashlib.sha256(" ".join([*FLAGS, *words]).encode())
    for path in [*files, *sorted(PACKAGE.rglob("*.h"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
