"""`structnet parse "[MAX 2 9 [MIN 4 7 ] 0 ]"`: the tree that a beam-tree model found, and how it got there."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser


def main(argv: list[str]) -> int:
    parser = ArgumentParser(prog="structnet parse", description=__doc__)
    parser.add_argument("expression", type=str, help='e.g. "[MAX 2 9 [MIN 4 7 ] 0 ]"')
    parser.add_argument("--run", type=str, default="bt-cell-listops", help="a run folder or a shipped checkpoint")
    parser.add_argument("--out", type=str, default="parse.html", help="where the page goes")
    options = parser.parse_args(argv)

    from structnet.datasets.listops import encode
    from structnet.errors import StructureError
    from structnet.models import BeamTreeClassifier
    from structnet.report.html import write_page
    from structnet.systems import open_run

    tokens = encode(options.expression)
    model = open_run(options.run).weights()
    if not isinstance(model, BeamTreeClassifier):
        raise StructureError("a run of a beam-tree model", type(model).__name__, "--run bt-cell-listops")
    line, sections = describe(model, tokens)
    subtitle = f"{line}. Green: a bracket of the expression, red: cuts one in two; numbers: what the head reads there"
    write_page(Path(options.out), options.expression, subtitle, sections)
    print(f"{line}\n{options.out}")
    return 0


def describe(model, tokens) -> tuple[str, list[tuple[str, str]]]:
    """One line about the parse, and the sections of the page: induced tree, gold tree, beam heat-map."""
    import numpy as np
    import torch

    from structnet.datasets.listops import VOCABULARY
    from structnet.datasets.listops.gold import brackets as find_brackets
    from structnet.report.beam_svg import crossing, heat_svg, induced_svg, spans
    from structnet.tasks.listops import ListOpsSplit

    split = ListOpsSplit("shown", tokens, np.array([0, len(tokens)]))
    flat, segments, gold = split.batch(torch.zeros(1, dtype=torch.int64)).inputs
    with torch.no_grad():
        parse = model.parse(flat, segments)
        said = int(model(flat, segments)[0].argmax())
    words = [VOCABULARY[t] for t in tokens]
    partner = find_brackets(tokens).partner
    lists = [(at, int(close)) for at, close in enumerate(partner) if close > at]
    tree = parse.trees.unbatch()[0]
    values = [str(v) for v in parse.logits[: tree.num_nodes].argmax(-1).tolist()]
    inner = [span for span in spans(tree) if span[0] < span[1]]
    recall = sum(one in inner for one in lists) / len(lists) if lists else 1.0
    wrong = sum(crossing(span, lists) for span in inner)
    line = (
        f"value {said}, true {split.answers[0]}; {recall:.0%} of {len(lists)} brackets found, {wrong} of {len(inner)} "
        f"merges across a bracket; beam log p {', '.join(f'{p:.2f}' for p in parse.scores.tolist())}"
    )
    figure = "<figure style='overflow:auto'>{}</figure>".format
    return line, [
        ("Induced tree, best beam", figure(induced_svg(tree, words, lists, values))),
        ("Gold tree", figure(induced_svg(gold, words, lists, [""] * gold.num_nodes))),
        ("Where each step may merge: best beam; red frames survived", figure(heat_svg(words, *parse.steps()))),
    ]
