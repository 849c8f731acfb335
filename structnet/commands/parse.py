"""`structnet parse "[MAX 2 9 [MIN 4 7 ] 0 ]"`: the tree that a beam-tree model found, and how it got there."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser


def main(argv: list[str]) -> int:
    parser = ArgumentParser(prog="structnet parse", description=__doc__)
    parser.add_argument("expression", type=str, help='e.g. "[MAX 2 9 [MIN 4 7 ] 0 ]"')
    parser.add_argument("--run", type=str, default="bt-cell-listops", help="a run folder or a shipped checkpoint")
    parser.add_argument("--out", type=str, default="parse.html", help="the page, or with .svg the tree alone")
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
    line, facts, sections, induced = describe(model, tokens)
    if Path(options.out).suffix == ".svg":
        Path(options.out).write_text(induced, encoding="utf-8")
    else:
        write_page(Path(options.out), options.expression, f"{options.run}: {line}", sections, facts)
    print(f"{facts['induced tree']}\n{line}\n{options.out}")
    return 0


# two trees beside each other where the window is wide enough, else one below the other
BESIDE = (
    "<style>main {{ max-width: 1900px }}</style>"
    "<div style='display:flex;flex-wrap:wrap;gap:0 48px'>"
    "<figure style='max-width:100%'><figcaption>Induced tree, best beam. Green: a bracket of the expression, red: cuts "
    "one in two; numbers: what the head reads there</figcaption>{induced}</figure>"
    "<figure style='max-width:100%'><figcaption>Gold tree. Green: found, red: missed; numbers: true values</figcaption>"
    "{gold}</figure></div>"
)


def describe(model, tokens) -> tuple[str, dict[str, str], list[tuple[str, str]], str]:
    """One line about the parse, its figures, the sections of the page (the trees, the beam heat-map), and the induced
    tree as SVG."""
    import numpy as np
    import torch

    from structnet.datasets.listops import VOCABULARY
    from structnet.datasets.listops.gold import brackets as find_brackets
    from structnet.report.beam_svg import bracket_svg, crossing, heat_svg, spans
    from structnet.tasks.listops import ListOpsSplit

    split = ListOpsSplit("shown", tokens, np.array([0, len(tokens)]))
    flat, segments, gold = split.batch(torch.zeros(1, dtype=torch.int64)).inputs
    with torch.no_grad():
        parse = model.parse(flat, segments)
        said = int(model(flat, segments)[0].argmax())
    words = [VOCABULARY[t] for t in tokens]
    partner = find_brackets(tokens).partner
    lists = {(at, int(close)): str(split.node_values[at]) for at, close in enumerate(partner) if close > at}
    tree = parse.trees.unbatch()[0]
    inner = [span for span in spans(tree) if span[0] < span[1]]
    found = [one for one in lists if one in inner]
    wrong = sum(crossing(span, list(lists)) for span in inner)
    read = {v: str(said) for v, said in enumerate(parse.logits[: tree.num_nodes].argmax(-1).tolist())}
    true = {v: lists[span] for v, span in enumerate(spans(gold)) if span in lists}
    induced_tree = bracket_svg(tree, words, lists, lambda span: crossing(span, list(lists)), read)
    gold_tree = bracket_svg(gold, words, found, lists.__contains__, true)
    facts = {
        "value": str(said),
        "true value": str(split.answers[0]),
        f"of {len(lists)} brackets found": str(len(found)),
        f"of {len(inner)} merges across a bracket": str(wrong),
    }
    line = "; ".join(f"{name} {value}" if "value" in name else f"{value} {name}" for name, value in facts.items())
    named = dict(zip(tree.leaves.tolist(), words))
    facts["induced tree"] = tree.to_brackets([named.get(row) for row in range(tree.num_nodes)])[0].replace("( ", "(")
    line += f"; beam log p {', '.join(f'{p:.2f}' for p in parse.scores.tolist())}"
    heat = f"<figure>{heat_svg(words, *parse.steps())}</figure>"
    sections = [
        ("Trees", BESIDE.format(induced=induced_tree, gold=gold_tree)),
        ("Where each step may merge: best beam; red frames: kept, thicker for more beams", heat),
    ]
    return line, facts, sections, induced_tree
