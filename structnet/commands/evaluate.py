"""`structnet evaluate RUN`: mark a run, or a checkpoint that ships with the package, on splits or on a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt, PositiveInt

from structnet.errors import StructureError
from structnet.systems import Run, open_run


def main(argv: list[str]) -> int:
    parser = ArgumentParser(prog="structnet evaluate", description=__doc__)
    parser.add_argument("run", type=str, help="a run folder, or the name of a shipped checkpoint")
    parser.add_argument("--splits", type=str, default="all", help="all, or names with commas between")
    parser.add_argument("--data", type=str, default=None, help="your own file, in the original format of the task")
    parser.add_argument("--rounds", type=str, default="", help="rounds at test time (one number or several: 16,32,64)")
    parser.add_argument("--restarts", type=PositiveInt, default=None, help="starts to choose from; reported apart")
    stops = "a board stops when its answer is valid, looked at every so many rounds; 0 for never"
    parser.add_argument("--halt", type=NonNegativeInt, default=None, help=stops)
    parser.add_argument("--limit", type=NonNegativeInt, default=0, help="only the first rows of each split, 0 for all")
    parser.add_argument("--by", type=str, default="", help="also by these keys, e.g. operator,arguments")
    parser.add_argument("--wrong", type=str, default="", help="write the rows answered wrongly to this file")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    options = parser.parse_args(argv)
    runs = _runs(options)
    if options.wrong and len(runs) > 1:
        raise StructureError("one number of rounds with --wrong", options.rounds, "one call for each")
    run = next(iter(runs.values()))
    task = run.system.open_task()
    floors = {}
    if options.data is not None:
        wanted = [options.data]
    else:
        wanted = list(task.splits) if options.splits == "all" else options.splits.split(",")
        unknown = [name for name in wanted if name not in (*task.splits, task.train)]
        if unknown:
            raise StructureError(f"splits out of {', '.join(task.splits)}", unknown[0], "--splits all")
        floors = floors_of(task, wanted)
    results = {}
    for suffix, run in runs.items():
        marked = mark(run, wanted, options.limit, from_file=options.data is not None, wrong=options.wrong)
        results |= {name + suffix: result for name, result in marked.items()}
    if options.json:
        found = {"run": options.run, "task": run.task, "model": run.model, "splits": results}
        print(json.dumps({**found, **_chosen(options), **({"floors": floors} if floors else {})}))
    else:
        print(table(results, floors))
        for key in filter(None, options.by.split(",")):
            print("\n" + breakdown(results, key))
    return 0


def _runs(options: Any) -> dict[str, Run]:
    """The run for each number of rounds, by what is added to the names of its splits (nothing if there is one)."""
    counts = options.rounds.split(",") if options.rounds else []
    wrong = [count for count in counts if not count.isdecimal() or not int(count)]
    if wrong:
        raise StructureError("--rounds as numbers above 0 with commas between", repr(wrong[0]), "--rounds 16,32,64")
    extra = _chosen(options)
    if len(counts) < 2:
        return {"": open_run(options.run, **extra, **({"rounds": int(counts[0])} if counts else {}))}
    return {f" @{count}": open_run(options.run, rounds=int(count), **extra) for count in counts}


def _chosen(options: Any) -> dict[str, int]:
    """What of the ways to run at test time was asked for, by its name as a model argument."""
    return {name: getattr(options, name) for name in ("restarts", "halt") if getattr(options, name) is not None}


def mark(
    run: Run, wanted: Sequence[str], rows: int = 0, from_file: bool = False, wrong: str = ""
) -> dict[str, dict[str, Any]]:
    """Results per split (or file), progress on standard error; `wrong`: a file for the rows answered wrongly."""
    import torch

    from structnet.training import evaluate

    task = run.system.open_task()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = run.weights().to(device)
    torch.manual_seed(0)  # restarts begin from noise
    results, lines = {}, []
    for name in wanted:
        split: Any = task.from_file(name) if from_file else task.split(name)
        if getattr(split, "wrong_labels", 0):
            told = f"{split.wrong_labels} of {len(split)} labels in {name} are not the value of their row"
            print(f"structnet: {told}; marked by the file", file=sys.stderr)
        if wrong:
            if not hasattr(split, "lines"):
                raise StructureError("a task whose rows can be written to a file", task.name, "without --wrong")
            Path(wrong).touch()  # a place that cannot be written to is said before the work, not after it
        missed: list[int] = []
        results[name] = evaluate(model, task, split, rows, device, progress=sys.stderr.isatty(), wrong=missed)
        lines += split.lines(torch.tensor(sorted(missed), dtype=torch.long)) if wrong else []
    if wrong:
        Path(wrong).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return results


def floors_of(task: Any, splits: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Per split, the figures of what needs no training, for tasks that have such floors."""
    return {name: task.floors(name) for name in splits} if hasattr(task, "floors") else {}


def table(results: dict[str, dict[str, Any]], floors: dict[str, dict[str, dict[str, float]]] | None = None) -> str:
    """Accuracy by split as text, with the half-width of the 95 % interval of a proportion; below it the floors."""
    columns = [name for name in next(iter(results.values())) if name not in ("by", "count")]
    lines = [f"{'split':14}{'rows':>7}" + "".join(f"{name:>18}" for name in columns)]
    for split, result in results.items():
        cells = "".join(f"{_figure(result, name):>18}" for name in columns)
        lines.append(f"{Path(split).name[:14]:14}{result['count']:>7}{cells}")  # of a file its name
        for floor, figures in (floors or {}).get(split, {}).items():
            cells = "".join(f"{figures[name]:18.4f}" if name in figures else f"{'':18}" for name in columns)
            lines.append(f"  {floor[:29]:30}".ljust(21) + cells[11:])
    return "\n".join(lines)


def breakdown(results: dict[str, dict[str, Any]], key: str) -> str:
    """The headline score of each split for each value of a key, and how many rows had it."""
    lines = []
    for split, result in results.items():
        if key not in result["by"]:
            raise StructureError(f"--by out of {', '.join(result['by'])}", repr(key), "one of these names")
        cells = (f"{value}: {100 * at['mean']:.1f} % of {at['count']}" for value, at in result["by"][key].items())
        lines.append(f"{split[-13:]:14}by {key}  " + "   ".join(cells))
    return "\n".join(lines)


def _figure(result: dict[str, Any], name: str) -> str:
    value = result[name]
    if "accuracy" not in name:
        return f"{value:.4f}"
    half = 1.96 * (value * (1 - value) / max(result["count"], 1)) ** 0.5
    return f"{100 * value:.2f} ±{100 * half:.2f} %"
