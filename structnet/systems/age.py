"""Age arithmetic: the recurrent relational network on facts."""

from structnet.datasets.age import AGES
from structnet.models.recurrent_relational import RecurrentRelationalNetwork
from structnet.systems.system import System
from structnet.tasks.age import CHANNELS, Age
from structnet.training.settings import TrainSettings

RRN = {"in_channels": CHANNELS, "out_channels": AGES, "width": 128, "message_layers": 2, "update_layers": 0,
       "encoder_layers": 2, "readout_layers": 3, "graph_level": True, "rounds": 8}  # fmt: skip
RECIPE = TrainSettings(steps=6_000, batch_size=64, lr=1e-3, weight_decay=0.0, bucket=1, ema=0.999, evaluate_every=1_000)

SYSTEMS = {
    "rrn": System(Age, RecurrentRelationalNetwork, RRN, RECIPE),
    "one-step": System(Age, RecurrentRelationalNetwork, {**RRN, "rounds": 1}, RECIPE),
    "rrn-published": System(Age, RecurrentRelationalNetwork,
                            {**RRN, "message_layers": 4, "update_layers": 4, "encoder_layers": 4, "l2": 1e-4}, RECIPE),
}  # fmt: skip
