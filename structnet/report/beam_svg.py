"""Beam search as pictures: an induced tree against the brackets of the sentence, and where each step could merge."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from html import escape

from structnet.report.tree_svg import Mark, layout, tree_svg
from structnet.structures import Tree

CELL, LEFT, TOP = 26, 44, 34
Span = tuple[int, int]


def spans(tree: Tree) -> list[Span]:
    """First and last leaf (columns in reading order) below each node of a tree."""
    column, _ = layout(tree)
    ptr, index = tree.child_ptr.tolist(), tree.child_index.tolist()
    found: list[Span] = [(round(x), round(x)) for x in column]
    for node in sorted(range(tree.num_nodes), key=tree.heights.__getitem__):
        below = [found[c] for c in index[ptr[node] : ptr[node + 1]]]
        if below:
            found[node] = (min(a for a, _ in below), max(b for _, b in below))
    return found


def crossing(span: Span, others: Sequence[Span]) -> bool:
    """Whether a span overlaps one of the others without one holding the other."""
    a, b = span
    return any(a < c <= b < d or c < a <= d < b for c, d in others)


def bracket_svg(
    tree: Tree, tokens: Sequence[str], right: Collection[Span], wrong: Callable[[Span], bool], values: Mapping[int, str]
) -> str:
    """A binary tree over `tokens`: nodes whose span is in `right` green, those where `wrong(span)` red, with
    `values[v]` written on node v."""
    marks = []
    for node, span in enumerate(spans(tree)):
        if span[0] == span[1]:
            marks.append(Mark(tokens[span[0]]))
            continue
        kind = "right" if span in right else "wrong" if wrong(span) else "plain"
        marks.append(Mark(values.get(node, ""), kind=kind, title=" ".join(tokens[span[0] : span[1] + 1])))
    return tree_svg(tree, marks)


def heat_svg(
    tokens: Sequence[str], steps: Sequence[Sequence[tuple[int, float]]], kept: Sequence[dict[int, int]]
) -> str:
    """Row = step, column = gap between two tokens: how likely the step merges across that gap.

    Args:
        steps: (gap, probability) of every candidate of each step of one beam.
        kept: gap -> beams that came out of this step by merging there; the line around a cell grows with them.
    """
    cells = []
    for row, (candidates, survivors) in enumerate(zip(steps, kept)):
        y = TOP + row * CELL
        cells.append(f'<text x="{LEFT - 8}" y="{y + 17}" text-anchor="end" fill="#5c6675">{row + 1}</text>')
        for gap, p in candidates:
            x, beams = LEFT + gap * CELL + CELL / 2, survivors.get(gap, 0)
            title = f"step {row + 1}: {tokens[gap]} | {tokens[gap + 1]}  p = {p:.3f}" + (
                f", {beams} beams" if beams else ""
            )
            edge = f'stroke="#d0372b" stroke-width="{1 + 0.6 * beams:.1f}"' if beams else 'stroke="#d5dbe3"'
            cells.append(
                f'<rect x="{x + 2:.0f}" y="{y + 2}" width="{CELL - 4}" height="{CELL - 4}" rx="4" fill="#1f6feb" '
                f'fill-opacity="{p:.3f}" {edge}><title>{escape(title)}</title></rect>'
            )
    names = "".join(
        f'<text x="{LEFT + i * CELL + CELL / 2:.0f}" y="{TOP - 12}" text-anchor="middle" fill="#1d2733">'
        f"{escape(token.lstrip('['))}</text>"
        for i, token in enumerate(tokens)
    )
    width, height = LEFT + len(tokens) * CELL + 10, TOP + len(steps) * CELL + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="system-ui, sans-serif" font-size="10.5">{names}{"".join(cells)}</svg>'
    )
