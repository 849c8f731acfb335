"""Pretty-CLEVR: four rounds, one round, none."""

from dataclasses import replace

from structnet.datasets.pretty_clevr import OBJECTS
from structnet.models.recurrent_relational import RecurrentRelationalNetwork
from structnet.models.scene_network import FlatNetwork
from structnet.systems.system import System
from structnet.tasks.pretty_clevr import CHANNELS, PrettyClevr
from structnet.training.settings import TrainSettings

# the paper: perceptrons of one hidden layer of 128, no LSTM, four rounds, dropout 0.5 before the answer, Adam 1e-4,
# batches of 128, no weight decay
RRN = {"in_channels": CHANNELS, "out_channels": 2 * OBJECTS, "width": 128, "edge_channels": 1, "message_layers": 2,
       "update": "perceptron", "update_layers": 2, "encoder_layers": 2, "readout_layers": 2, "dropout": 0.5,
       "graph_level": True, "rounds": 4}  # fmt: skip
MLP = {"in_channels": CHANNELS, "out_channels": 2 * OBJECTS, "objects": OBJECTS, "edges": OBJECTS * (OBJECTS - 1),
       "shared": 3 * OBJECTS}  # fmt: skip
PUBLISHED = TrainSettings(epochs=20, batch_size=128, lr=1e-4, weight_decay=0.0, schedule="constant", warmup=0.0,
                          clip_norm=0.0, bucket=1, evaluate_every=5_000, evaluate_rows=10_000)  # fmt: skip
# minutes of one core: larger steps that become small, no dropout (questions do not run out)
RECIPE = replace(PUBLISHED, steps=8_000, lr=1e-3, schedule="cosine", warmup=0.02, clip_norm=1.0, evaluate_every=2_000,
                 evaluate_rows=4_000, ema=0.999)  # fmt: skip
SCENES = {"scenes": 20_000}

SYSTEMS = {
    "rrn": System(PrettyClevr, RecurrentRelationalNetwork, {**RRN, "dropout": 0.0}, RECIPE, SCENES),
    "one-step": System(PrettyClevr, RecurrentRelationalNetwork, {**RRN, "dropout": 0.0, "rounds": 1}, RECIPE, SCENES),
    "mlp": System(PrettyClevr, FlatNetwork, {**MLP, "dropout": 0.0}, RECIPE, SCENES),
    "rrn-published": System(PrettyClevr, RecurrentRelationalNetwork, RRN, PUBLISHED),
    "one-step-published": System(PrettyClevr, RecurrentRelationalNetwork, {**RRN, "rounds": 1}, PUBLISHED),
    "mlp-published": System(PrettyClevr, FlatNetwork, MLP, PUBLISHED),
}
