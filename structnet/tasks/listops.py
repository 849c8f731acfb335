"""ListOps as a task: an expression in, its value out."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from structnet.datasets.listops import SPLITS, further_rows, read_file, rows_of
from structnet.datasets.listops.gold import argument_children, argument_edges, binary_tree, brackets, row_keys, values
from structnet.datasets.listops.sampler import CLOSE
from structnet.errors import StructureError
from structnet.structures import Segments, Tree
from structnet.structures.topology import ranges
from structnet.tasks.task import Batch, mean_scores


class ListOpsSplit:
    """Rows of one split as flat arrays; a batch is a few gathers. Gold trees are built once for the whole split.

    A batch holds `(tokens [N], Segments, gold Tree)`: left-branching inside each list, all tokens as leaves. With
    `nary` the closing brackets are left out and every other token is a node of the tree: operators over arguments.
    """

    def __init__(
        self, name: str, tokens: np.ndarray, ptr: np.ndarray, labels: np.ndarray | None = None, nary: bool = False
    ):
        shape = brackets(tokens)
        self.name, self.tokens, self.ptr, self.nary = name, tokens, ptr, nary
        self.node_values = values(tokens, shape)
        self.answers = self.node_values[ptr[:-1]]
        self.wrong_labels = 0 if labels is None else int((labels != self.answers).sum())
        if labels is not None:  # a file is marked by its own labels
            self.answers = labels
        self.keys = {name: torch.from_numpy(key) for name, key in row_keys(tokens, ptr, shape).items()}
        self.sizes = self.keys["length"]
        if nary:
            self.tokens, self.ptr, parent = argument_edges(tokens, ptr, shape)
            self.node_values = self.node_values[tokens != CLOSE]
            self.children, self.arity = argument_children(parent, self.ptr)
        else:
            self.children = binary_tree(tokens, ptr, shape)

    def __len__(self) -> int:
        return len(self.ptr) - 1

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        at = rows.numpy()
        start, stop = self.ptr[at], self.ptr[at + 1]
        tokens = torch.from_numpy(self.tokens[ranges(start, stop)].astype(np.int64))
        segments = Segments.from_lengths(torch.from_numpy(stop - start))
        keys = {name: key[rows] for name, key in self.keys.items()}
        target = torch.from_numpy(self.answers[at])
        return Batch((tokens, segments, self._trees(at, start, stop)), target, len(at), keys)

    def _trees(self, at: np.ndarray, start: np.ndarray, stop: np.ndarray) -> Tree:
        lengths = stop - start
        first = np.concatenate([[0], np.cumsum(lengths if self.nary else 2 * lengths - 1)])
        inner = ranges(start - at, stop - at - 1)  # a row of n tokens has n - 1 entries: r fewer before row r
        child_index = self.children[inner] + np.repeat(first[:-1], lengths - 1)[:, None]
        if self.nary:
            arity = self.arity[ranges(start, stop)]
        else:
            arity = np.repeat(np.tile([0, 2], len(at)), np.stack([lengths, lengths - 1], 1).reshape(-1))
        child_ptr = np.concatenate([[0], np.cumsum(arity)])
        return Tree.trusted(
            *(torch.from_numpy(a.reshape(-1).astype(np.int64)) for a in (child_ptr, child_index, first))
        )


class ListOps:
    """ListOps, trained on at most 100 tokens and 5 arguments (Havrylov et al. 2019; Ray Chowdhury and Caragea 2023).

    Args:
        seed: another draw of every split.
        nary: gold trees of operators over their arguments, instead of binary ones over all tokens.
        rows: to train on, drawn after the original data by the same sampler; 0 for those of the original data.
    """

    name = "listops"
    train, validation = "train", "validation"
    splits = ("validation", "near_iid", *(f"{low}-{low + 100}" for low in range(200, 1000, 100)), "iid_args",
              "10_args", "15_args", "lra")  # fmt: skip
    in_range = frozenset({"validation", "near_iid"})
    chance = 0.1

    def __init__(self, seed: int = 0, nary: bool = False, rows: int = 0):
        if rows < 0:
            raise StructureError("rows >= 0", str(rows), "rows=1_000_000, or 0 for the original data")
        self.seed, self.nary, self.rows = seed, nary, rows

    def split(self, name: str) -> ListOpsSplit:
        if name == self.train and self.rows:
            return ListOpsSplit(name, **further_rows(self.rows, self.seed), nary=self.nary)
        return _split(name, self.seed, self.nary)

    def from_file(self, path: str | Path) -> ListOpsSplit:
        return ListOpsSplit(str(path), *read_file(path), nary=self.nary)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits_of(output), batch.target)

    def score(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        logits = logits_of(output).float()
        right = (logits.argmax(-1) == batch.target).float()
        return {"accuracy": right, "loss": F.cross_entropy(logits, batch.target, reduction="none")}

    summary = staticmethod(mean_scores)


def logits_of(output) -> Tensor:
    """The logits of a model that returns them, alone or as `.logits`."""
    logits = getattr(output, "logits", output)
    if not isinstance(logits, Tensor):
        raise StructureError("logits [samples, classes], alone or as .logits", type(output).__name__, "such a model")
    return logits


@cache
def _split(name: str, seed: int, nary: bool) -> ListOpsSplit:
    if name not in SPLITS:
        raise StructureError(f"one of {', '.join(SPLITS)}", repr(name), 'split("near_iid")')
    return ListOpsSplit(name, **rows_of(name, seed), nary=nary)
