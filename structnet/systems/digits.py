"""Moving digits: the published network at several K, without a graph, and a graph network without recurrence."""

from structnet.models.encoder_forecaster import EncoderForecaster
from structnet.models.forecaster import Forecaster
from structnet.systems.system import System
from structnet.tasks.digits import MovingDigits
from structnet.training.settings import TrainSettings

RECIPE = TrainSettings(epochs=20, batch_size=16, bucket=1, lr=3e-3, weight_decay=0.0)

GROUND = -3.0  # log-odds of the mean pixel

ORDERS = {**{f"gcrn-k{k}": k for k in (3, 5, 7, 9)}, "lstm": 1}  # 1: every patch by itself
SYSTEMS = {
    name: System(MovingDigits, EncoderForecaster, {"order": order, "ground": GROUND}, RECIPE)
    for name, order in ORDERS.items()
}
SYSTEMS["gcn"] = System(
    MovingDigits,
    Forecaster,
    {"channels": 16, "lags": 10, "horizon": 10, "hidden": 256, "encoder": "gcn", "order": 3, "ground": GROUND},
    RECIPE,
)
