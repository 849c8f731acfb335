"""ListOps: one classifier on four trees, and two baselines without structure."""

from structnet.models import BeamTreeClassifier, SequenceClassifier, TreeClassifier
from structnet.systems.system import System
from structnet.tasks.listops import ListOps
from structnet.training.settings import TrainSettings

RECIPE = TrainSettings(epochs=10, batch_size=128, lr=2e-3, clip_norm=1.0)

SYSTEMS = {
    "gold-tree": System(ListOps, TreeClassifier, {"builder": "gold"}, RECIPE),
    "recurrent": System(ListOps, TreeClassifier, {"builder": "left"}, RECIPE),
    "balanced-tree": System(ListOps, TreeClassifier, {"builder": "balanced"}, RECIPE),
    "random-tree": System(ListOps, TreeClassifier, {"builder": "random"}, RECIPE),
    "bt-cell": System(ListOps, BeamTreeClassifier, {"scorer": "parent"}, RECIPE),
    "ebt-cell": System(ListOps, BeamTreeClassifier, {"scorer": "children", "noise": "both"}, RECIPE),
    "lstm": System(ListOps, SequenceClassifier, {"kind": "lstm"}, RECIPE),
    "transformer": System(ListOps, SequenceClassifier, {"kind": "transformer"}, RECIPE),
}
