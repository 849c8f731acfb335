"""A trainable system: a task, a model and how it is trained, by name; and runs of it on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser
from torch import nn

from structnet.errors import StructureError
from structnet.report.listops_trees import example_trees
from structnet.report.temporal_pictures import forecast_pictures, link_pictures
from structnet.tasks.task import Task
from structnet.training.checkpoint import load_weights, take_weights, write_whole
from structnet.training.record import commit, machine
from structnet.training.sampler import stream
from structnet.training.settings import TrainSettings

# task name -> module with `SYSTEMS: dict[str, System]`; imported when asked for
TASKS = {"listops": "structnet.systems.listops", "logic": "structnet.systems.logic",
         "sudoku": "structnet.systems.sudoku", "sets": "structnet.systems.sets",
         "algorithms": "structnet.systems.algorithms", "links": "structnet.systems.links",
         "forecast": "structnet.systems.forecast", "edges": "structnet.systems.edges",
         "nodes": "structnet.systems.nodes", "words": "structnet.systems.words", "digits": "structnet.systems.digits",
         "babi": "structnet.systems.babi", "pretty-clevr": "structnet.systems.pretty_clevr",
         "sort-of-clevr": "structnet.systems.sort_of_clevr", "age": "structnet.systems.age",
         "exact-cover": "structnet.systems.exact_cover", "multitask": "structnet.systems.multitask"}  # fmt: skip
# task name -> function(model, split) -> captions and SVG pictures for the report
PICTURES: dict[str, Callable[..., list[tuple[str, str]]]] = {
    "listops": example_trees, "links": link_pictures, "forecast": forecast_pictures}  # fmt: skip
NEEDED = {"task": str, "model": str, "model_args": dict, "task_args": dict}  # in the settings.json of a run
SHIPPED = Path(__file__).parents[1] / "checkpoints"


@dataclass(frozen=True)
class System:
    """`task(**task_args)`, `model(**model_args)` and the settings that fit them."""

    task: type[Task]
    model: type[nn.Module]
    model_args: dict[str, Any] = field(default_factory=dict)
    settings: TrainSettings = field(default_factory=TrainSettings)
    task_args: dict[str, Any] = field(default_factory=dict)

    def known_arguments(self) -> list[str]:
        """Names that `model_args` may have, those that the model passes on included."""
        return ArgumentParser().add_class_arguments(self.model)

    def open_task(self) -> Task:
        _check_names("task_args", self.task_args, ArgumentParser().add_class_arguments(self.task))
        return self.task(**self.task_args)

    def build(self, seed: int | None = None) -> nn.Module:
        """The model, its weights drawn from the run's seed."""
        _check_names("model_args", self.model_args, self.known_arguments())
        torch.manual_seed(stream(self.settings.seed if seed is None else seed).initial_seed())
        return self.model(**self.model_args)


def names(task: str) -> dict[str, System]:
    """The systems of a task by name."""
    if task not in TASKS:
        raise StructureError(f"a task out of {', '.join(TASKS)}", repr(task), "structnet train listops")
    return import_module(TASKS[task]).SYSTEMS


def find(task: str, model: str) -> System:
    """The system that `structnet train TASK --model MODEL` means, with its default settings."""
    systems = names(task)
    if model not in systems:
        known = ", ".join(systems)
        raise StructureError(f"a model of {task} out of {known}", repr(model), f"--model {next(iter(systems))}")
    return systems[model]


@dataclass(frozen=True)
class Run:
    """A run folder: `settings.json`, `model.safetensors`, and for runs made here log, checkpoints and report. `init`
    is another run, or a shipped checkpoint, that its weights start from."""

    folder: Path
    task: str
    model: str
    system: System
    init: str = ""

    def save(self) -> None:
        """Write `settings.json`; `structnet train --config` replays it."""
        s = self.system
        config = {"task": self.task, "model": self.model, "model_args": s.model_args, "task_args": s.task_args,
                  "init": self.init, **asdict(s.settings), "commit": commit(), "machine": machine()}  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / "settings.json", json.dumps(config, indent=1).encode())

    def start(self) -> nn.Module:
        """A new model, with what it has in common with the weights of `init`; says what it has not."""
        model = self.system.build()
        if self.init:
            new, left = take_weights(model, open_run(self.init).weights().state_dict())
            print(f"weights of {self.init}; new: {_some(new)}; left there: {_some(left)}")
        return model

    def weights(self) -> nn.Module:
        """The model with the best weights of the run, in evaluation mode."""
        path = self.folder / "model.safetensors"
        if not path.exists():
            raise StructureError("a run with model.safetensors", f"none in {self.folder}", "structnet resume first")
        model = self.system.build()
        try:
            model.load_state_dict(load_weights(path))
        except RuntimeError as error:  # its lines name the tensors
            first = str(error).splitlines()[-1].strip()
            trying = "the commit in settings.json, or to train again"
            raise StructureError(f"weights of the {self.model} that settings.json describes", first, trying) from error
        return model.eval()


def open_run(where: str | Path, **overrides: Any) -> Run:
    """A run folder, or a checkpoint that ships with the package, by name. `overrides` replace model arguments that
    the weights do not depend on, such as `rounds`."""
    folder = Path(where)
    if not (folder / "settings.json").exists():
        folder = SHIPPED / str(where)
    if not (folder / "settings.json").exists():
        shipped = ", ".join(shipped_names()) or "none"
        raise StructureError(f"a run folder, or a shipped checkpoint out of {shipped}", repr(str(where)), "its path")
    config = _read(folder / "settings.json")
    system = find(config["task"], config["model"])
    for name in overrides:
        if name not in system.known_arguments():
            raise StructureError(f"a model with the argument {name}", config["model"], f"leaving out --{name}")
    settings = TrainSettings(**{name: config[name] for name in asdict(system.settings) if name in config})
    system = replace(system, model_args={**config["model_args"], **overrides}, settings=settings,
                     task_args=config["task_args"])  # fmt: skip
    return Run(folder, config["task"], config["model"], system, config.get("init", ""))


def _read(path: Path) -> dict[str, Any]:
    """The settings of a run, with all that it takes to build its task and model."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no text at all
        raise StructureError(f"JSON in {path}", str(error), "the settings.json that structnet train wrote") from error
    for name, kind in NEEDED.items():
        if not isinstance(config, dict) or not isinstance(config.get(name), kind):
            got = f"{path} without {name}"
            raise StructureError(f"{', '.join(NEEDED)} of a run", got, "the settings.json that structnet train wrote")
    return config


def _check_names(what: str, given: Iterable[str], known: list[str]) -> None:
    for name in given:
        if name not in known:
            raise StructureError(f"{what} out of {', '.join(known) or 'none'}", repr(name), "one of these names")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "none"


def shipped_names() -> list[str]:
    return sorted(path.parent.name for path in SHIPPED.glob("*/settings.json"))
