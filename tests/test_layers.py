"""The imports point one way, and `import structnet` stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import structnet

ROOT = Path(structnet.__file__).parent
# what each layer may import beside itself; a name is the first part below structnet
BASE = {"errors", "native"}
STRUCTURES = BASE | {"structures"}
SCHEDULES = STRUCTURES | {"schedules"}
KERNELS = SCHEDULES | {"kernels"}
CELLS = KERNELS | {"cells", "states"}
DRIVERS = CELLS | {"recursion", "rounds", "newton", "search", "unroll"}
TASKS = STRUCTURES | {"datasets", "tasks"}
ALLOWED = {
    "errors": set(),
    "native": {"errors"},
    "states": {"errors"},
    "structures": BASE,
    "schedules": STRUCTURES,
    "kernels": KERNELS,
    "cells": KERNELS | {"states"},
    "recursion": DRIVERS,
    "rounds": DRIVERS,
    "newton": DRIVERS,
    "search": DRIVERS,
    "unroll": DRIVERS,
    "aggr": DRIVERS,
    "models": DRIVERS | {"aggr"},
    "datasets": STRUCTURES,
    "tasks": TASKS,
    "training": TASKS,
    "report": TASKS,
}


def imports(path: Path) -> set[str]:
    """First parts below `structnet` of everything that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if names == ["structnet"]:
            names = [f"structnet.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("structnet.")}
    return found


@pytest.mark.parametrize("layer", ALLOWED)
def test_imports_point_one_way(layer):
    files = sorted((ROOT / layer).rglob("*.py")) or [ROOT / f"{layer}.py"]
    for path in files:
        if path.exists():
            wrong = imports(path) - ALLOWED[layer] - {layer}
            assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_every_layer_is_listed():
    top = {path.stem for path in ROOT.glob("*.py")} | {p.name for p in ROOT.iterdir() if (p / "__init__.py").exists()}
    assert top - set(ALLOWED) == {"__init__", "cli", "commands", "systems", "__main__"} & top


def test_import_is_light():
    code = "import sys, structnet; print(sorted(m for m in sys.modules if m.split('.')[0] in ('torch', 'triton')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
