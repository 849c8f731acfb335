"""Exact cover: one network, the aggregator of its units as the argument that is swapped."""

from structnet.models.constraint_network import AGGREGATORS, ConstraintNetwork
from structnet.systems.system import System
from structnet.tasks.exact_cover import ExactCover
from structnet.training.settings import TrainSettings

RECIPE = TrainSettings(epochs=10, batch_size=32, lr=3e-3, weight_decay=1e-3, ema=0.99, bucket=1)

SYSTEMS = {
    name: System(ExactCover, ConstraintNetwork, {"aggregator": name, "width": 24, "hidden": 48}, RECIPE)
    for name in AGGREGATORS
}
