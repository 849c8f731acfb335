"""Encode, process, decode: a network that follows a classical algorithm step by step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.utils import scatter, softmax

from structnet.models.probe_decoders import decoder, summed

Probe = tuple[str, str, str, str, int]  # name, stage, location, kind, classes (1 but for categorical)


class ReasonerOutput(NamedTuple):
    """Logits of every output `{name: rows}` at each sample's last step, and of every hint after each step
    `{name: [steps, rows]}`. Rows are nodes, edges or graphs; pointers have one logit per edge, grouped by target."""

    outputs: dict[str, Tensor]
    hints: dict[str, Tensor]


class Processor(MessagePassing):
    """One step of message passing with a gate (Ibarz et al., "A Generalist Neural Algorithmic Learner", 2022, 3.2):

        z_i = [x_i; h_i],  m_i = aggregate_j MLP(relu(W_1 z_j + W_2 z_i + W_e e_ij + W_g g))
        h'_i = LN(relu(W_3 z_i + W_4 m_i)),  gate = sigmoid(W_7 relu(W_5 z_i + W_6 m_i) - 3)
        h_i <- gate h'_i + (1 - gate) h_i

    Senders reach the aggregator in node order: what a recurrent one needs (Xu and Velickovic, 2024).
    """

    def __init__(self, width: int, aggregator: str | Aggregation):
        super().__init__(aggr=aggregator)
        self.senders, self.receivers = nn.Linear(2 * width, width), nn.Linear(2 * width, width)
        self.edges, self.graphs = nn.Linear(width, width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.own, self.message_in = nn.Linear(2 * width, width), nn.Linear(width, width)
        self.gate_own, self.gate_in, self.gate = (
            nn.Linear(2 * width, width),
            nn.Linear(width, width),
            nn.Linear(width, width),
        )
        self.norm = nn.LayerNorm(width)
        nn.init.constant_(self.gate.bias, -3.0)  # keep the state at first

    def forward(self, x: Tensor, hidden: Tensor, edges: Tensor, graphs: Tensor, data: Data) -> Tensor:
        z = torch.cat([x, hidden], -1)
        source, target = self.senders(z), self.receivers(z) + self.graphs(graphs)[data.graph]
        assert data.edge_index is not None
        m = self.propagate(data.edge_index, x=(source, target), edge=self.edges(edges), size=(len(z), len(z)))
        new = self.norm((self.own(z) + self.message_in(m)).relu())
        gate = self.gate((self.gate_own(z) + self.gate_in(m)).relu()).sigmoid()
        return torch.lerp(hidden, new, gate)

    def message(self, x_i: Tensor, x_j: Tensor, edge: Tensor) -> Tensor:
        return self.mlp(x_i + x_j + edge)


class Triplets(nn.Module):
    """Edge features from all triples: for edge (j, k), the maximum over i of seven summed maps to a few channels
    (Ibarz et al., 2022, 3.2). Cost: the sum of n^3 rows of `channels`."""

    def __init__(self, width: int, channels: int = 8):
        super().__init__()
        self.nodes, self.edges = nn.Linear(2 * width, 3 * channels), nn.Linear(width, 3 * channels)
        self.graphs, self.out = nn.Linear(width, channels), nn.Linear(channels, width)

    def forward(self, z: Tensor, edges: Tensor, graphs: Tensor, data: Data) -> Tensor:
        i, edge, ij, ik = triples(data)
        assert data.edge_index is not None
        k, j = data.edge_index
        of_i, of_j, of_k = self.nodes(z).chunk(3, -1)
        of_ij, of_ik, of_jk = self.edges(edges).chunk(3, -1)
        here = of_j[j] + of_k[k] + of_jk + self.graphs(graphs)[data.graph[j]]
        best = scatter(of_i[i] + of_ij[ij] + of_ik[ik], edge, dim_size=len(edges), reduce="max")
        return self.out(best + here).relu()


def triples(data: Data) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For every edge k -> j and node i of its graph: i, the edge, and the edges i -> j and i -> k."""
    assert data.edge_index is not None
    source, target = data.edge_index
    size, first_node, first_edge = data.num_nodes_of, data.node_ptr[:-1], data.edge_ptr[:-1]
    graph = data.graph[target]
    edge = torch.repeat_interleave(torch.arange(len(target), device=target.device), size[graph])
    start = (size[graph].cumsum(0) - size[graph])[edge]
    local = torch.arange(len(edge), device=edge.device) - start
    of, n = graph[edge], size[graph[edge]]
    row_j, row_k = (t[edge] - first_node[of] for t in (target, source))
    return first_node[of] + local, edge, first_edge[of] + row_j * n + local, first_edge[of] + row_k * n + local


class AlgorithmicReasoner(nn.Module):
    """Encode-process-decode with hints (Velickovic et al., "The CLRS Algorithmic Reasoning Benchmark", 2022, section 3;
    Ibarz et al., 2022): inputs and hints are embedded and summed, one processor step per step of the algorithm, hints
    and outputs are read off; the hint predicted at a step is the soft input of the next. The first hint is given.

    Args:
        probes: (name, stage, location, kind, classes) of everything that goes in or comes out.
        width: D.
        aggregator: of the messages; any PyG aggregator or the name of one.
        triplets: add edge features from triples of nodes before decoding.

    Shapes: `data` holds complete graphs, edges grouped by target with senders in node order; see `tasks.algorithms`. A
    sample is frozen after its own number of steps, and nothing is padded but time.

    Differs from the papers: sorting is read off as plain pointers, no Sinkhorn operator; scalars of hints are encoded
    with torch's default initialisation.
    """

    def __init__(
        self, probes: Iterable[Probe], width: int = 128, aggregator: str | Aggregation = "max", triplets: bool = False
    ):
        super().__init__()
        self.width = width
        self.probes = {name: (stage, location, kind) for name, stage, location, kind, _ in probes}
        fed = [p for p in probes if p[1] != "output"]
        self.encoders = nn.ModuleDict({name: nn.Linear(classes, width) for name, *_, classes in fed})
        self.processor = Processor(width, aggregator)
        self.triplets = Triplets(width) if triplets else None
        read = [p for p in probes if p[1] != "input"]
        self.decoders = nn.ModuleDict({p[0]: decoder(p[2], p[3], p[4], width) for p in read})

    def forward(self, data: Data) -> ReasonerOutput:
        inputs = self._encoder(data, list(data.inputs))(data.inputs)
        encode, decode = self._encoder(data, list(data.hints)), self._decoder()
        hints = {name: self._hard(data, name, value[0]) for name, value in data.hints.items()}
        hidden = inputs[0].new_zeros(inputs[0].shape)
        seen: list[dict[str, Tensor]] = []
        outputs: dict[str, Tensor] = {}
        for step in range(max(int(data.lengths.max()) - 1, 1)):
            x, edges, graphs = (a + b for a, b in zip(inputs, encode(hints)))
            new = self.processor(x, hidden, edges, graphs, data)
            logits = decode(*self._read(torch.cat([x, hidden, new], -1), edges, graphs, data), data)
            hints = {name: self._soft(data, name, logits[name]) for name in data.hints}
            running = (step == 0) | (data.lengths > step + 1)
            for name in logits.keys() - hints.keys():
                alive = _rows(data, self.probes[name], running)
                outputs[name] = logits[name] if step == 0 else _where(alive, logits[name], outputs[name])
            hidden = _where(running[data.graph], new, hidden)
            seen.append({name: logits[name] for name in hints})
        return ReasonerOutput(outputs, {name: torch.stack([s[name] for s in seen]) for name in hints})

    def _encoder(self, data: Data, names: list[str]) -> Callable[[dict[str, Tensor]], list[Tensor]]:
        """Sums of embeddings per node, edge and graph, one product each; pointers live on edges."""
        sizes = {"node": len(data.graph), "edge": data.num_edges, "graph": len(data.lengths)}
        places: dict[str, list[str]] = {place: [] for place in sizes}
        for name in names:
            _, location, kind = self.probes[name]
            places["edge" if kind == "pointer" else location].append(name)
        maps = {place: summed([self.encoders[name] for name in names]) for place, names in places.items() if names}
        like = next(self.parameters())

        def encode(values: dict[str, Tensor]) -> list[Tensor]:
            total = []
            for place, size in sizes.items():
                rows = [values[name].reshape(size, -1).to(like.dtype) for name in places[place]]
                total.append(F.linear(torch.cat(rows, 1), *maps[place]) if rows else like.new_zeros(size, self.width))
            return total

        return encode

    def _decoder(self) -> Callable[..., dict[str, Tensor]]:
        """Logits by name: decoders of a kind are one product."""
        kinds: dict[type, list[str]] = defaultdict(list)
        for name, module in self.decoders.items():
            kinds[type(module)].append(name)
        several = [(names, kind.several([self.decoders[name] for name in names])) for kind, names in kinds.items()]

        def decode(nodes: Tensor, edges: Tensor, graphs: Tensor, data: Data) -> dict[str, Tensor]:
            return {
                name: part.squeeze(-1)
                for names, read in several
                for name, part in zip(names, read(nodes, edges, graphs, data), strict=True)
            }

        return decode

    def _read(self, nodes: Tensor, edges: Tensor, graphs: Tensor, data: Data) -> tuple[Tensor, Tensor, Tensor]:
        """What decoders see: of edges also what triples say."""
        if self.triplets is None:
            return nodes, torch.cat([edges, torch.zeros_like(edges)], -1), graphs
        more = self.triplets(nodes[:, : 2 * self.width], edges, graphs, data)
        return nodes, torch.cat([edges, more], -1), graphs

    def _hard(self, data: Data, name: str, value: Tensor) -> Tensor:
        if self.probes[name][2] != "pointer":
            return value
        edges = torch.zeros(data.num_edges, device=value.device)  # a pointer is given as the number of its edge
        return edges.index_fill(0, value, 1.0)

    def _soft(self, data: Data, name: str, logits: Tensor) -> Tensor:
        kind = self.probes[name][2]
        if kind == "mask":
            return logits.sigmoid()
        if kind == "categorical":
            return logits.softmax(-1)
        if kind == "mask_one":
            return softmax(logits, data.graph, num_nodes=len(data.lengths))
        assert data.edge_index is not None
        return softmax(logits, data.edge_index[1], num_nodes=len(data.graph)) if kind == "pointer" else logits


def _rows(data: Data, probe: tuple[str, str, str], graphs: Tensor) -> Tensor:
    """A value per graph, as one per row of what `probe` describes."""
    _, location, kind = probe
    assert data.edge_index is not None
    if location == "edge" or kind == "pointer":
        return graphs[data.graph[data.edge_index[1]]]
    return graphs[data.graph] if location == "node" else graphs


def _where(condition: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(condition.view(-1, *[1] * (new.dim() - 1)), new, old)
