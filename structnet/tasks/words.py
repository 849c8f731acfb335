"""The next word: pieces of a text side by side, and the graph of its words."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from structnet.datasets.temporal.words import Text, read_text, word_graph
from structnet.errors import StructureError
from structnet.tasks.task import Batch


class WordSplit:
    """Windows of `length` words, one after the other; a window is a sample and starts without a state."""

    def __init__(self, name: str, tokens: Tensor, graph: Any, length: int):
        count = (len(tokens) - 1) // length
        self.name, self.graph = name, graph
        self.read, self.asked = tokens[: count * length].view(count, -1), tokens[1 : count * length + 1].view(count, -1)
        self.sizes = torch.full((count,), length)

    def __len__(self) -> int:
        return len(self.sizes)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        return Batch((self.read[rows].t(), self.graph), self.asked[rows].t(), len(rows))


class Words:
    """Language modelling, marked by perplexity. Every window starts from a zero state (Zaremba's code, which Seo et al.
    2018 use, carries it from window to window: the perplexities are not comparable with theirs).

    Args:
        folder: with the Penn Treebank files, or "" for the sample that ships (Genesis 1 .. 25, King James).
        words: size of the vocabulary.
        length: words of a window.
        neighbours: of a word in the graph.
    """

    name = "words"
    train, validation = "train", "validation"
    splits: tuple[str, ...] = ("validation", "test")
    in_range: frozenset[str] = frozenset()
    chance = 0.0

    def __init__(self, folder: str = "", words: int = 10_000, length: int = 20, neighbours: int = 4):
        self.args, self.length = (folder, words, neighbours), length

    def split(self, name: str) -> WordSplit:
        text, graph = _load(*self.args)
        if name not in ("train", *self.splits):
            raise StructureError("one of train, validation, test", repr(name), 'split("test")')
        return WordSplit(name, getattr(text, name), graph, self.length)

    def from_file(self, path: str | Path) -> WordSplit:
        """Any text with this vocabulary."""
        text, graph = _load(*self.args)
        number = {word: at for at, word in enumerate(text.vocabulary)}
        words = Path(path).read_text(encoding="utf-8").lower().split()
        tokens = torch.tensor([number.get(word, number["<unk>"]) for word in words])
        return WordSplit(str(path), tokens, graph, self.length)

    def loss(self, output: Any, batch: Batch) -> Tensor:
        return F.cross_entropy(output[0].flatten(0, 1), batch.target.flatten())

    def score(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """`gain`: nats per word less than a uniform guess; `nats` makes the perplexity."""
        nats = F.cross_entropy(output[0].flatten(0, 1), batch.target.flatten(), reduction="none")
        nats = nats.view_as(batch.target).mean(0)
        return {"gain": 1 - nats / torch.tensor(output[0].shape[-1]).log(), "nats": nats}

    def summary(self, scores: dict[str, Tensor], keys: dict[str, Tensor]) -> dict[str, float]:
        mean = {name: float(value.double().mean()) for name, value in scores.items()}
        return {"gain": mean["gain"], "perplexity": float(torch.tensor(mean["nats"]).exp())}

    def floors(self, split: str) -> dict[str, dict[str, float]]:
        """Frequencies of single words in the training part, one added to each count."""
        text, _ = _load(*self.args)
        counts = torch.bincount(text.train, minlength=len(text.vocabulary)) + 1.0
        batch = self.split(split).batch(torch.arange(len(self.split(split))))
        logits = (counts / counts.sum()).log().expand(*batch.target.shape, -1)
        return {"frequency": self.summary(self.score((logits,), batch), {})}


@cache
def _load(folder: str, words: int, neighbours: int) -> tuple[Text, Any]:
    text = read_text(folder, words)
    return text, word_graph(text.train, len(text.vocabulary), neighbours)
