"""`structnet resume RUN`: go on from the newest intact checkpoint; the same bits as an uninterrupted run."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser


def main(argv: list[str]) -> int:
    from structnet.commands.train import fit
    from structnet.errors import StructureError
    from structnet.systems import open_run

    parser = ArgumentParser(prog="structnet resume", description="Go on with a run from its newest checkpoint.")
    parser.add_argument("run", type=str, help="the run folder")
    parser.add_argument("--report_rows", type=int, default=500, help="rows per split for the report, 0 for all")
    options = parser.parse_args(argv)
    if not (Path(options.run) / "settings.json").exists():  # a shipped checkpoint is not to be written over
        raise StructureError("a run folder", repr(options.run), "structnet train, which makes one")
    run = open_run(options.run)
    return fit(run, run.system.build(), options.report_rows)
