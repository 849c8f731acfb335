"""`structnet train TASK --model NAME`: defaults of the system < --config file < flags."""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser

from structnet.errors import StructureError
from structnet.systems import Run, System, find, names
from structnet.training.settings import TrainSettings


def main(argv: list[str]) -> int:
    run, rows = parse(argv)
    if (run.folder / "checkpoints").exists():
        got = f"{run.folder} with checkpoints in it"
        raise StructureError("a new run folder", got, f"structnet resume {run.folder}, or another --run")
    model = run.start()  # before anything is written: wrong arguments leave no trace
    if os.environ.get("RANK", "0") == "0":  # under torchrun one process writes
        run.save()
    return fit(run, model, rows)


def parse(argv: list[str]) -> tuple[Run, int]:
    """The run that the arguments describe, and how many rows per split its report uses."""
    task, model = _which(argv)
    system = find(task, model)
    options = _parser(system, task, model).parse_args(argv)
    chosen = replace(
        system,
        model_args=options.model_args.as_dict(),
        task_args=options.task_args.as_dict() if "task_args" in options else {},
        settings=TrainSettings(**{f.name: options[f.name] for f in fields(TrainSettings)}),
    )
    folder = Path(options.run or f"runs/{task}-{model}-{time.strftime('%Y%m%d-%H%M%S')}")
    return Run(folder, task, model, chosen, options.init), options.report_rows


def fit(run: Run, model: Any, rows: int) -> int:
    """Train, then mark the best weights on every split and write the report (rank 0)."""
    from structnet.commands.evaluate import floors_of, mark, table
    from structnet.training import Diverged, Trainer

    system = run.system
    task = system.open_task()
    trainer = Trainer(model, task, system.settings, run.folder)
    if trainer.rank == 0:
        count = sum(p.numel() for p in model.parameters())
        print(f"{run.task} / {run.model}: {count:,} parameters, {trainer.total:,} updates, run folder {run.folder}")
    try:
        reason = trainer.fit()["reason"]
    except Diverged as error:
        print(f"structnet train: {error}")
        return 1
    if trainer.rank:
        return 0
    if reason.startswith("signal"):
        print(f"\nstopped at update {trainer.step}: {reason}; go on with structnet resume {run.folder}")
        return 0
    results = mark(run, task.splits, rows)
    (run.folder / "results.json").write_text(json.dumps(results, indent=1))
    wall, cpu = (seconds / 60 for seconds in trainer.record.seconds())
    print(f"\nstopped: {reason}; {wall:.1f} minutes with marking, {cpu:.1f} of CPU time")
    print(table(results, floors_of(task, task.splits)))
    print(f"report: {write_report(run, task)}")
    return 0


def write_report(run: Run, task: Any) -> Path:
    """`report.html` of a finished run; a task that can draw its samples has `pictures(model, split)`."""
    from structnet.commands.evaluate import floors_of
    from structnet.report.html import floor_table, run_report
    from structnet.systems.system import PICTURES
    from structnet.training.record import read_log

    draw = PICTURES.get(run.task)
    floors = floor_table(floors_of(task, task.splits))
    pictures = [("What needs no training, on the same splits", floors)] if floors else []
    pictures += draw(run.weights(), task.split(task.validation)) if draw else []
    return run_report(run.folder, read_log(run.folder / "log.jsonl"), task.in_range, task.chance, pictures)


def _which(argv: list[str]) -> tuple[str, str]:
    """Task and model, from the flags or else from the config file; they decide which other arguments there are."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--model")
    parser.add_argument("--config")
    given, rest = parser.parse_known_args(argv)
    config: dict[str, Any] = {}
    if given.config:
        config = _read_config(Path(given.config))
    asks = any(word in ("-h", "--help") for word in argv)
    task = rest[0] if rest and not rest[0].startswith("-") else config.get("task", "listops" if asks else "")
    model = given.model or config.get("model") or next(iter(names(task)))  # an unknown task is named here
    return task, model


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        got = " ".join(str(error).split())
        raise StructureError(f"YAML or JSON in {path}", got, "the settings.json of a run") from error
    if not isinstance(config, dict):
        raise StructureError(f"name: value pairs in {path}", type(config).__name__, "the settings.json of a run")
    return config


def _parser(system: System, task: str, model: str) -> ArgumentParser:
    parser = ArgumentParser(prog="structnet train", description="Train a model on a task.")
    parser.add_argument("task", nargs="?", default=task, help="e.g. listops")
    parser.add_argument("--model", type=str, default=model, help=f"one of {', '.join(names(task))}")
    parser.add_argument("--config", action=ActionConfigFile, help="a YAML or JSON file of these arguments")
    parser.add_argument("--run", type=str, default=None, help="folder of the run [runs/TASK-MODEL-TIME]")
    parser.add_argument("--init", type=str, default="", help="start from the weights of this run or shipped checkpoint")
    parser.add_argument("--report_rows", type=int, default=500, help="rows per split for the report, 0 for all")
    parser.add_argument("--commit", type=str, default=None, help="of a saved run; noted, not used")
    parser.add_argument("--machine", type=dict, default={}, help="of a saved run; noted, not used")
    parser.add_class_arguments(TrainSettings, None)
    parser.add_class_arguments(system.model, "model_args")
    parser.add_class_arguments(system.task, "task_args")
    parser.set_defaults(
        {
            **asdict(system.settings),
            **{f"model_args.{name}": value for name, value in system.model_args.items()},
            **{f"task_args.{name}": value for name, value in system.task_args.items()},
        }
    )
    return parser
