"""The baseline without relations: one perceptron over everything that is known of a scene."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structnet.cells.relational import perceptron
from structnet.structures.neighbours import Neighbours


class FlatNetwork(nn.Module):
    """The MLP that Palm et al., "Recurrent Relational Networks", 2018, section 3.2 compare with: all objects side
    by side in their order, with the features of all edges, through `layers` layers of `hidden`, dropout before the
    last.

    Shapes: the batch of a `RecurrentRelationalNetwork` whose graphs all have `objects` nodes and `edges` edges ->
    logits `[graphs, out_channels]`. Features that all nodes of a graph share (the question, the last `shared` of
    `in_channels`) are taken once.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        objects: int,
        edges: int = 0,
        shared: int = 0,
        hidden: int = 256,
        layers: int = 4,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.objects, self.shared = objects, shared
        wide = objects * (in_channels - shared) + shared + edges
        self.network = perceptron(wide, *[hidden] * layers, out_channels, dropout=dropout)

    def forward(
        self, x: Tensor, graph: Tensor | Neighbours, edge_attr: Tensor | None = None, batch: Tensor | None = None
    ) -> Tensor:
        x = x.unflatten(0, (-1, self.objects))
        own, question = x.split([x.shape[2] - self.shared, self.shared], 2)
        parts = [own.flatten(1), question[:, 0]]
        if edge_attr is not None:
            parts.append(edge_attr.reshape(len(x), -1))
        return self.network(torch.cat(parts, 1))
