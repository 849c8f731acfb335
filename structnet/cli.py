"""`structnet VERB ...`: each verb is one module in `structnet.commands`, imported when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

VERBS = {
    "train": "train a model on a task: structnet train listops --model gold-tree",
    "resume": "go on with a run from its newest checkpoint",
    "evaluate": "mark a run or a shipped checkpoint on splits or on your own file",
    "show": "draw a ListOps tree with the value predicted at every node",
    "parse": "draw the tree that a beam-tree model found, and how it got there",
    "solve": "solve Sudokus and show the beliefs round by round",
    "bench": "run the benchmarks of a checkout",
    "data": "list, build or verify the generated data sets",
    "info": "versions, compiled library, shipped checkpoints, cache",
}


def main(argv: list[str] | None = None) -> int:
    """Entry point. Exit code 0, or 2 with one clear line for input that cannot be used."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: structnet VERB [arguments]; structnet VERB --help for its own\n")
        print("\n".join(f"  {verb:10}{text}" for verb, text in VERBS.items()))
        return 0
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        known = ", ".join(VERBS)
        print(f"structnet: expected a verb out of {known}; got {verb!r}; try structnet --help", file=sys.stderr)
        return 2
    from structnet.errors import StructureError

    try:
        return import_module(f"structnet.commands.{verb}").main(rest) or 0
    except (StructureError, OSError) as error:  # OSError: no such file, disk full, no permission
        print(f"structnet {verb}: {error}", file=sys.stderr)
    except UnicodeDecodeError as error:  # wherever a file is read
        got = f"byte {error.object[error.start]:#04x} at position {error.start}"
        said = StructureError("a text file in UTF-8", got, "another file, or to save this one as UTF-8")
        print(f"structnet {verb}: {said}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
