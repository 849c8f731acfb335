"""Text as a series on a graph of words."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data

from structnet.errors import StructureError

SAMPLE = Path(__file__).with_name("genesis.txt")
UNKNOWN, END = "<unk>", "<eos>"


@dataclass(frozen=True)
class Text:
    """Three parts of a text as numbers of words; `vocabulary` most frequent first."""

    vocabulary: tuple[str, ...]
    train: Tensor
    validation: Tensor
    test: Tensor


def read_text(folder: str | Path = "", words: int = 10_000) -> Text:
    """The Penn Treebank files `ptb.train.txt`, `ptb.valid.txt`, `ptb.test.txt` of a folder (one sentence a line, an end
    mark is added), or for "" the sample that ships: Genesis of the King James Bible, its verses cut 80 : 10 : 10 in
    order.

    Args:
        words: size of the vocabulary, of the training part; all others are <unk>.
    """
    if folder:
        paths = [Path(folder) / f"ptb.{part}.txt" for part in ("train", "valid", "test")]
        missing = [path for path in paths if not path.exists()]
        if missing:
            raise StructureError("ptb.train.txt, ptb.valid.txt and ptb.test.txt", f"no {missing[0]}", 'folder=""')
        parts = [path.read_text(encoding="utf-8").split("\n") for path in paths]
    else:
        lines = SAMPLE.read_text(encoding="utf-8").split("\n")
        lines = [line for line in lines if line.strip()]
        cut = [len(lines) * 8 // 10, len(lines) * 9 // 10]
        parts = [lines[: cut[0]], lines[cut[0] : cut[1]], lines[cut[1] :]]
    tokens = [[word for line in part if line.strip() for word in (*_split(line), END)] for part in parts]
    counts = Counter(tokens[0])
    counts[UNKNOWN] += 1
    vocabulary = tuple(word for word, _ in counts.most_common(words))
    if UNKNOWN not in vocabulary:
        vocabulary = (*vocabulary[:-1], UNKNOWN)
    number = {word: at for at, word in enumerate(vocabulary)}
    coded = [torch.tensor([number.get(word, number[UNKNOWN]) for word in part]) for part in tokens]
    return Text(vocabulary, *coded)


def word_graph(tokens: Tensor, size: int, neighbours: int = 4, width: int = 64, window: int = 2) -> Data:
    """k nearest neighbours by cosine of word vectors, symmetric, weights exp(-d^2 / sigma^2) as for the pixels of GCRN.

    The vectors are the leading `width` singular vectors of the shifted-free positive pointwise mutual information of
    words at most `window` apart: what word2vec factorises (Levy and Goldberg 2014), without its random draws. Seo et
    al. 2018 use gensim's word2vec, 200 wide. Cost O(size^2 width): seconds for 10,000 words.
    """
    counts = torch.zeros(size, size)
    for gap in range(1, window + 1):
        pairs = tokens[:-gap] * size + tokens[gap:]
        counts += torch.bincount(pairs, minlength=size * size).view(size, size)
    counts = counts + counts.t()
    total = counts.sum().clamp(min=1)
    expected = counts.sum(1, keepdim=True) * counts.sum(0, keepdim=True) / total
    information = torch.where(counts > 0, counts / expected.clamp(min=1e-9), 1.0).log().clamp(min=0)
    torch.manual_seed(0)  # of the randomised decomposition
    u, s, _ = torch.svd_lowrank(information, min(width, size), niter=4)
    vectors = F.normalize(u * s.sqrt(), dim=1)
    near = (vectors @ vectors.t()).fill_diagonal_(-2).topk(min(neighbours, size - 1))
    distance = 1 - near.values
    scale = (-(distance**2) / distance[:, -1].mean().clamp(min=1e-9) ** 2).exp()
    weight = torch.zeros(size, size).scatter(1, near.indices, scale)
    weight = torch.maximum(weight, weight.t())
    edge_index = weight.nonzero().t().contiguous()
    return Data(edge_index=edge_index, edge_weight=weight[edge_index[0], edge_index[1]], num_nodes=size)


def _split(line: str) -> list[str]:
    """Words and marks in lower case; lines of Penn Treebank files come out as they are."""
    return re.findall(r"<unk>|[^\s,.;:?!()]+|[,.;:?!()]", line.lower())
