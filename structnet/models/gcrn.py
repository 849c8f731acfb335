"""Graph convolutional recurrent networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from structnet.cells.graph_filters import ChebyshevFilter, Operators, graph_filter
from structnet.cells.graph_recurrent import CELLS, GraphLSTMCell
from structnet.errors import StructureError
from structnet.unroll import check_shapes, layer_states, unroll_snapshots


class GCRN(nn.Module):
    """Seo, Defferrard, Vandergheynst, Bresson, "Structured Sequence Modeling with Graph Convolutional Recurrent
    Networks", 2018 (arXiv 1612.07659).

    Model 1 (section 5.1): x_CNN = W_CNN * x, one linear graph convolution, then a recurrent cell without a graph.
    Model 2 (section 5.2): graph convolutions in every gate, on input and state (`structnet.cells.graph_recurrent`).

    Args:
        in_channels, hidden: F, H.
        model: 1 or 2.
        cell: "lstm", "gru" or "rnn".
        order: K, terms of the graph filter; the state also travels K - 1 hops a step in model 2.
        filter: "chebyshev" or "diffusion".
        peephole: "none", "channel" or "node" (of the LSTM, other cells have none; "node" needs `num_nodes`).
        num_layers: cells on top of each other.
        reading: model 1's state per "node" (the 2016 version) or one per "graph", over the flattened nodes (the final
            version; needs `num_nodes`).
        num_nodes: fixed number of nodes of a graph, where one is needed.

    Call it with one snapshot, `out, state = model(data, state)`: x `[N, ..., F]` -> out `[N, ..., H]`, state one entry
    per layer; or `series` with all steps at once. Several graphs are one PyG `Batch`, several series on the same graph
    the middle dimensions of x. `state=None` is zeros. Nothing is kept on the module.

    Raises:
        StructureError: channels, node counts, states or options that do not fit; a negative degree ("chebyshev").

    Cost of a step: terms - 1 sparse products of H columns and one matrix product per layer; the input side of a series
    on one graph is done for all steps at once.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        model: int = 2,
        cell: str = "lstm",
        order: int = 3,
        filter: str = "chebyshev",
        peephole: str = "channel",
        num_layers: int = 1,
        reading: str = "node",
        num_nodes: int | None = None,
    ):
        super().__init__()
        _known("cell", cell, CELLS)
        _known("reading", reading, ("node", "graph"))
        _known("model", model, (1, 2))
        if reading == "graph" and (model != 1 or num_nodes is None):
            raise StructureError(
                'model=1 and num_nodes with reading="graph"', f"model={model}, {num_nodes}", 'reading="node"'
            )
        self.filter = graph_filter(filter, order)
        self.nodes_per_state = num_nodes if reading == "graph" else None
        inner = self.filter if model == 2 else ChebyshevFilter(1)
        width = in_channels * (self.nodes_per_state or 1)
        options = {"peephole": peephole, "num_nodes": num_nodes} if cell == "lstm" else {}
        self.convolution = (
            nn.Parameter(torch.empty(self.filter.terms * in_channels, in_channels)) if model == 1 else None
        )
        if self.convolution is not None:
            nn.init.xavier_uniform_(self.convolution)
        self.cells = nn.ModuleList(
            CELLS[cell](width if layer == 0 else hidden, hidden, inner, **options) for layer in range(num_layers)
        )

    def forward(self, data: Data, state: Any = None) -> tuple[Tensor, tuple]:
        out, state = self._series(data, _features(data, 2).unsqueeze(-2), state)
        return out.squeeze(-2), state

    def series(self, data: Data | Sequence[Data], state: Any = None) -> tuple[Any, Any]:
        """All time steps.

        Args:
            data: a graph with x `[N, ..., T, F]`, or a list of snapshots with graphs of their own, x `[N, ..., F]`.

        Returns out `[N, ..., T, H]` (for a list: a list of `[N, ..., H]`) and the last state.
        """
        if isinstance(data, Data):
            return self._series(data, _features(data, 3), state)
        return unroll_snapshots(self, data, state)

    def _series(self, data: Data, x: Tensor, state: Any) -> tuple[Tensor, tuple]:
        if x.shape[-2] == 0:
            raise StructureError("at least one time step", "a series without any", "x of [N, ..., T, F] with T >= 1")
        operators = self.filter.operators(data)
        if self.convolution is not None:
            x, operators = self._convolve(x, operators), ()
        last = []
        for cell, now in zip(self.cells, layer_states(state, len(self.cells))):
            _check_state(now, cell, x)
            outputs = []
            for projected in cell.project(x, operators).unbind(-2):  # type: ignore[operator]
                now = cell.step(projected, now, operators)  # type: ignore[operator]
                outputs.append(now[0] if isinstance(now, tuple) else now)
            x = torch.stack(outputs, -2)
            last.append(now)
        return x, tuple(last)

    def _convolve(self, x: Tensor, operators: Operators) -> Tensor:
        assert self.convolution is not None
        x = self.filter.basis(x, operators) @ self.convolution
        nodes = self.nodes_per_state
        if nodes is None:
            return x
        if x.shape[0] % nodes:
            raise StructureError(f"graphs of {nodes} nodes", f"{x.shape[0]} nodes", 'reading="node"')
        return x.unflatten(0, (-1, nodes)).movedim(1, -2).flatten(-2)  # [graphs, ..., T, nodes * F]


def _features(data: Data, least: int) -> Tensor:
    if data.x is None or data.x.dim() < least:
        wanted = "[N, ..., F] (one snapshot)" if least == 2 else "[N, ..., T, F] (a series)"
        got = "no x" if data.x is None else f"shape {tuple(data.x.shape)}"
        raise StructureError(f"data.x of {wanted}", got, "model(data) for a snapshot, model.series(data) for a series")
    return data.x


def _check_state(state: Any, cell: Any, x: Tensor) -> None:
    if state is None:
        return
    rows = (state[0] if isinstance(state, (tuple, list)) else state).shape[0]
    if rows != x.shape[0]:
        raise StructureError(
            f"a state of {x.shape[0]} rows", f"{rows}", "carry_rows(state, ids, new_ids) between node sets"
        )
    shape = (*x.shape[:-2], cell.hidden)
    check_shapes(state, (shape, shape) if isinstance(cell, GraphLSTMCell) else shape)


def _known(name: str, value: Any, choices: Any) -> None:
    if value not in choices:
        raise StructureError(
            f"{name} out of {', '.join(map(str, choices))}", repr(value), f"{name}={next(iter(choices))!r}"
        )
