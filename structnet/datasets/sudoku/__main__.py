"""`python -m structnet.datasets.sudoku generate | check`: make boards of any size; look for equivalent puzzles."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from jsonargparse import ArgumentParser
from tqdm import tqdm

from structnet.datasets.sudoku.canonical import canonical, equivalent
from structnet.datasets.sudoku.files import format_board, read_boards
from structnet.datasets.sudoku.generate import generate
from structnet.errors import StructureError


def write_boards(out: Path, size: int, count: int, least: int, most: int, seed: int = 0, budget: int = 10_000) -> None:
    """A file of `count` puzzles with one solution each; givens are drawn evenly from least .. most for every 10."""
    generator = torch.Generator().manual_seed(seed)
    with open(out, "w", encoding="utf-8") as file:
        for at in tqdm(range(0, count, 10), disable=not sys.stderr.isatty(), leave=False):
            givens = int(torch.randint(least, most + 1, (), generator=generator))
            for pair in zip(*generate(min(10, count - at), size, givens, generator, budget)):
                file.write(",".join(map(format_board, pair)) + "\n")


def check(first: Path, second: Path | None) -> tuple[int, int]:
    """Rows of `first` that repeat, and rows of `first` that a row of `second` repeats, up to symmetry."""
    forms = canonical(*_known(first))
    repeats = len(forms) - len(forms.unique(dim=0))
    return repeats, 0 if second is None else int(equivalent(forms, canonical(*_known(second))).sum())


def _known(path: Path) -> tuple[torch.Tensor, torch.Tensor | None]:
    puzzles, solutions = read_boards(path)
    return puzzles, solutions if bool(solutions.any(1).all()) else None


def main(argv: list[str]) -> int:
    parser = ArgumentParser(prog="python -m structnet.datasets.sudoku", description=__doc__)
    verbs = parser.add_subcommands()
    make, look = ArgumentParser(), ArgumentParser()
    make.add_function_arguments(write_boards)
    look.add_function_arguments(check)
    verbs.add_subcommand("generate", make, help="write puzzle,solution rows")
    verbs.add_subcommand("check", look, help="count equivalent puzzles within a file and between two")
    options = parser.parse_args(argv)
    chosen = options[options.subcommand].as_dict()
    try:
        if options.subcommand == "generate":
            write_boards(**chosen)
            return 0
        repeats, shared = check(**chosen)
    except (StructureError, OSError) as error:
        print(f"structnet.datasets.sudoku: {error}", file=sys.stderr)
        return 2
    print(f"up to symmetry: {repeats} repeats within {chosen['first']}, {shared} rows also in {chosen['second']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
