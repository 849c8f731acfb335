"""Sort-of-CLEVR from state: a Relation Network, a recurrent one, and no relations."""

from structnet.datasets.sort_of_clevr import ANSWERS, OBJECTS
from structnet.models.recurrent_relational import RecurrentRelationalNetwork
from structnet.models.relation_network import RelationNetwork
from structnet.models.scene_network import FlatNetwork
from structnet.systems.system import System
from structnet.tasks.sort_of_clevr import CHANNELS, SortOfClevr
from structnet.training.settings import TrainSettings

SIZES = {"in_channels": CHANNELS, "out_channels": len(ANSWERS)}
# the paper: Adam 2.5e-4, batches of 64; g four layers of 256, f 256, 256 (dropout 0.5). Here minutes of one core:
# two layers of g, no dropout
PUBLISHED = TrainSettings(epochs=20, batch_size=64, lr=2.5e-4, weight_decay=0.0, schedule="constant", warmup=0.0,
                          clip_norm=0.0, bucket=1)  # fmt: skip
RECIPE = TrainSettings(epochs=4, batch_size=128, lr=2e-3, weight_decay=1e-3, bucket=1, ema=0.999)
RRN = {**SIZES, "width": 64, "message_layers": 2, "update_layers": 0, "encoder_layers": 2, "readout_layers": 3,
       "graph_level": True, "rounds": 2}  # fmt: skip

SYSTEMS = {
    "rn": System(SortOfClevr, RelationNetwork, {**SIZES, "hidden": 128, "layers": 2, "dropout": 0.0}, RECIPE),
    "rrn": System(SortOfClevr, RecurrentRelationalNetwork, RRN, RECIPE),
    "mlp": System(SortOfClevr, FlatNetwork, {**SIZES, "objects": OBJECTS, "shared": 11, "dropout": 0.0}, RECIPE),
    "rn-published": System(SortOfClevr, RelationNetwork, SIZES, PUBLISHED),
}
