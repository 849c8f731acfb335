"""`python -m bench [--only AREA ...]`: run the cases, print ratios, keep JSON lines and plots in bench/results/."""

from __future__ import annotations

import argparse
import importlib
from datetime import date
from pathlib import Path
from statistics import median_high

import torch

from bench import plots
from bench.registry import CASES, Case, Timing, copy_bandwidth, keep, run, share_of_copy, tests_pass
from structnet.training.record import commit, machine

HERE = Path(__file__).parent
HARNESS = {"__init__", "__main__", "registry", "ragged", "gpu", "plots"}


def main() -> int:
    for module in sorted(path.stem for path in HERE.glob("*.py") if path.stem not in HARNESS):
        importlib.import_module(f"bench.{module}")
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    known = f"cases whose names start so; there are {', '.join(sorted(CASES))}"
    parser.add_argument("--only", nargs="*", default=[""], metavar="AREA", help=known)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--skip-tests", action="store_true", help="for work on the benchmark itself; nothing is kept")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bandwidth = copy_bandwidth()
    print("copy bandwidth: " + ", ".join(f"{name} {rate / 1e9:.1f} GB/s" for name, rate in bandwidth.items()))
    path, lines = HERE / "results" / f"{date.today()}-cpu.jsonl", []
    for name in sorted(name for name in CASES if name.startswith(tuple(options.only))):
        entry = CASES[name]
        if not options.skip_tests and not tests_pass(entry.tests):
            print(f"{name}: tests are red, not measured")
            continue
        torch.manual_seed(0)
        case, timings = run(entry)
        print(table(name, case, timings), flush=True)
        if not options.skip_tests:
            lines.append(record(name, case, timings, bandwidth, options.threads))
            keep(lines[-1], path)
    if lines:
        print(f"kept in {path.relative_to(HERE.parent)}")
    for picture in plots.draw(lines, HERE / "results"):
        print(f"drawn in {picture.relative_to(HERE.parent)}")
    return 0


def table(name: str, case: Case, timings: dict[str, Timing]) -> str:
    ours = next(iter(timings.values())).median
    rows = [f"\n{name}  ({case.note})" if case.note else f"\n{name}"]
    for form, timing in timings.items():
        text = f"  {form:34}{1e3 * timing.median:10.2f} ms  ({1e3 * min(timing.cpu):.2f} - {1e3 * max(timing.cpu):.2f})"
        text += f"  {timing.median / ours:8.2f}x"
        if case.items:
            text += f"  {case.items / timing.median:12,.0f} /s"
        share = share_of_copy(form, timings)
        if share is not None:
            text += f"  {100 * share:6.1f} % of a copy"
        rows.append(text)
    return "\n".join(rows)


def record(name: str, case: Case, timings: dict[str, Timing], bandwidth: dict[str, float], threads: int) -> dict:
    figures = {
        form: {"median_s": t.median, "min_s": min(t.cpu), "max_s": max(t.cpu), "wall_s": median_high(t.wall),
               "share_of_copy": share_of_copy(form, timings)}
        for form, t in timings.items()
    }  # fmt: skip
    return {"case": name, "note": case.note, "traffic": case.traffic, "items": case.items, "copy": bandwidth,
            "threads": threads, "seed": 0, "forms": figures, "commit": commit(), "machine": machine(),
            "torch": torch.__version__}  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
