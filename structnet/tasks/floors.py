"""What needs no training, and must be beaten before anything is said of a trained model."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.structures.pair_history import PairHistory
from structnet.tasks.ranking import HistoryScores, PairScores


def edge_bank(history: PairHistory) -> PairScores:
    """Pairs seen before, at any time (Poursafaei et al. 2022, unlimited memory)."""
    return HistoryScores(history, torch.ones_like(history.age), torch.zeros(history.num_nodes))


def recency(history: PairHistory) -> PairScores:
    """Pairs by the last step they were seen in; the others tie below."""
    return HistoryScores(history, _last(history), torch.zeros(history.num_nodes))


def popularity(history: PairHistory) -> PairScores:
    """Targets by the events that reached them, ever."""
    return HistoryScores(history, torch.zeros_like(history.age), history.total)


def recent_popularity(history: PairHistory) -> PairScores:
    """Targets by the events that reached them in the last ten steps."""
    return HistoryScores(history, torch.zeros_like(history.age), history.recent)


def recency_popularity(history: PairHistory) -> PairScores:
    """Recency, and recent popularity between pairs last seen in the same step or never."""
    return HistoryScores(history, _last(history), history.recent / (history.recent.max() + 1))


LINK_FLOORS = {
    "EdgeBank": edge_bank,
    "recency": recency,
    "popularity": popularity,
    "popularity, last 10 steps": recent_popularity,
    "recency + popularity": recency_popularity,
}


def _last(history: PairHistory) -> Tensor:
    return history.age.max() + 1 - history.age if history.age.numel() else history.age


def autoregression(values: Tensor, lags: int, horizon: int, ridge: float = 1e-6) -> Tensor:
    """AR(p), one set of coefficients for all nodes and channels, by least squares, direct for each step ahead.

    Args:
        values: `[T, N, C]`, the training part.

    Returns `[lags + 1, horizon]`: coefficients, oldest lag first, and the constant.
    """
    windows = values.unfold(0, lags + horizon, 1).flatten(0, -2).double()  # [windows * N * C, lags + horizon]
    x = torch.cat([windows[:, :lags], torch.ones(len(windows), 1, dtype=torch.float64)], 1)
    gram = x.t() @ x + ridge * torch.eye(lags + 1, dtype=torch.float64)
    return torch.linalg.solve(gram, x.t() @ windows[:, lags:])


def forecast_floors(train: Tensor, inputs: Tensor, horizon: int) -> dict[str, Tensor]:
    """Forecasts `[..., horizon, C]` for `inputs` `[..., lags, C]`: the training mean, the last value, AR(p)."""
    lags = inputs.shape[-2]
    coefficients = autoregression(train, lags, horizon).to(inputs)
    shaped = torch.cat([inputs, torch.ones_like(inputs[..., :1, :])], -2)
    last = inputs[..., -1:, :]
    mean = train.mean((0, 1)).to(inputs).expand_as(last)
    return {
        "training mean": mean.expand(*last.shape[:-2], horizon, -1),
        "last value": last.expand(*last.shape[:-2], horizon, -1),
        f"AR({lags})": torch.einsum("...lc,lh->...hc", shaped, coefficients),
    }
