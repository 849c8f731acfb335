"""Ragged shapes for hypothesis: lengths with empty members, forests and DAGs in any row order."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

from structnet.structures import Segments, Tree

lengths = st.lists(st.integers(0, 9), min_size=1, max_size=6)
filled_lengths = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@st.composite
def segments(draw, filled: bool = False) -> Segments:
    return Segments.from_lengths(torch.tensor(draw(filled_lengths if filled else lengths)))


@st.composite
def structures(draw, dag: bool = False, max_nodes: int = 12) -> Tree:
    """A forest (or DAG): every node but the first picks parents among the nodes before it, rows then shuffled."""
    size = draw(st.integers(1, max_nodes))
    seed = draw(st.integers(0, 2**32 - 1))
    return random_structure(size, np.random.default_rng(seed), dag)


def random_structure(size: int, rng: np.random.Generator, dag: bool = False) -> Tree:
    edges = []
    for child in range(1, size):
        for _ in range(rng.integers(0, 3) if dag else int(rng.random() < 0.85)):
            edges.append((rng.integers(0, child), child))
    row = rng.permutation(size)
    pairs = torch.tensor([(row[p], row[c]) for p, c in edges], dtype=torch.int64).reshape(-1, 2)
    return Tree.from_edges(pairs[:, 0], pairs[:, 1], size)


def children_of(tree: Tree) -> list[list[int]]:
    ptr, index = tree.child_ptr.tolist(), tree.child_index.tolist()
    return [index[a:b] for a, b in zip(ptr, ptr[1:])]
