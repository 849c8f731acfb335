"""ListOps: one classifier on four trees, other learners of latent trees, and two baselines without structure."""

from dataclasses import replace

from structnet.models import (
    ArgumentTreeClassifier,
    BeamTreeClassifier,
    ContinuousRvNNClassifier,
    OrderedMemoryClassifier,
    ParallelTreeClassifier,
    RecursionInRecursionClassifier,
    SequenceClassifier,
    TreeClassifier,
)
from structnet.systems.system import System
from structnet.tasks.listops import ListOps
from structnet.training.settings import TrainSettings

# `grow` matters most: short lists show what an operator does (docs/decisions.md)
RECIPE = TrainSettings(epochs=12, batch_size=128, lr=2e-3, ema=0.999, grow=4)
# lists of few tokens say all there is to say about an operator, and are cheap
SHORT = replace(RECIPE, epochs=36, batch_size=512, lr=5e-3, grow=2, max_size=30, evaluate_every=500)

SYSTEMS = {
    "gold-tree": System(ListOps, TreeClassifier, {"builder": "gold", "dropout": 0.0}, RECIPE),
    "argument-tree": System(ListOps, ArgumentTreeClassifier, {}, SHORT, task_args={"nary": True}),
    "recurrent": System(ListOps, TreeClassifier, {"builder": "left", "dropout": 0.0}, RECIPE),
    "balanced-tree": System(ListOps, TreeClassifier, {"builder": "balanced", "dropout": 0.0}, RECIPE),
    "random-tree": System(ListOps, TreeClassifier, {"builder": "random", "dropout": 0.0}, RECIPE),
    "bt-cell": System(ListOps, BeamTreeClassifier, {"scorer": "parent"}, RECIPE),
    "ebt-cell": System(ListOps, BeamTreeClassifier, {"scorer": "children", "noise": "both"}, RECIPE),
    "one-soft": System(ListOps, BeamTreeClassifier, {"relaxation": "one_soft"}, RECIPE),
    "gumbel-tree": System(
        ListOps, BeamTreeClassifier, {"beam": 1, "relaxation": "straight_through", "noise": "within"}, RECIPE
    ),
    "rir": System(ListOps, RecursionInRecursionClassifier, {}, RECIPE),
    "parallel-tree": System(ListOps, ParallelTreeClassifier, {}, RECIPE),
    "ordered-memory": System(ListOps, OrderedMemoryClassifier, {}, RECIPE),
    "crvnn": System(ListOps, ContinuousRvNNClassifier, {}, RECIPE),
    "lstm": System(ListOps, SequenceClassifier, {"kind": "lstm"}, RECIPE),
    "transformer": System(ListOps, SequenceClassifier, {"kind": "transformer"}, RECIPE),
}
