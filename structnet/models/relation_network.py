"""Relation Networks: one sum over all pairs."""

from __future__ import annotations

from torch import Tensor, nn

from structnet.cells.relational import RelationalMessage, perceptron
from structnet.models.recurrent_relational import pool
from structnet.structures.neighbours import Neighbours


class RelationNetwork(nn.Module):
    """Santoro et al., "A simple neural network module for relational reasoning", NeurIPS 2017, equation 1:

        RN(O) = f( sum over all pairs (i, j) of g([o_i, o_j, q]) )

    It is one round of a `RecurrentRelationalNetwork` with h = m on the complete graph with loops, and no encoder. Any
    other graph will do: the pairs are its edges.

    Args:
        in_channels: D, of an object.
        out_channels: of the answer.
        edge_channels: of what a pair has besides its objects, a question or a distance; 0 for nothing.
        hidden: width of g and f.
        layers: of g.
        dropout: before the last layer of f.

    Shapes: as `RecurrentRelationalNetwork.forward`, of which this is a case -> logits `[S, out_channels]`. A scene
    without objects is a sum of zeros. g's first layer runs per object and its last after the sum, exactly.

    Differs from the paper in g's last layer, which is linear (the paper has a ReLU there, so that its sum cannot be
    factorised); f starts with the next one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        edge_channels: int = 0,
        hidden: int = 256,
        layers: int = 4,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.g = RelationalMessage(in_channels, edge_channels, layers, hidden, out_width=hidden)
        self.f = perceptron(hidden, hidden, hidden, out_channels, dropout=dropout)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | Neighbours,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        *,
        batch_size: int | None = None,
        node_attr: Tensor | None = None,
    ) -> Tensor:
        graph = edge_index if isinstance(edge_index, Neighbours) else Neighbours.from_edges(edge_index, len(x))
        return self.f(pool(self.g(x, graph, self.g.terms(graph, edge_attr, node_attr)), batch, batch_size))
