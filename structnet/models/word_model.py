"""Language modelling on a graph of words: GCRN's model 1 with one-hot input, written as a smoothed embedding table."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from structnet.cells.graph_filters import ChebyshevFilter
from structnet.errors import StructureError


class WordModel(nn.Module):
    """Seo et al. 2018, section 5.2 (Penn Treebank): a word is a one-hot signal on the graph of all words, a graph
    convolution spreads it, an LSTM without a graph reads the flattened result, a softmax names the next word.

        x_CNN = sum_k theta_k T_k(L~) e_w;   Wx x_CNN = sum_k theta_k (T_k(L~) E)[w],   E = Wx^T  `[V, 4 H]`

    so the convolution is a polynomial of the Laplacian on the table E, once per batch, and a look-up per word: exact,
    and no one-hot vector is ever made.

    Args:
        words, hidden: V and H.
        order: K; 1 is the plain LSTM with one-hot input.
        append: the LSTM reads x and x_CNN (their parameter count, 8,000,002 more than the LSTM's at K = 2) or x_CNN
            alone.
        dropout: on the LSTM's outputs.

    Shapes: tokens int64 `[T, B]` -> logits `[T, B, V]`; state (h, c) `[B, H]` each, in and out. The graph is
    undirected, a PyG graph of V nodes. Differs from the paper in the reading of "dropout 0.75" (here: the share dropped
    is an argument).
    """

    def __init__(self, words: int, hidden: int = 200, order: int = 2, append: bool = True, dropout: float = 0.0):
        super().__init__()
        if order > 1 and not words:
            raise StructureError("a vocabulary", "words=0", "words=10000")
        self.filter, self.append = ChebyshevFilter(order), append and order > 1
        self.table = nn.Parameter(torch.empty(words, 4 * hidden))
        self.spread = nn.Parameter(torch.empty(words, 4 * hidden)) if self.append else None
        self.theta = nn.Parameter(torch.full((order,), 1.0 / order)) if order > 1 else None
        self.recurrent = nn.Linear(hidden, 4 * hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, words)
        for table in (self.table, self.spread):
            if table is not None:
                nn.init.uniform_(table, -0.1, 0.1)

    def forward(self, tokens: Tensor, graph: Data, state: Any = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        gates = self.input_table(graph)[tokens]
        h, c = state if state is not None else (gates.new_zeros(tokens.shape[1], self.recurrent.in_features),) * 2
        outputs = []
        for step in gates.unbind(0):
            i, f, candidate, o = (step + self.recurrent(h)).chunk(4, -1)
            c = f.sigmoid() * c + i.sigmoid() * candidate.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return self.out(self.dropout(torch.stack(outputs))), (h, c)

    def input_table(self, graph: Data) -> Tensor:
        """The input side of all gates for every word, `[V, 4 H]`."""
        if self.theta is None:
            return self.table
        source = self.table if self.spread is None else self.spread
        plain = Data(x=source, edge_index=graph.edge_index, edge_weight=graph.edge_weight)
        terms = self.filter.basis(source, self.filter.operators(plain)).unflatten(-1, (len(self.theta), -1))
        spread = torch.einsum("k,vkh->vh", self.theta, terms)
        return spread if self.spread is None else self.table + spread
