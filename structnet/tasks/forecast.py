"""Forecasting the signals of nodes: a few steps are read, the next ones asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch as Graphs
from torch_geometric.data import Data

from structnet.datasets.temporal import signals
from structnet.datasets.temporal.files import read_table
from structnet.datasets.temporal.signals import NodeSignal
from structnet.errors import StructureError
from structnet.structures.snapshots import Snapshots
from structnet.tasks.floors import forecast_floors
from structnet.tasks.task import Batch

# loader, shares of the windows that train and (with these) validate, whether values are scaled by the training part
DATA = {
    "chickenpox": (signals.chickenpox, 0.8, 0.1, False),
    "england": (signals.england_covid, 0.7, 0.1, False),
    "metr-la": (signals.metr_la_week, 0.7, 0.1, True),
    "covid": (signals.covid_by_country, 0.7, 0.1, True),
    "tennis": (signals.twitter_tennis, 0.7, 0.1, False),
}


@dataclass(frozen=True, eq=False)
class Series:
    """A signal in the units of the model, and back: value = scaled * scale + shift."""

    signal: NodeSignal
    scaled: Tensor
    shift: Tensor
    scale: Tensor


class ForecastSplit:
    """Windows of `lags` steps and the `horizon` steps after them; one sample is one window of all nodes."""

    def __init__(self, name: str, series: Series, lags: int, horizon: int, first: int, end: int):
        self.name, self.series, self.lags, self.horizon, self.first = name, series, lags, horizon, first
        self.sizes = torch.full((max(end - first, 0),), lags * series.scaled.shape[1])

    def __len__(self) -> int:
        return len(self.sizes)

    def windows(self, rows: Tensor) -> Tensor:
        """`[B, lags + horizon, N, C]`."""
        steps = self.first + rows[:, None] + torch.arange(self.lags + self.horizon)
        return self.series.scaled[steps]

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        values = self.windows(rows)
        read, asked = values[:, : self.lags], values[:, self.lags :]
        graphs = self.series.signal.graphs
        if len(graphs) == 1:
            x = read.permute(2, 0, 1, 3).contiguous()
            given: Any = Data(x=x, edge_index=graphs[0].edge_index, edge_weight=graphs[0].edge_weight)
        else:
            given = Snapshots(self._side_by_side(rows, step, read[:, step]) for step in range(self.lags))
        return Batch((given,), asked.transpose(1, 2).contiguous(), len(rows))

    def _side_by_side(self, rows: Tensor, step: int, x: Tensor) -> Data:
        graphs = [self.series.signal.graph(self.first + int(row) + step) for row in rows]
        plain = [Data(edge_index=g.edge_index, edge_weight=g.edge_weight, num_nodes=g.num_nodes) for g in graphs]
        data = Graphs.from_data_list(plain)  # type: ignore[arg-type]
        return data.update({"x": x.flatten(0, 1)})  # type: ignore[return-value]


class Forecast:
    """Windows in the order of time: train, validation, test (0.8, 0.1, 0.1 of them for chickenpox, 0.7, 0.1, 0.2 else).

    Args:
        data: a name in `DATA`. `folder`: where its files are.
        lags, horizon: steps read and asked.

    Scores: `skill` = 1 - MSE / MSE of the training mean (what an untrained readout learns first: 0 is nothing), `mse`
    in the model's units, and `mae`, `rmse` in those of the data, over all steps ahead and for single ones. `floors`
    fits AR(p) on all windows before the split.
    """

    name = "forecast"
    train, validation = "train", "validation"
    splits: tuple[str, ...] = ("validation", "test")
    in_range: frozenset[str] = frozenset()
    chance = 0.0

    def __init__(self, data: str = "chickenpox", folder: str = "", lags: int = 4, horizon: int = 1):
        if data not in DATA:
            raise StructureError(f"data out of {', '.join(DATA)}", repr(data), 'data="chickenpox"')
        self.data, self.folder, self.lags, self.horizon = data, folder, lags, horizon

    def series(self) -> Series:
        return _series(self.data, self.folder)

    def borders(self) -> dict[str, tuple[int, int]]:
        """First and end window of each split."""
        _, train, validation, _ = DATA[self.data]
        count = len(self.series().signal) - self.lags - self.horizon + 1
        first, second = int(train * count), int((train + validation) * count + 1e-9)
        return {"train": (0, first), "validation": (first, second), "test": (second, count)}

    def split(self, name: str) -> ForecastSplit:
        borders = self.borders()
        if name not in borders:
            raise StructureError(f"one of {', '.join(borders)}", repr(name), 'split("test")')
        return ForecastSplit(name, self.series(), self.lags, self.horizon, *borders[name])

    def from_file(self, path: str | Path) -> ForecastSplit:
        """A table of the same nodes, a step a line, numbers with commas between, in the units of the data."""
        own = self.series()
        nodes = own.scaled.shape[1]
        values = torch.from_numpy(read_table(Path(path), nodes, ",")).float().unsqueeze(-1)
        signal = NodeSignal(values, own.signal.graphs[:1])
        series = Series(signal, (values - own.shift) / own.scale, own.shift, own.scale)
        return ForecastSplit(str(path), series, self.lags, self.horizon, 0, len(values) - self.lags - self.horizon + 1)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return (by_window(output, batch.target) - batch.target).square().mean()

    def score(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        target, series = batch.target, self.series()
        error = by_window(output, target) - target  # [B, N, horizon, C]
        raw = error * series.scale.to(error)
        train = series.scaled[: self.borders()["train"][1] + self.lags]
        mean = (train.mean((0, 1)).to(target) - target).square().flatten(1).mean(1)
        scores = {"skill": -error.square().flatten(1).mean(1), "base": mean, "mae": raw.abs().flatten(1).mean(1),
                  "rmse": raw.square().flatten(1).mean(1)}  # fmt: skip
        for ahead in _shown(self.horizon):
            step = raw[:, :, ahead - 1].flatten(1)
            scores |= {f"mae@{ahead}": step.abs().mean(1), f"rmse@{ahead}": step.square().mean(1)}
        return scores

    def summary(self, scores: dict[str, Tensor], keys: dict[str, Tensor]) -> dict[str, float]:
        mean = {name: float(value.double().mean()) for name, value in scores.items()}
        figures = {"skill": 1 + mean["skill"] / mean["base"], "mse": -mean["skill"]}
        errors = {name: value**0.5 if name.startswith("rmse") else value for name, value in mean.items()}
        return figures | {name: value for name, value in errors.items() if name not in ("skill", "base")}

    def floors(self, split: str) -> dict[str, dict[str, float]]:
        part, found = self.split(split), {}
        before = self.series().scaled[: part.first + self.lags]
        rows = torch.arange(len(part))
        values = part.windows(rows)
        read = values[:, : self.lags].transpose(1, 2)
        batch = Batch((), values[:, self.lags :].transpose(1, 2), len(part))
        for name, said in forecast_floors(before, read, self.horizon).items():
            found[name] = self.summary(self.score(said.transpose(0, 1), batch), {})
        return found


def by_window(output: Tensor, target: Tensor) -> Tensor:
    """`[N, B, ...]` (one graph) or `[B * N, ...]` (a graph per step) as `[B, N, ...]`, like the target."""
    if output.dim() == target.dim():
        return output.transpose(0, 1)
    return output.view_as(target)


def _shown(horizon: int) -> list[int]:
    return list(range(1, horizon + 1)) if horizon <= 3 else [horizon // 4, horizon // 2, horizon]


@cache
def _series(name: str, folder: str) -> Series:
    load, train, _, scaling = DATA[name]
    signal = load(folder)
    known = signal.values[: int(train * len(signal))]
    shift = known.mean((0, 1)) if scaling else torch.zeros(known.shape[-1])
    scale = known.std((0, 1)) if scaling else torch.ones(known.shape[-1])
    return Series(signal, (signal.values - shift) / scale, shift, scale)
