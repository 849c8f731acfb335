"""ListOps expressions as trees, with what a model says at every node."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from structnet.datasets.listops import VOCABULARY
from structnet.datasets.listops.gold import argument_edges, brackets
from structnet.report.tree_svg import Mark, tree_svg
from structnet.structures import Tree
from structnet.tasks.listops import ListOpsSplit


def expression_svg(model: Any, tokens: np.ndarray) -> tuple[str, int, int]:
    """One expression: the tree of its operators and digits, each with the value that the model's head reads off the
    state there (green: right, red: wrong). Returns the SVG, the predicted and the true answer.

    `model.node_logits(tokens, segments, tree)` speaks of the binary tree; the value of a list is read where its closing
    bracket has been composed.
    """
    split = ListOpsSplit("shown", tokens, np.array([0, len(tokens)]))
    batch = split.batch(torch.zeros(1, dtype=torch.int64))
    with torch.no_grad():
        logits, _ = model.eval().node_logits(*batch.inputs)
    said = logits.argmax(-1).tolist()
    shape = brackets(tokens)
    # the state of a digit is its leaf; of a list, the inner node whose right child is the closing bracket
    closed = {int(right): len(tokens) + at for at, (_, right) in enumerate(split.children.tolist())}
    marks = []
    for position in np.flatnonzero(tokens != VOCABULARY.index("]")).tolist():
        true = int(split.node_values[position])
        if shape.partner[position] < 0:
            marks.append(Mark(VOCABULARY[tokens[position]]))
            continue
        value = said[closed[int(shape.partner[position])]]
        kind = "right" if value == true else "wrong"
        title = f"predicted {value}, true {true}"
        value = f"{value}" if value == true else f"{value} ≠ {true}"
        marks.append(Mark(VOCABULARY[tokens[position]][1:], value, kind, title))
    _, _, parent = argument_edges(tokens, np.array([0, len(tokens)]), shape)
    answer = said[2 * len(tokens) - 2]
    return tree_svg(Tree.from_parents(torch.from_numpy(parent)), marks), answer, int(split.answers[0])


def example_trees(model: Any, split: ListOpsSplit, count: int = 3) -> list[tuple[str, str]]:
    """Captions and pictures of a few expressions of middle size, one of them wrong if any of the first 200 is."""
    if not hasattr(model, "node_logits"):
        return []
    lengths = split.sizes.numpy()
    candidates = np.flatnonzero((lengths >= 15) & (lengths <= 45))[:200].tolist()
    drawn = [(row, *expression_svg(model, split.tokens[split.ptr[row] : split.ptr[row + 1]])) for row in candidates]
    wrong = [one for one in drawn if one[2] != one[3]][:1]
    right = [one for one in drawn if one[2] == one[3]][: count - len(wrong)]
    return [
        (f"{split.name}, row {row}: predicted {said}, true {true}" + (" - wrong" if said != true else ""), svg)
        for row, svg, said, true in wrong + right
    ]
