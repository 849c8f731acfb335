"""Compiles the optional C++ library at install time; a machine without a compiler installs all the same."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools < 70 keeps it in the wheel package
    from wheel.bdist_wheel import bdist_wheel  # type: ignore[no-redef]

ROOT = Path(__file__).parent


def compile_into(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("native", ROOT / "structnet" / "native.py")
    native = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(native)
    for old in folder.glob("libstructnet*.so"):
        old.unlink()
    try:
        native.compile_library(folder / native.library_name())
    except Exception as error:  # optional by design: the torch forms do the same work
        print(f"structnet: no compiled library ({error}); the torch forms will be used")


class Build(build_py):
    def run(self):
        super().run()
        compile_into(ROOT / "structnet" if self.editable_mode else Path(self.build_lib) / "structnet")


class Wheel(bdist_wheel):
    """No Python and no torch interface in the library: one wheel per platform serves all versions."""

    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        return ("py3", "none", super().get_tag()[2])


setup(cmdclass={"build_py": Build, "bdist_wheel": Wheel})
