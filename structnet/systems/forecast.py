"""Forecasts on graphs: GCRN beside an LSTM without a graph, a graph network without recurrence, and EvolveGCN."""

from structnet.models.forecaster import Forecaster
from structnet.systems.system import System
from structnet.tasks.forecast import Forecast
from structnet.training.settings import TrainSettings

RECIPE = TrainSettings(epochs=30, batch_size=16, bucket=1, lr=1e-2, weight_decay=1e-3)
ENCODERS = ("gcrn-lstm", "gcrn-gru", "gcrn-1", "diffusion-gru", "lstm", "gru", "gcn", "evolvegcn-h", "evolvegcn-o")
METR_LA = {"channels": 1, "lags": 12, "horizon": 12, "order": 3}

SYSTEMS = {name: System(Forecast, Forecaster, {"encoder": name}, RECIPE) for name in ENCODERS}
SYSTEMS |= {
    f"{name}-metr-la": System(
        Forecast, Forecaster, {"encoder": name, **METR_LA}, RECIPE, {"data": "metr-la", "lags": 12, "horizon": 12}
    )
    for name in ("gcrn-gru", "diffusion-gru", "gru", "gcn")
}
