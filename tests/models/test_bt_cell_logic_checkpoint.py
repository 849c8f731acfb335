"""The shipped checkpoint of logical inference answers right after installation."""

import json

import pytest

from structnet import cli
from structnet.systems import open_run
from structnet.training import evaluate

ROWS = "=\ta\ta\n<\t( a ( and b ) )\ta\n^\tc\t( not c )\n#\td\te\n|\t( a ( and b ) )\t( not b )\n>\t( a ( or b ) )\tb\n"


def test_evaluate_a_file(tmp_path, capsys):
    path = tmp_path / "rows.tsv"
    path.write_text(ROWS)
    assert cli.main(["evaluate", "bt-cell-logic", "--data", str(path), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["splits"].values()
    assert result["count"] == 6 and result["accuracy"] == 1.0


@pytest.mark.slow
def test_original_files(shared_data):
    run = open_run("bt-cell-logic")
    task = run.system.open_task()
    for operators, floor in ((6, 0.96), (12, 0.85)):
        split = task.from_file(shared_data / "logic" / f"train{operators}")
        assert evaluate(run.weights(), task, split, 400)["accuracy"] > floor
