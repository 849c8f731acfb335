"""The published Sudoku network: one node a cell, one edge for each two cells that must differ."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from structnet.errors import StructureError
from structnet.models.recurrent_relational import Predictions, RecurrentRelationalNetwork
from structnet.structures.constraints import CELL, board_of, sudoku_constraints
from structnet.structures.neighbours import Neighbours


class RecurrentSudoku(nn.Module):
    """Palm, Paquet and Winther, "Recurrent Relational Networks", 2018, section 3.3, as in the authors' code: embeddings
    of digit, row and column (16 each), perceptrons of four layers of 96, 20 neighbours a cell, LSTM; 201,194
    parameters.

    Args:
        width: of everything but the embeddings.
        message_layers, update_layers: 4 as published; 2 and 0 are about eight times faster.
        rounds, gradient, l2: see `RecurrentRelationalNetwork`; the paper tests with 64 rounds.

    Shapes: puzzles int64 `[boards, 81]`, 0 = empty -> logits `[rounds kept, boards, 81, 10]`: digits 1 .. 9, and last
    the class "empty", which is never right but is in the authors' softmax.

    Raises:
        StructureError: boards that are not 9 x 9: row and column embeddings tie the weights to one size.
    """

    def __init__(
        self,
        width: int = 96,
        message_layers: int = 4,
        update_layers: int = 4,
        rounds: int = 32,
        gradient: int = 0,
        l2: float = 1e-4,
    ):
        super().__init__()
        self.digit, self.row, self.column = (nn.Embedding(count, 16) for count in (10, 9, 9))
        for table in (self.digit, self.row, self.column):
            nn.init.xavier_uniform_(table.weight)
        # the authors append a feature of zeros to every edge; its weights are part of the 201,194
        self.network = RecurrentRelationalNetwork(
            48, 10, width, 1, message_layers, update_layers=update_layers, rounds=rounds, gradient=gradient, l2=l2
        )

    @property
    def rounds(self) -> int:
        return self.network.rounds

    @rounds.setter
    def rounds(self, rounds: int) -> None:
        self.network.rounds = rounds

    def forward(self, puzzles: Tensor, state: tuple[Tensor, ...] | None = None) -> Predictions:
        boards, cells = puzzles.shape
        if cells != 81:
            raise StructureError("boards of 81 cells", f"{cells} cells", "a CandidateNetwork, which knows no size")
        at = torch.arange(81, device=puzzles.device).repeat(boards)
        x = torch.cat([self.digit(puzzles.flatten()), self.row(at // 9), self.column(at % 9)], 1)
        out = self.network(x, sudoku_edges(boards).to(x.device), node_attr=x.new_zeros(len(x), 1), state=state)
        logits = out.logits.unflatten(1, (boards, 81)).roll(-1, -1)  # class 0, empty, goes last
        return Predictions(logits, out.state)

    def auxiliary(self, output: Predictions) -> dict[str, Tensor]:
        return self.network.auxiliary(output)


@lru_cache(maxsize=8)
def sudoku_edges(boards: int) -> Neighbours:
    """Cells that share a row, a column or a box, on every board: 20 edges into each cell."""
    cells = torch.zeros(81, 81, dtype=torch.bool)
    for kind, index, _ in sudoku_constraints(board_of(81)).units:
        if kind != CELL:
            unit = index.view(81, 9)[:, 0]  # of the first digit: units of other digits are the same cells
            cells |= unit[:, None] == unit
    sender, target = (cells & ~torch.eye(81, dtype=torch.bool)).nonzero().t()
    offset = 81 * torch.arange(boards)[:, None]
    edge_index = torch.stack([(sender + offset).flatten(), (target + offset).flatten()])
    return Neighbours.from_edges(edge_index, 81 * boards)
