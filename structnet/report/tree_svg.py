"""Trees as SVG: leaves in reading order, parents above the middle of their children."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from structnet.structures import Tree

STEP, LEVEL, BOX = 46, 58, 17
FILL = {"plain": "#eef1f5", "right": "#d8f0dd", "wrong": "#fbd9d6"}
LINE = {"plain": "#8894a5", "right": "#2f9e52", "wrong": "#d0372b"}


@dataclass(frozen=True)
class Mark:
    """How one node is drawn: its text, a smaller second line, its kind ("plain", "right", "wrong"), a hover text."""

    text: str
    note: str = ""
    kind: str = "plain"
    title: str = ""


def tree_svg(tree: Tree, marks: Sequence[Mark]) -> str:
    """One tree as a self-contained `<svg>`; `marks[v]` describes node v."""
    x, depth = layout(tree)
    width = (max(x) + 1) * STEP if x else STEP
    height = (max(depth) + 1) * LEVEL if depth else LEVEL
    at = [(x[v] * STEP + STEP / 2, depth[v] * LEVEL + LEVEL / 2) for v in range(tree.num_nodes)]
    edges = "".join(
        f'<line x1="{at[p][0]:.1f}" y1="{at[p][1]:.1f}" x2="{at[c][0]:.1f}" y2="{at[c][1]:.1f}" stroke="#b6bfca"/>'
        for p, c in zip(tree.source.tolist(), tree.child_index.tolist())
    )
    nodes = "".join(_node(*at[v], mark) for v, mark in enumerate(marks))
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" '
        f'font-size="13" text-anchor="middle">{edges}{nodes}</svg>'
    )


def layout(tree: Tree) -> tuple[list[float], list[int]]:
    """Column (leaves 0, 1, 2 ... in reading order) and depth of each node of a forest, without recursion."""
    ptr, index = tree.child_ptr.tolist(), tree.child_index.tolist()
    children = [index[a:b] for a, b in zip(ptr, ptr[1:])]
    x, depth, column = [0.0] * tree.num_nodes, [0] * tree.num_nodes, 0
    stack = [(root, False) for root in reversed(tree.roots.tolist())]
    while stack:
        node, ready = stack.pop()
        if ready:
            x[node] = sum(x[c] for c in children[node]) / len(children[node])
        elif not children[node]:
            x[node], column = float(column), column + 1
        else:
            stack.append((node, True))
            for child in reversed(children[node]):
                depth[child] = depth[node] + 1
                stack.append((child, False))
    return x, depth


def _node(x: float, y: float, mark: Mark) -> str:
    fill, line = FILL[mark.kind], LINE[mark.kind]
    half = max(BOX, 4.5 * len(mark.text) + 5)
    note = f'<text y="13" font-size="11" fill="{line}">{escape(mark.note)}</text>' if mark.note else ""
    title = f"<title>{escape(mark.title)}</title>" if mark.title else ""
    return (
        f'<g transform="translate({x:.1f},{y:.1f})">{title}<rect x="{-half:.1f}" y="{-BOX}" width="{2 * half:.1f}" '
        f'height="{2 * BOX}" rx="7" fill="{fill}" stroke="{line}"/>'
        f'<text y="{0 if mark.note else 5}" fill="#1d2733">{escape(mark.text)}</text>{note}</g>'
    )
