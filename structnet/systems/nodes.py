"""Illicit transactions, with the released settings of Pareja et al. 2020."""

from structnet.models.node_classifier import NodeClassifier
from structnet.systems.system import System
from structnet.tasks.node_classes import NodeClasses
from structnet.training.settings import TrainSettings

RECIPE = TrainSettings(
    epochs=100, batch_size=1, bucket=1, lr=1e-3, weight_decay=0.0, schedule="constant", clip_norm=0.0
)

SYSTEMS = {
    "evolvegcn-o": System(
        NodeClasses, NodeClassifier, {"hidden": 256, "decoder_hidden": 307}, RECIPE, {"weight": 0.65}
    ),
    "evolvegcn-h": System(
        NodeClasses,
        NodeClassifier,
        {"encoder": "evolvegcn-h", "hidden": 76, "decoder_hidden": 510},
        RECIPE,
        {"weight": 0.75},
    ),
    "gcn": System(NodeClasses, NodeClassifier, {"encoder": "gcn"}, RECIPE),
}
