"""Graph convolutions per snapshot, then a recurrent cell per node: the plain baseline of dynamic graphs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from structnet.cells.graph_filters import ChebyshevFilter, graph_operators, normalised_adjacency
from structnet.cells.graph_recurrent import CELLS, GraphLSTMCell
from structnet.errors import StructureError
from structnet.unroll import check_shapes, unroll_snapshots


class GCNGRU(nn.Module):
    """ "GCN-GRU" and "GCN" of Pareja et al. 2020, section 4.2: Kipf and Welling's layers, H' = relu(A^ H W), in every
    snapshot; a GRU then reads each node's embeddings in the order of time.

    Args:
        in_channels, hidden, num_layers: F -> D -> ... -> D.
        cell: "gru", "lstm", "rnn", or "none" for the static GCN.

    Call `out, state = model(data, state)`, or `series`; the state is a row per node (None at the start, and for
    "none"). The node set is the same in all snapshots (`carry_rows` moves a state to another).

    Raises:
        StructureError: an unknown cell, a snapshot without x, or a state that does not fit.
    """

    def __init__(self, in_channels: int, hidden: int, num_layers: int = 2, cell: str = "gru"):
        super().__init__()
        if cell not in (*CELLS, "none"):
            raise StructureError(f"a cell out of {', '.join(CELLS)}, none", repr(cell), 'cell="gru"')
        widths = [in_channels] + [hidden] * num_layers
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(a, b)) for a, b in zip(widths, widths[1:]))
        for weight in self.weights:
            nn.init.xavier_uniform_(weight)
        self.cell = None if cell == "none" else CELLS[cell](hidden, hidden, ChebyshevFilter(1))

    def forward(self, data: Data, state: Any = None) -> tuple[Tensor, Any]:
        (adjacency,) = graph_operators(normalised_adjacency, data)
        x = data.x
        if x is None:
            raise StructureError("data.x of [N, F]", "no x", "Data(x=x, edge_index=edge_index)")
        for weight in self.weights:
            narrow = weight.shape[0] <= weight.shape[1]
            x = ((adjacency @ x) @ weight if narrow else adjacency @ (x @ weight)).relu()
        if self.cell is None:
            return x, state
        if state is not None:
            check_shapes(state, (tuple(x.shape),) * 2 if isinstance(self.cell, GraphLSTMCell) else tuple(x.shape))
        state = self.cell.step(self.cell.project(x, ()), state, ())
        return (state[0] if isinstance(state, tuple) else state), state

    def series(
        self, snapshots: Iterable[Data], state: Any = None, only_last: bool = False
    ) -> tuple[list[Tensor], Any]:
        """All snapshots, or with `only_last` the last one's output alone: a list of `[N, D]`, and the last state."""
        snapshots = list(snapshots)
        if only_last and self.cell is None:
            snapshots = snapshots[-1:]
        outputs, state = unroll_snapshots(self, snapshots, state)
        return outputs[-1:] if only_last else outputs, state
