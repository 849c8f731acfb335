"""The published equations with PyG's `MessagePassing`: one row per edge through the whole message network."""

from __future__ import annotations

import torch
from torch import nn
from torch_geometric.nn import MessagePassing, global_add_pool

from structnet.cells.relational import UPDATES
from structnet.models.recurrent_relational import RecurrentRelationalNetwork


class Literal(MessagePassing):
    """All rounds of `model`, whose weights it uses, written out; logits `[rounds, nodes or graphs, classes]`."""

    def __init__(self, model: RecurrentRelationalNetwork):
        super().__init__(aggr="add")
        self.model, self.f = model, model.message.network
        self.post = nn.Identity() if model.update.post is None else model.update.post.network

    def message(self, x_i, x_j, edge_attr):
        return self.f(torch.cat([x_j, x_i, edge_attr], 1))

    def forward(self, features, edge_index, edge_attr, rounds, batch=None):
        model = self.model
        x = model.encoder(features)
        h, outputs = x, []
        own, c = torch.zeros_like(x), torch.zeros_like(x)
        for _ in range(rounds):
            m = self.propagate(edge_index, x=h, edge_attr=edge_attr)
            if isinstance(model.update, UPDATES["lstm"]):
                joined = torch.cat([self.post(torch.cat([x, m], 1)), own], 1)
                i, f, o, new = (joined @ model.update.gates.weight.t() + model.update.gates.bias).chunk(4, 1)
                c = torch.sigmoid(f + 1.0) * c + torch.sigmoid(i) * torch.tanh(new)
                h = own = torch.sigmoid(o) * torch.tanh(c)
            elif isinstance(model.update, UPDATES["gru"]):
                h = model.update.cell(self.post(torch.cat([x, m], 1)), h)
            elif isinstance(model.update, UPDATES["perceptron"]):
                h = self.post(torch.cat([x, h, m], 1))
            else:
                h = m
            outputs.append(model.readout(h if batch is None else global_add_pool(h, batch)))
        return torch.stack(outputs)
