"""Every example runs (two updates of it), is short, says how to run it, and uses public names only."""

import ast
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
SMALLER = {"quickselect.py": ["--runs", "2"], "chickenpox.py": ["--seeds", "1", "--epochs", "1"]}  # beside --steps 2
REAL = {"chickenpox.py"}  # reads a real data set


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_two_updates(path, monkeypatch, tmp_path, capsys, request):
    if path.name in REAL:
        monkeypatch.setenv("STRUCTNET_DATA", str(request.getfixturevalue("shared_data")))
    steps = ["--steps", "2"] if '"--steps"' in path.read_text() else []
    monkeypatch.setattr(sys, "argv", [str(path), *steps, *SMALLER.get(path.name, [])])
    monkeypatch.chdir(tmp_path)  # whatever it writes
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_paper_on_a_page(path):
    text = path.read_text()
    page = ast.parse(text)
    says = ast.get_docstring(page) or ""
    assert len(text.splitlines()) < 150
    assert f"python examples/{path.name}" in says and ("minute" in says or "second" in says)
    names = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(page)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("structnet")
        for alias in node.names
    ]
    assert names and not any(part.startswith("_") for name in names for part in name.split("."))
