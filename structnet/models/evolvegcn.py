"""Graph convolutions whose weights are moved through time by a recurrent network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from structnet.cells.graph_filters import graph_operators, normalised_adjacency
from structnet.cells.matrix_recurrent import MatrixGRU, MatrixLSTM
from structnet.errors import StructureError
from structnet.structures import Segments
from structnet.unroll import check_shapes, layer_states, shapes

ACTIVATIONS = {"relu": nn.ReLU, "rrelu": nn.RReLU, "tanh": nn.Tanh, "identity": nn.Identity}
RECURRENCES = {"lstm": MatrixLSTM, "gru": MatrixGRU}


class EvolveGCN(nn.Module):
    """Pareja et al., "EvolveGCN: Evolving Graph Convolutional Networks for Dynamic Graphs", AAAI 2020.

        -H:  W_t = GRU(summarize(H_t, k)^T, W_{t-1})      -O:  W_t = LSTM(W_{t-1})      (sections 3.2, 3.3)
        H'_t = activation(A^_t H_t W_t),  A^ = D~^-1/2 (A + I) D~^-1/2

    Weights move before the convolution of their snapshot.

    Args:
        in_channels, hidden, num_layers: F, D and the number of layers, F -> D -> ... -> D.
        variant: "H" or "O".
        recurrence: of -O: "lstm" (the paper) or "gru" (the authors' code: its input is its state). -H is a GRU.
        direction: what a recurrent vector is: "columns" of W (paper, authors) or "rows" (-H: equal widths).
        bias: "matrix" (paper, authors) or "vector", the same for all recurrent vectors.
        activation, last_activation: "relu", "rrelu", "tanh" or "identity".
        skip: adds H_t W_skip of the model's input to its output (Weber et al. 2019; not in the paper).
        mask: -H summarises only nodes with an edge in the snapshot (authors' code).

    Call it with one snapshot, `out, state = model(data, state)`, or `series` with a list of them. Node sets may change
    completely. A snapshot that is a PyG `Batch` of B graphs is B series: each has its own weights, `[B, F, D]`. The
    state is one entry per layer, the evolved weights (with the LSTM's memory); `state=None` starts from the learned
    W_0. `authors()` is the released code's reading.

    A snapshot without nodes gives `[0, D]`. -H with fewer than k nodes to choose from repeats the last one chosen (as
    the authors' mask does; their code fails for k > N); with none it reads zeros.

    Raises:
        StructureError: options, channels, states or batch sizes that do not fit; a degree of A + I that has no root.

    Cost of T snapshots: T weight updates of D x D work, and T sparse and T dense products, per layer.

    Differs from the paper in the mask (`mask=False` is the paper), and from the authors' code in -O, which there owns a
    vector p that nothing reads.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        variant: str = "O",
        num_layers: int = 2,
        recurrence: str = "lstm",
        direction: str = "columns",
        bias: str = "matrix",
        activation: str = "relu",
        last_activation: str = "identity",
        skip: bool = False,
        mask: bool = True,
    ):
        super().__init__()
        _known("variant", variant, ("H", "O"))
        _known("recurrence", recurrence, RECURRENCES)
        _known("activation", activation, ACTIVATIONS)
        _known("last_activation", last_activation, ACTIVATIONS)
        self.layers = nn.ModuleList(
            EvolvingConvolution(
                in_channels if layer == 0 else hidden,
                hidden,
                variant,
                recurrence,
                direction,
                bias,
                last_activation if layer == num_layers - 1 else activation,
                mask,
            )
            for layer in range(num_layers)
        )
        self.skip = nn.Linear(in_channels, hidden, bias=False) if skip else None

    @classmethod
    def authors(cls, in_channels: int, hidden: int, variant: str = "O", num_layers: int = 2) -> EvolveGCN:
        """As released: -O with a GRU, RReLU after every layer (there also evaluated in training mode, at random)."""
        return cls(in_channels, hidden, variant, num_layers, "gru", activation="rrelu", last_activation="rrelu")

    def forward(self, data: Data, state: Any = None) -> tuple[Tensor, tuple]:
        outputs, state = self.series([data], state)
        return outputs[0], state

    def series(self, snapshots: Iterable[Data], state: Any = None, only_last: bool = False) -> tuple[list[Tensor], Any]:
        """All snapshots, layer by layer. Returns a list of `[N_t, D]` and the last state. With `only_last` the list has
        the last snapshot's output alone; -O, whose weights read no rows, then convolves no other."""
        snapshots = list(snapshots)
        if not snapshots:
            return [], state
        inputs = rows = [_features(data) for data in snapshots]
        steps = _steps(snapshots)
        last = []
        for layer, now in zip(self.layers, layer_states(state, len(self.layers))):
            rows, now = layer(rows, steps, now, only_last)
            last.append(now)
        rows = rows[-1:] if only_last else rows
        if self.skip is not None:
            rows = [out + self.skip(x) for out, x in zip(rows, inputs[-len(rows) :])]
        return rows, tuple(last)

    def trajectory(self, snapshots: Iterable[Data], state: Any = None) -> list[Tensor]:
        """The weights that each layer used at each snapshot, `[T, B, F, D]` per layer."""
        used = []
        for data in snapshots:
            _, state = self(data, state)
            used.append([layer.used(now) for layer, now in zip(self.layers, state)])  # type: ignore[operator]
        return [torch.stack(steps) for steps in zip(*used)]


class EvolvingConvolution(nn.Module):
    """One layer (EGCU): the weights of all snapshots first, then their convolutions."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        variant: str,
        recurrence: str,
        direction: str,
        bias: str,
        activation: str,
        mask: bool,
    ):
        super().__init__()
        _known("direction", direction, ("columns", "rows"))
        if variant == "H" and direction == "rows" and in_channels != out_channels:
            raise StructureError(
                "equal widths for -H by rows", f"{in_channels} -> {out_channels}", 'direction="columns"'
            )
        self.columns, self.mask = direction == "columns", mask
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels))
        self.score = nn.Parameter(torch.empty(in_channels)) if variant == "H" else None
        shape = (in_channels, out_channels) if self.columns else (out_channels, in_channels)
        self.recurrence = (MatrixGRU if variant == "H" else RECURRENCES[recurrence])(*shape, bias)
        self.activation = ACTIVATIONS[activation]()
        nn.init.uniform_(self.weight, -(out_channels**-0.5), out_channels**-0.5)
        if self.score is not None:
            nn.init.uniform_(self.score, -(in_channels**-0.5), in_channels**-0.5)

    def forward(
        self, rows: list[Tensor], steps: list[_Step], state: Any, only_last: bool = False
    ) -> tuple[list[Tensor], Any]:
        for x in rows:
            if x.shape[-1] != self.weight.shape[0]:
                raise StructureError(f"{self.weight.shape[0]} channels", f"{x.shape[-1]}", "in_channels=x.shape[-1]")
        weights, state = self.evolve(rows, steps, state)
        if only_last and self.score is None:  # -H's next layer summarises every snapshot
            rows, steps, weights = rows[-1:], steps[-1:], weights[-1:]
        # one snapshot at a time: its rows stay in the cache, and no gradient goes to outputs that nobody reads
        return [self.activation(step.convolve(x, weight)) for step, x, weight in zip(steps, rows, weights)], state

    def evolve(self, rows: list[Tensor], steps: list[_Step], state: Any) -> tuple[list[Tensor], Any]:
        """The weights of every snapshot, each `[B, F, D]`, and the last state."""
        start = self.recurrence.start(self.weight.expand(len(steps[0].sizes), -1, -1).transpose(*self._axes))
        state = start if state is None else state
        check_shapes(state, shapes(start))
        weights = []
        for at, step in enumerate(steps):
            given = None
            if self.score is not None:
                chosen = step.linked if self.mask else None
                given = summarize(rows[at], self.score, self.weight.shape[1], step.groups, chosen).transpose(1, 2)
            state = self.recurrence(given, state)
            weights.append(self.used(state))
        return weights, state

    def used(self, state: Any) -> Tensor:
        """The weights `[B, F, D]` of the snapshot that left this state."""
        return self.recurrence.output(state).transpose(*self._axes)

    @property
    def _axes(self) -> tuple[int, int]:
        return (1, 1) if self.columns else (1, 2)


def summarize(x: Tensor, score: Tensor, k: int, groups: Segments, rows: Tensor | None = None) -> Tensor:
    """The k best rows of every segment, scaled by their scores (section 3.3): y = X p / |p|, Z = [X . tanh(y)]_top-k.

    Args:
        x: `[N, F]`; score: p `[F]`; groups: S segments of rows; rows: bool `[N]`, the rows that may be chosen.

    Returns `[S, k, F]`, best first, equal scores in order of rows. Fewer than k: the last is repeated; none: zeros.
    """
    index = groups.index
    if rows is not None:
        x, index = x[rows], index[rows]
    order = (x.detach() @ score.detach()).argsort(descending=True, stable=True)  # chosen rows alone need a gradient
    if groups.num_segments > 1:
        order = order[index[order].argsort(stable=True)]
    counts = torch.bincount(index, minlength=groups.num_segments)
    if x.shape[0] == 0:
        return x.new_zeros(groups.num_segments, k, x.shape[1])
    rank = torch.arange(k, device=x.device).minimum((counts - 1).clamp(min=0).unsqueeze(1))
    chosen = order[((counts.cumsum(0) - counts).unsqueeze(1) + rank).clamp(max=order.numel() - 1)]
    best = torch.where((counts > 0).view(-1, 1, 1), x[chosen], 0)  # with none, `chosen` points into a neighbour
    return best * (best @ (score / score.norm())).tanh().unsqueeze(-1)


class _Step:
    """Index work of one snapshot: its operator, and one segment of rows per series."""

    def __init__(self, data: Data):
        self.adjacency = graph_operators(normalised_adjacency, data)[0]
        nodes, device = self.adjacency.num_nodes, self.adjacency.matrix.device
        self.groups = Segments(data.ptr if "ptr" in data else torch.tensor([0, nodes], device=device))
        self.sizes, self.edges = self.groups.lengths.tolist(), data.edge_index

    @cached_property
    def linked(self) -> Tensor:
        """Rows with an edge in this snapshot, bool `[N]`."""
        linked = torch.zeros(self.adjacency.num_nodes, dtype=torch.bool, device=self.groups.device)
        linked[self.edges.flatten()] = True  # type: ignore[union-attr]
        return linked

    def convolve(self, x: Tensor, weights: Tensor) -> Tensor:
        """A^ x W, W of each series. The sparse product on the narrower side; of fixed x it needs no backward."""
        if x.shape[1] <= weights.shape[2]:
            return self.grouped(self.adjacency @ x, weights)
        return self.adjacency @ self.grouped(x, weights)

    def grouped(self, x: Tensor, weights: Tensor) -> Tensor:
        """Rows of series s times `weights[s]`: one batched product for equal sizes, else one product each."""
        if len(self.sizes) == 1:
            return x @ weights[0]
        if len(set(self.sizes)) == 1:
            return (x.unflatten(0, (len(self.sizes), self.sizes[0])) @ weights).flatten(0, 1)
        return torch.cat([rows @ weight for rows, weight in zip(x.split(self.sizes), weights)])


def _steps(snapshots: Sequence[Data]) -> list[_Step]:
    steps = [_Step(data) for data in snapshots]
    series = len(steps[0].sizes)
    for at, step in enumerate(steps):
        if len(step.sizes) != series:
            got = f"{len(step.sizes)} in snapshot {at}"
            raise StructureError(f"{series} graphs in every snapshot", got, "an empty graph where one is absent")
    return steps


def _features(data: Data) -> Tensor:
    if data.x is None:
        raise StructureError("data.x of [N, F]", "no x", "Data(x=x, edge_index=edge_index)")
    return data.x


def _known(name: str, value: Any, choices: Any) -> None:
    if value not in choices:
        raise StructureError(f"{name} out of {', '.join(choices)}", repr(value), f"{name}={next(iter(choices))!r}")
