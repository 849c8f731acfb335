"""`structnet show "[MAX 2 9 [MIN 4 7 ] 0 ]"`: the tree, with the value that a model predicts at every node."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser


def main(argv: list[str]) -> int:
    parser = ArgumentParser(prog="structnet show", description=__doc__)
    parser.add_argument("expression", type=str, help='e.g. "[MAX 2 9 [MIN 4 7 ] 0 ]"')
    parser.add_argument("--run", type=str, default="gold-tree-listops", help="a run folder or a shipped checkpoint")
    parser.add_argument("--out", type=str, default="tree.html", help="where the picture goes (.html or .svg)")
    options = parser.parse_args(argv)

    from structnet.datasets.listops import encode
    from structnet.errors import StructureError
    from structnet.report.html import write_page
    from structnet.report.listops_trees import expression_svg
    from structnet.systems import open_run

    tokens = encode(options.expression)
    run = open_run(options.run)
    model = run.weights()
    if run.task != "listops" or not hasattr(model, "node_logits"):
        got = f"{run.task} / {run.model}"
        raise StructureError("a ListOps run with a state at every node", got, "--run gold-tree-listops")
    svg, said, true = expression_svg(model, tokens)
    out = Path(options.out)
    if out.suffix == ".svg":
        out.write_text(svg, encoding="utf-8")
    else:
        subtitle = f"predicted {said}, true {true}, by {options.run}; green: right, red: predicted ≠ true"
        write_page(out, options.expression, subtitle, [("Value predicted at every node", f"<figure>{svg}</figure>")])
    print(f"{options.expression} = {said}" + ("" if said == true else f" (wrong: it is {true})") + f"\n{out}")
    return 0
