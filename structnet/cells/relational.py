"""What a relational network is made of: perceptrons, messages on edges in factorised form, recurrent node updates."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from structnet.errors import StructureError
from structnet.kernels.edge_relu_sum import op  # noqa: F401 registers the op
from structnet.kernels.segment_reduce import segment_reduce
from structnet.structures.neighbours import Neighbours


def perceptron(*sizes: int, dropout: float = 0.0) -> nn.Sequential:
    """Linear maps between these sizes, ReLU between them (dropout before the last), the last one linear; Glorot
    initialised, zero biases."""
    layers: list[nn.Module] = []
    for at, (wide_in, wide_out) in enumerate(zip(sizes, sizes[1:])):
        last = at == len(sizes) - 2
        layers += [*([nn.Dropout(dropout)] if last and dropout else []), glorot(nn.Linear(wide_in, wide_out))]
        layers += [] if last else [nn.ReLU()]
    return nn.Sequential(*layers)


def glorot(linear: nn.Linear) -> nn.Linear:
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class EdgeTerms(NamedTuple):
    """What the first message layer makes of edge features, once for all rounds: by edge `[E, H]`, sorted by target, or,
    where the edges into a node share them, by node `[N, H]`."""

    edges: Tensor | None
    nodes: Tensor


class RelationalMessage(nn.Module):
    """Message of Palm, Paquet and Winther, "Recurrent Relational Networks", 2018, equations 1 and 2, summed at its end:

        m_ij = f([h_i, h_j, e_ij]),   m_j = sum over edges i -> j of m_ij

    with f a perceptron of `layers` linear maps and ReLU between. Computed in an exact factorised form: the first map
    by node (W [h_i; h_j; e] = A h_i + B h_j + C e), the last after the sum (sum (W a + b) = W sum a + degree b). With
    two layers no matrix product is left to the edges and no row of an edge is written (`edge_relu_sum`).

    Args:
        width: D, of a state and of a message.
        edge_channels: of edge features, 0 for none.
        layers: linear maps of f, at least 2.
        hidden: H, their inner width; D if None.
        out_width: of a message; D if None.

    Shapes: h `[N, D]` -> m `[N, out_width]`, zero rows for nodes without edges. Cost per round: 6 N H D flops, and
    E H additions (two layers) or 2 E H^2 (layers - 2) flops.
    """

    def __init__(
        self,
        width: int,
        edge_channels: int = 0,
        layers: int = 4,
        hidden: int | None = None,
        out_width: int | None = None,
    ):
        super().__init__()
        if layers < 2:
            raise StructureError("a message network of at least 2 layers", str(layers), "layers=2")
        self.width, self.edge_channels = width, edge_channels
        inner = [hidden or width] * (layers - 1)
        self.network = perceptron(2 * width + edge_channels, *inner, out_width or width)

    def terms(self, graph: Neighbours, edge_attr: Tensor | None, node_attr: Tensor | None = None) -> EdgeTerms:
        """Edge features `[E, channels]` in the order of the edge list, or `node_attr` `[N, channels]`, which all edges
        into a node share, or both (those of the nodes first); ready for every round."""
        first: nn.Linear = self.network[0]  # type: ignore[assignment]
        shared, own = (0 if given is None else given.shape[-1] for given in (node_attr, edge_attr))
        if shared + own != self.edge_channels:
            raise StructureError(f"edge features [E, {self.edge_channels}]", f"{shared + own} channels", "edge_attr=")
        weight = first.weight[:, 2 * self.width :]
        nodes = first.bias if node_attr is None else F.linear(node_attr, weight[:, :shared]) + first.bias
        if edge_attr is None:
            return EdgeTerms(None, nodes)
        if len(edge_attr) != graph.num_edges:
            raise StructureError(f"{graph.num_edges} edge features", str(len(edge_attr)), "one row an edge")
        return EdgeTerms(graph.sorted(F.linear(edge_attr, weight[:, shared:])), nodes)

    def forward(self, h: Tensor, graph: Neighbours, terms: EdgeTerms) -> Tensor:
        first, last = self.network[0], self.network[-1]
        of_source, of_target = first.weight[:, : 2 * self.width].chunk(2, 1)  # type: ignore[index]
        source, target = F.linear(h, of_source), F.linear(h, of_target) + terms.nodes
        if len(self.network) == 3:
            edges = None if terms.edges is None else terms.edges.to(source.dtype)
            total = torch.ops.structnet.edge_relu_sum(source, target.to(source.dtype), edges, graph.sender, graph.ptr)
        else:
            pairs = source.index_select(0, graph.sender) + target.index_select(0, graph.target)
            pairs = pairs if terms.edges is None else pairs + terms.edges
            total = segment_reduce(self.network[1:-1](pairs), graph.ptr)
        return F.linear(total, last.weight) + graph.degree[:, None] * last.bias  # type: ignore[arg-type]


class _Joint(nn.Module):
    """A perceptron on [x, m] (or [x, h, m]) whose first layer's share of x is made once for all rounds."""

    def __init__(self, inputs: int, width: int, layers: int):
        super().__init__()
        self.width, self.network = width, perceptron(inputs, *[width] * layers)

    def fixed(self, x: Tensor) -> Tensor:
        first: nn.Linear = self.network[0]  # type: ignore[assignment]
        return F.linear(x, first.weight[:, : self.width], first.bias)

    def forward(self, fixed: Tensor, *moving: Tensor) -> Tensor:
        first: nn.Linear = self.network[0]  # type: ignore[assignment]
        return self.network[1:](fixed + F.linear(torch.cat(moving, 1), first.weight[:, self.width :]))


class LSTMUpdate(nn.Module):
    """`(h, c) = LSTM(post([x, m]), (h, c))` with one bias and a forget bias of 1, as in the authors' code.

    The state is (what is sent, h, c): x is sent in the first round, while the LSTM's own state starts from zero.

    Args:
        width: of x, m, h and c.
        layers: of the perceptron `post` on [x, m]; 0 hands [x, m] to the LSTM.

    Every update here has `start(x)`, the first state, and `fixed(x)`, its share of x, which is the same in all rounds.
    """

    def __init__(self, width: int, layers: int = 4):
        super().__init__()
        self.width = width
        self.post = _Joint(2 * width, width, layers) if layers else None
        self.gates = glorot(nn.Linear((2 if layers else 3) * width, 4 * width))

    def start(self, x: Tensor) -> tuple[Tensor, ...]:
        zero = torch.zeros_like(x)
        return x, zero, zero

    def fixed(self, x: Tensor) -> Tensor:
        if self.post is not None:
            return self.post.fixed(x)
        return F.linear(x, self.gates.weight[:, : self.width], self.gates.bias)

    def forward(self, m: Tensor, fixed: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        _, h, c = state
        if self.post is not None:
            gates = self.gates(torch.cat([self.post(fixed, m), h], 1))
        else:
            gates = fixed + F.linear(torch.cat([m, h], 1), self.gates.weight[:, self.width :])
        i, f, o, new = gates.chunk(4, 1)
        c = (f + 1).sigmoid() * c + i.sigmoid() * new.tanh()
        h = o.sigmoid() * c.tanh()
        return h, h, c


class GRUUpdate(nn.Module):
    """`h = GRU(post([x, m]), h)`, from h = x."""

    def __init__(self, width: int, layers: int = 4):
        super().__init__()
        self.post = _Joint(2 * width, width, layers) if layers else None
        self.cell = nn.GRUCell(width if layers else 2 * width, width)

    def start(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x,)

    def fixed(self, x: Tensor) -> Tensor:
        return x if self.post is None else self.post.fixed(x)

    def forward(self, m: Tensor, fixed: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        given = torch.cat([fixed, m], 1) if self.post is None else self.post(fixed, m)
        return (self.cell(given, state[0]),)


class PerceptronUpdate(nn.Module):
    """`h = MLP([x, h, m])`, from h = x: no gates (Pretty-CLEVR)."""

    def __init__(self, width: int, layers: int = 2):
        super().__init__()
        self.post = _Joint(3 * width, width, max(layers, 1))

    def start(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x,)

    def fixed(self, x: Tensor) -> Tensor:
        return self.post.fixed(x)

    def forward(self, m: Tensor, fixed: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (self.post(fixed, state[0], m),)


class MessageUpdate(nn.Module):
    """`h = m`: what has arrived is the state. One round of it is a Relation Network."""

    post = None

    def __init__(self, width: int, layers: int = 0):
        super().__init__()

    def start(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x,)

    def fixed(self, x: Tensor) -> Tensor:
        return x

    def forward(self, m: Tensor, fixed: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (m,)


UPDATES = {"lstm": LSTMUpdate, "gru": GRUUpdate, "perceptron": PerceptronUpdate, "message": MessageUpdate}
