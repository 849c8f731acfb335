"""Relation Networks: one sum over all pairs."""

from __future__ import annotations

from torch import Tensor, nn

from structnet.cells.relational import RelationalMessage, perceptron
from structnet.kernels import segment_reduce
from structnet.structures import Segments
from structnet.structures.neighbours import Neighbours


class RelationNetwork(nn.Module):
    """Santoro et al., "A simple neural network module for relational reasoning", NeurIPS 2017, equation 1:

        RN(O) = f( sum over all pairs (i, j) of g([o_i, o_j, q]) )

    It is one round of a `RecurrentRelationalNetwork` with h = m on the complete graph with loops, and no encoder.

    Args:
        in_channels: D, of an object.
        out_channels: of the answer.
        question_channels: of q, 0 for none.
        hidden: width of g and f.
        layers: of g.
        dropout: before the last layer of f.

    Shapes: objects `[N, D]`, `Segments` of S scenes, question `[S, question_channels]` -> logits `[S, out_channels]`. A
    scene without objects is the answer to a sum of zeros. g's first layer runs per object and its last after the sum,
    exactly.

    Differs from the paper in g's last layer, which is linear (the paper has a ReLU there, so that its sum cannot be
    factorised); f starts with the next one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        question_channels: int = 0,
        hidden: int = 256,
        layers: int = 4,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.g = RelationalMessage(in_channels, question_channels, layers, hidden, out_width=hidden)
        self.f = perceptron(hidden, hidden, hidden, out_channels, dropout=dropout)

    def forward(self, objects: Tensor, scenes: Segments, question: Tensor | None = None) -> Tensor:
        graph = Neighbours.complete(scenes, loops=True)
        at_nodes = None if question is None else question.index_select(0, scenes.index)
        pairs = self.g(objects, graph, self.g.terms(graph, None, at_nodes))
        return self.f(segment_reduce(pairs, scenes))
