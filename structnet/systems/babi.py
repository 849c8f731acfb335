"""bAbI: the recurrent relational network on sentences."""

from dataclasses import replace

from structnet.models.story_network import StoryNetwork
from structnet.systems.system import System
from structnet.tasks.babi import Babi
from structnet.training.settings import TrainSettings

# the paper: Adam 2e-4, batches of 160 on each of four GPUs, a day; weight decay is the model's l2
PUBLISHED = TrainSettings(epochs=500, batch_size=640, lr=2e-4, weight_decay=0.0, schedule="constant", warmup=0.0,
                          clip_norm=0.0, bucket=1)  # fmt: skip
# minutes of one core: messages of two layers (nothing but additions on the edges), [m, x] straight into the LSTM, and
# what makes the comparison of sentences easy to learn
SMALL = {"width": 64, "message_layers": 2, "update_layers": 0, "encoder_layers": 2, "readout_layers": 2, "rounds": 3,
         "l2": 0.0, "norm": True, "order": True}  # fmt: skip
RECIPE = replace(PUBLISHED, epochs=6, batch_size=64, lr=2e-3, schedule="cosine", warmup=0.02, clip_norm=1.0, ema=0.999,
                 evaluate_every=2_000, evaluate_rows=4_000)  # fmt: skip

SYSTEMS = {
    "rrn": System(Babi, StoryNetwork, SMALL, RECIPE),
    "rrn-published": System(Babi, StoryNetwork, {}, PUBLISHED),
    "one-step": System(Babi, StoryNetwork, {**SMALL, "rounds": 1}, RECIPE),
}
