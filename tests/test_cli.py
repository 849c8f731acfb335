"""The command line as a user meets it: train, evaluate, resume, show, replay, and clear words for mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from structnet.cli import VERBS, main
from structnet.commands.train import parse
from structnet.datasets.listops import splits
from structnet.errors import StructureError
from structnet.systems.system import SHIPPED
from structnet.tasks import listops
from structnet.training.checkpoint import take_weights

ROOT = Path(__file__).parents[1]
QUICK = ["--epochs", "1", "--max_size", "6", "--model_args.width", "8", "--report_rows", "20", "--threads", "1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One trained run of the smallest kind, on small splits."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("cli")
    patch.setenv("STRUCTNET_CACHE", str(folder / "cache"))
    patch.setattr(splits, "UNIQUE", 2000)
    patch.setattr(splits, "TRAIN_ROWS", 1800)
    patch.setattr(splits, "DEV_ROWS", 100)
    patch.setattr(splits, "CHECKSUMS", {})
    small = {n: s for n, s in splits.SPLITS.items() if "00" not in n or n == "200-300"}
    small = {n: splits.Source(s.grammar, min(s.rows, 20), s.part) for n, s in small.items()}
    patch.setattr(splits, "SPLITS", small)
    patch.setattr("structnet.tasks.listops.SPLITS", splits.SPLITS)
    patch.setattr("structnet.tasks.listops.ListOps.splits", ("validation", "near_iid", "200-300"))
    patch.setattr(listops, "_split", listops._split.__wrapped__)
    assert main(["train", "listops", "--model", "gold-tree", "--run", str(folder / "run"), *QUICK]) == 0
    yield folder / "run"
    patch.undo()


def test_a_run_leaves_weights_log_results_and_a_page_without_network(run):
    names = {path.name for path in run.iterdir()}
    assert {"settings.json", "model.safetensors", "log.jsonl", "results.json", "report.html", "checkpoints"} <= names
    page = (run / "report.html").read_text()
    assert "<svg" in page and "http://" not in page.replace("http://www.w3.org/2000/svg", "") and "https://" not in page
    for words in ("200-300", "Accuracy by split", "Settings", "commit", "AMD" if "AMD" in page else "cpu"):
        assert words in page
    assert set(json.loads((run / "results.json").read_text())) == {"validation", "near_iid", "200-300"}


def test_evaluate_prints_one_json_object(run, capsys):
    assert main(["evaluate", str(run), "--splits", "validation", "--limit", "10", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["model"] == "gold-tree" and result["splits"]["validation"]["count"] == 10
    assert {"accuracy", "loss", "by"} <= set(result["splits"]["validation"])


def test_evaluate_a_file_with_and_without_round_brackets(run, tmp_path, capsys):
    rows = tmp_path / "rows.tsv"
    rows.write_text("9\t[MAX 2 9 ]\n9\t( ( ( [MAX 2 ) 9 ) ] )\n4\t4\n")
    assert main(["evaluate", str(run), "--data", str(rows), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["splits"][str(rows)]
    assert result["count"] == 3 and result["by"]["length"]["4"]["count"] == 2
    rows.write_text(rows.read_text() + "3\t[MAX 2 9 ]\n")
    assert main(["evaluate", str(run), "--data", str(rows)]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[1].split()[:2] == ["rows.tsv", "4"] and "1 of 4 labels" in told.err


def test_show_draws_and_says_the_value(run, tmp_path, capsys):
    for name in ("tree.html", "tree.svg"):
        assert main(["show", "[MAX 2 9 [MIN 4 7 ] 0 ]", "--run", str(run), "--out", str(tmp_path / name)]) == 0
        assert "MAX" in (tmp_path / name).read_text()
    assert "[MAX 2 9 [MIN 4 7 ] 0 ] = " in capsys.readouterr().out


def test_the_saved_settings_replay_the_run(run, tmp_path):
    again, rows = parse(["--config", str(run / "settings.json"), "--run", str(tmp_path)])
    saved = json.loads((run / "settings.json").read_text())
    assert again.system.settings.max_size == 6 and again.system.model_args == saved["model_args"] and rows == 500
    assert again.system.model_args["width"] == 8 and again.system.model_args["builder"] == "gold"


def test_defaults_below_file_below_flags(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("task: listops\nmodel: lstm\nlr: 0.5\nbatch_size: 7\nmodel_args: {width: 16}\n")
    run, _ = parse(["--config", str(config), "--lr", "0.25"])
    assert (run.task, run.model) == ("listops", "lstm")
    assert (run.system.settings.lr, run.system.settings.batch_size) == (0.25, 7)
    assert run.system.model_args["width"] == 16 and run.system.model_args["kind"] == "lstm"


def test_a_run_can_start_from_the_weights_of_another(run, tmp_path):
    still = ["--init", str(run), "--run", str(tmp_path / "next"), "--lr", "1e-12", "--weight_decay", "0"]
    assert main(["train", "listops", "--model", "gold-tree", *still, *QUICK]) == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (run, tmp_path / "next"))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_a_kindred_model_starts_from_what_it_has_in_common(run, tmp_path, capsys):
    beam, wide = (["train", "listops", "--model", "bt-cell", "--init", str(run), "--run", str(tmp_path / name), *QUICK,
                   "--lr", "1e-12", "--weight_decay", "0"] for name in "ab")  # fmt: skip
    assert main(beam) == 0 and main([*wide, "--model_args.width", "16"]) == 2
    said = capsys.readouterr()
    assert "new: encoder.scorer.weight, encoder.scorer.bias; left there: none" in said.out
    assert "leaves.embedding.weight (15, 16) to start from" in said.err and not (tmp_path / "b").exists()
    before, after = (load_file(folder / "model.safetensors") for folder in (run, tmp_path / "a"))
    assert torch.allclose(before["cell.inner.weight"], after["encoder.cell.inner.weight"], atol=1e-6)
    assert json.loads((tmp_path / "a" / "settings.json").read_text())["init"] == str(run)
    with pytest.raises(StructureError, match="in common"):
        take_weights(torch.nn.Linear(2, 2), before)


def test_resume_goes_on_and_train_refuses_to_overwrite(run, capsys):
    assert main(["resume", str(run), "--report_rows", "5"]) == 0
    assert main(["train", "listops", "--run", str(run), *QUICK]) == 2
    assert "structnet resume" in capsys.readouterr().err


def test_only_a_run_folder_can_be_resumed(capsys):
    assert main(["resume", "bt-cell-listops"]) == 2  # going on would write into the package
    assert "a run folder" in capsys.readouterr().err


def test_damaged_weights_and_configs_get_one_line(run, tmp_path, capsys):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "settings.json").write_bytes((run / "settings.json").read_bytes())
    (broken / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:-3])
    assert main(["evaluate", str(broken), "--splits", "validation"]) == 2
    for text in ("- a list", "a: [1"):
        (tmp_path / "c.yaml").write_text(text)
        assert main(["train", "--config", str(tmp_path / "c.yaml")]) == 2
    assert main(["train", "listops", "--run", str(tmp_path / "c.yaml" / "run"), *QUICK]) == 2  # below a file
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and "damaged" in lines[0] and "settings.json of a run" in lines[1] + lines[2]


def test_help_of_train_needs_no_task(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0 and "--batch_size" in capsys.readouterr().out


def test_the_command_line_is_light():
    code = "import sys, structnet.cli; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.parametrize(
    "argv, words",
    [
        (["fly"], "expected a verb out of train, resume"),
        (["train", "chess"], "a task out of listops"),
        (["train", "listops", "--model", "gould-tree"], "gold-tree, argument-tree"),
        (["evaluate", "nowhere"], "a run folder, or a shipped checkpoint"),
        (["show", "[MAX 2 9"], "one complete expression"),
        (["data", "listops", "--splits", "near-iid"], "near_iid, 200-300"),
        (["train", "--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_mistakes_get_one_clear_line_and_exit_code_2(argv, words, capsys):
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


BINARY = bytes(range(255, 0, -1))


@pytest.mark.parametrize(
    "argv",
    [
        ["evaluate", "sudoku", "--data", "bin.dat"],
        ["evaluate", "gold-tree-listops", "--data", "bin.dat"],
        ["solve", "bin.dat"],
        ["train", "--config", "bin.dat"],
    ],
)
def test_a_binary_file_is_no_text(argv, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("bin.dat").write_bytes(BINARY)
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "a text file in UTF-8; got byte 0xff at position 0" in error and "; try " in error


@pytest.mark.parametrize(
    "settings, words",
    [
        (b'{"task": ', "JSON in"),
        (BINARY, "JSON in"),
        (b"{}", "without task"),
        (b"[1]", "without task"),
        (b'{"task": "listops", "model": "lstm", "model_args": {}}', "without task_args"),
        (b'{"task": "listops", "model": ["lstm"], "model_args": {}, "task_args": {}}', "without model"),
    ],
)
def test_a_broken_settings_file_is_named(settings, words, tmp_path, capsys):
    (tmp_path / "settings.json").write_bytes(settings)
    for argv in (["evaluate", str(tmp_path)], ["show", "[MAX 2 9 ]", "--run", str(tmp_path)]):
        assert main(argv) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and words in error and str(tmp_path / "settings.json") in error


@pytest.mark.parametrize("what", ["task_args", "model_args"])
def test_an_unknown_argument_in_a_settings_file_is_named(what, tmp_path, capsys):
    kept = SHIPPED / "sudoku"
    config = json.loads((kept / "settings.json").read_text())
    (tmp_path / "settings.json").write_text(json.dumps({**config, what: {"revels": 1}}))
    (tmp_path / "model.safetensors").write_bytes((kept / "model.safetensors").read_bytes())
    assert main(["evaluate", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{what} out of" in error and "'revels'" in error


def test_weights_that_do_not_fit_the_settings_are_said(tmp_path, capsys):
    kept = SHIPPED / "sudoku"
    config = json.loads((kept / "settings.json").read_text())
    config["model_args"]["hidden"] = 32
    (tmp_path / "settings.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((kept / "model.safetensors").read_bytes())
    assert main(["evaluate", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "size mismatch" in error and "settings.json" in error


@pytest.mark.parametrize("flags", [["--learning_rate", "1"], ["--model_args.widht", "3"], ["--schedule", "cosin"]])
def test_unknown_flags_are_refused(flags, capsys):
    try:
        code = main(["train", "listops", *flags])
    except SystemExit as stop:  # the parser's own way out
        code = stop.code
    assert code == 2 and flags[-1 if "cosin" in flags else 0].strip("-") in capsys.readouterr().err


def test_evaluate_refuses_unknown_splits_and_rounds(run, capsys):
    assert main(["evaluate", str(run), "--splits", "near-iid"]) == 2
    assert main(["evaluate", str(run), "--rounds", "3"]) == 2
    assert main(["evaluate", str(run), "--splits", "validation", "--wrong", "wrong.tsv"]) == 2
    error = capsys.readouterr().err
    assert "near_iid" in error and "--rounds" in error and "--wrong" in error


def test_help_says_what_arguments_mean(capsys):
    with pytest.raises(SystemExit):
        main(["train", "sudoku", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "samples per update, over all processes" in out and "most cells given away in a training puzzle" in out


def test_help_and_info(capsys):
    assert main([]) == 0 and main(["info"]) == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS) and "compiled library" in out
