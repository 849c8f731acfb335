"""Logical inference: beam-tree encoders of both formulas."""

from structnet.models import PairClassifier
from structnet.systems.system import System
from structnet.tasks.logic import Logic
from structnet.training.settings import TrainSettings

RECIPE = TrainSettings(epochs=10, batch_size=128, lr=1e-3, clip_norm=1.0)

SYSTEMS = {
    "bt-cell": System(Logic, PairClassifier, {"scorer": "parent"}, RECIPE),
    "ebt-cell": System(Logic, PairClassifier, {"scorer": "children", "noise": "both"}, RECIPE),
    "one-soft": System(Logic, PairClassifier, {"relaxation": "one_soft"}, RECIPE),
}
