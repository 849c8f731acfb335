"""An encoder reads frames on a graph, a forecaster without input draws the frames to come."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from structnet.cells.graph_filters import ChebyshevFilter
from structnet.cells.graph_recurrent import GraphLSTMCell


class EncoderForecaster(nn.Module):
    """The moving-digits network of Seo et al. 2018 (section 5.1): two graph LSTM cells of model 2 and a linear output.

    Args:
        channels: values of a node in a frame (16: patches of 4 x 4 pixels).
        hidden: H.
        order: K of the Chebyshev filter.
        horizon: number of frames to draw.
        forget: added to the biases of the forget gates at the start (Jozefowicz et al. 2015): what the first frame
            showed must last for 2 T steps, and f = 0.5 halves it in each. 0 as published.
        ground: the biases of the readout at the start, the log-odds of a pixel nobody knows anything about. From 0 the
            states learn first to be a constant of that size, and stay there for hundreds of updates.

    Shapes: x `[N, ..., T, F]` on a graph -> logits of the next frames `[N, ..., horizon, F]`.

    With 16 channels and hidden 256 it has K * 540,672 + 7,696 parameters: all six rows of the paper's table (1,629,712
    for K = 3). The forecaster starts from the encoder's state and its cell has no input term; the paper does not print
    its architecture, the counts do.
    """

    def __init__(
        self,
        channels: int = 16,
        hidden: int = 256,
        order: int = 7,
        horizon: int = 10,
        forget: float = 2.0,
        ground: float = 0.0,
    ):
        super().__init__()
        self.horizon, self.filter = horizon, ChebyshevFilter(order)
        self.encoder = GraphLSTMCell(channels, hidden, self.filter)
        self.forecaster = GraphLSTMCell(0, hidden, self.filter)
        self.readout = nn.Linear(hidden, channels)
        with torch.no_grad():
            for cell in (self.encoder, self.forecaster):
                cell.bias[hidden : 2 * hidden] += forget
            self.readout.bias.add_(ground)

    def forward(self, data: Data) -> Tensor:
        assert data.x is not None
        operators = self.filter.operators(data)
        state: Any = None
        for projected in self.encoder.project(data.x, operators).unbind(-2):
            state = self.encoder.step(projected, state, operators)
        projected = self.forecaster.bias.expand(*state[0].shape[:-1], -1)
        frames = []
        for _ in range(self.horizon):
            state = self.forecaster.step(projected, state, operators)
            frames.append(state[0])
        return self.readout(torch.stack(frames, -2))
