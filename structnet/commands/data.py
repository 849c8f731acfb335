"""`structnet data listops`: list, build and verify the generated splits."""

from __future__ import annotations

import sys

import numpy as np
from jsonargparse import ArgumentParser
from tqdm import tqdm

from structnet.errors import StructureError

GENERATED = ("listops",)


def main(argv: list[str]) -> int:
    from structnet.datasets.cache import checksum
    from structnet.datasets.listops import SPLITS, rows_of
    from structnet.datasets.listops.splits import CHECKSUMS

    parser = ArgumentParser(prog="structnet data", description=__doc__)
    parser.add_argument("name", type=str, nargs="?", default="listops", help=f"data set: {', '.join(GENERATED)}")
    parser.add_argument("--seed", type=int, default=0, help="another draw of every split")
    parser.add_argument("--splits", type=str, default="all", help="all, or names with commas between")
    parser.add_argument("--rebuild", action="store_true", help="generate anew, whatever is kept")
    options = parser.parse_args(argv)
    if options.name not in GENERATED:
        raise StructureError(f"a data set out of {', '.join(GENERATED)}", repr(options.name), "structnet data listops")
    wanted = list(SPLITS) if options.splits == "all" else options.splits.split(",")
    for unknown in set(wanted) - set(SPLITS):  # before anything is built
        raise StructureError(f"splits out of {', '.join(SPLITS)}", repr(unknown), "--splits near_iid")
    print(f"{'split':16}{'rows':>8}{'tokens':>10}{'mean length':>13}  sha256 (seed 0: checked against the library's)")
    for name in tqdm(wanted, disable=not sys.stderr.isatty(), leave=False):
        arrays = rows_of(name, options.seed, options.rebuild)
        lengths = np.diff(arrays["ptr"])
        known = " known" if options.seed == 0 and name in CHECKSUMS else ""
        print(f"{name:16}{len(lengths):>8}{lengths.sum():>10}{lengths.mean():>13.2f}  {checksum(arrays)}{known}")
    return 0
