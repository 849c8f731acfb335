"""Recurrent relational networks: message passing with tied weights and a prediction in every round."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from structnet.cells.relational import UPDATES, RelationalMessage, perceptron
from structnet.errors import StructureError
from structnet.kernels import index_reduce
from structnet.rounds import pass_messages
from structnet.structures.neighbours import Neighbours


class Predictions(NamedTuple):
    """Logits `[rounds kept, nodes or graphs, classes]` and the state after the last round, to go on from."""

    logits: Tensor
    state: tuple[Tensor, ...]


class RecurrentRelationalNetwork(nn.Module):
    """Palm, Paquet and Winther, "Recurrent Relational Networks", NeurIPS 2018, section 2:

        x_j   = encoder(features_j),   h_j^0 = x_j
        m_j^t = sum over edges i -> j of f([h_i^{t-1}, h_j^{t-1}, e_ij])        (1), (2)
        h_j^t = g(h_j^{t-1}, x_j, m_j^t)                                        (3)
        o_j^t = r(h_j^t), or for a whole graph r(sum of its h_j^t)              (4)

    The same f, g, r in every round, and a loss on every o^t. In training all rounds with a gradient are handed out, in
    evaluation the last one. The number of rounds is free: weights do not depend on it.

    Args:
        in_channels, out_channels: of features and logits.
        width: D, of x, h and m.
        edge_channels: of edge features, 0 for none.
        message_layers: linear maps of f; 2 leave nothing but additions to the edges.
        update: "lstm", "gru", "perceptron" or "message" (h = m), see `structnet.cells.relational`.
        update_layers: of the perceptron inside the update.
        encoder_layers: of the perceptron on the features; 0: they are the x_j, `in_channels` = D.
        readout_layers, dropout: of r; dropout before its last layer.
        graph_level: one prediction per graph instead of per node.
        rounds: R, in training and, unless changed, at test time.
        gradient: the last rounds that are differentiated in training, 0 for all; memory does not grow with the rest.
        l2: factor of half the squared norm of the perceptrons' weight matrices, an auxiliary loss (the paper: 1e-4).

    Shapes: x `[N, in_channels]`, edge_index `[2, E]` (or `Neighbours`), edge_attr `[E, edge_channels]`, batch `[N]`
    the graph of each node -> `Predictions`. A node without edges gets no message and is updated all the same; a graph
    without nodes is read out from zeros. A graph's prediction does not depend on its neighbours in the batch.
    Cost of a round: the message (see `RelationalMessage`) and 2 N D (8 D + 2 D layers) flops for the LSTM update.

    Differs from the paper in nothing that changes the function: the first message layer is computed per node and the
    last after the sum, exactly (the literal form is in the tests). Defaults are those of the authors' Sudoku network.

    Raises:
        StructureError: an unknown update, or edges and features that do not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 96,
        edge_channels: int = 0,
        message_layers: int = 4,
        update: str = "lstm",
        update_layers: int = 4,
        encoder_layers: int = 4,
        readout_layers: int = 1,
        dropout: float = 0.0,
        graph_level: bool = False,
        rounds: int = 32,
        gradient: int = 0,
        l2: float = 0.0,
    ):
        super().__init__()
        if update not in UPDATES:
            raise StructureError(f"an update out of {', '.join(UPDATES)}", repr(update), 'update="lstm"')
        self.rounds, self.gradient, self.graph_level, self.l2 = rounds, gradient, graph_level, l2
        self.encoder = perceptron(in_channels, *[width] * encoder_layers) if encoder_layers else nn.Identity()
        self.message = RelationalMessage(width, edge_channels, message_layers)
        self.update = UPDATES[update](width, update_layers)
        self.readout = perceptron(*[width] * readout_layers, out_channels, dropout=dropout)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | Neighbours,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        *,
        batch_size: int | None = None,
        node_attr: Tensor | None = None,
        state: tuple[Tensor, ...] | None = None,
        rounds: int | None = None,
    ) -> Predictions:
        """`node_attr` `[N, channels]` stands for edge features that all edges into a node share (a question about the
        graph), alone or before those of `edge_attr`; `state` goes on from an earlier call; `rounds` replaces R."""
        graph = edge_index if isinstance(edge_index, Neighbours) else Neighbours.from_edges(edge_index, len(x))
        x = self.encoder(x)
        terms, fixed = self.message.terms(graph, edge_attr, node_attr), self.update.fixed(x)
        rounds = self.rounds if rounds is None else rounds
        gradient = self.gradient or rounds
        states, last = pass_messages(
            lambda state, graph: self.message(state[0], graph, terms),
            lambda m, state: self.update(m, fixed, state),
            self.update.start(x) if state is None else state,
            graph,
            rounds,
            gradient=gradient if self.training else None,
            keep=gradient if self.training else 1,
        )
        hidden = torch.stack([kept[0] for kept in states] or [last[0]])
        if self.graph_level:
            hidden = pool(hidden.transpose(0, 1), batch, batch_size).transpose(0, 1)
        return Predictions(self.readout(hidden), last)

    def auxiliary(self, output: Predictions) -> dict[str, Tensor]:
        """Weight decay as published: on the weight matrices of the perceptrons alone."""
        if not self.l2:
            return {}
        parts = (self.encoder, self.message, self.update.post)
        weights = [p for part in parts if part is not None for p in part.parameters() if p.dim() == 2]
        return {"l2": self.l2 / 2 * torch.stack([w.square().sum() for w in weights]).sum()}


def pool(x: Tensor, batch: Tensor | None, batch_size: int | None = None) -> Tensor:
    """Sum of the nodes of each graph, `[N, ...]` -> `[graphs, ...]`; one graph without `batch`."""
    if batch is None:
        return x.sum(0, keepdim=True)
    size = batch_size if batch_size is not None else int(batch.max()) + 1 if batch.numel() else 0
    return index_reduce(x, batch, size)
