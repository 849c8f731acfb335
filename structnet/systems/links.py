"""Dynamic link prediction: EvolveGCN and its plain rivals as published, and a model that knows history."""

from __future__ import annotations

from structnet.models.link_predictor import LinkPredictor
from structnet.systems.system import System
from structnet.tasks.links import Links
from structnet.training.settings import TrainSettings

# columns of the one-hot degree of each data set: the largest degree of all its steps and one
WIDTH = {"uci": 350, "otc": 147, "alpha": 107}
# the released settings: lr, hidden, decoder, weight of the true class, false pairs per true one
TUNED = {
    ("uci", "evolvegcn-h"): (0.001, 100, 100, 0.9, 50),
    ("uci", "evolvegcn-o"): (0.001, 100, 100, 0.9, 50),
    ("otc", "evolvegcn-h"): (0.005, 33, 400, 0.95, 100),
    ("otc", "evolvegcn-o"): (0.01, 100, 400, 0.95, 100),
    ("alpha", "evolvegcn-h"): (0.005, 50, 100, 0.9, 100),
    ("alpha", "evolvegcn-o"): (0.005, 100, 400, 0.95, 100),
}
LIKE = {"gcn-gru": "evolvegcn-o", "gcn": "evolvegcn-o", "evolvegcn-o-lstm": "evolvegcn-o"}  # not published: -O's


def _system(data: str, encoder: str) -> System:
    lr, hidden, decoder, weight, negatives = TUNED[data, LIKE.get(encoder, encoder)]
    model = {"in_channels": WIDTH[data], "hidden": hidden, "encoder": encoder, "decoder_hidden": decoder}
    task = {"data": data, "weight": weight, "negatives": negatives}
    settings = TrainSettings(epochs=50, batch_size=1, bucket=1, lr=lr, weight_decay=0.0, schedule="constant",
                             clip_norm=0.0, patience=50, warmup=0.0)  # fmt: skip
    return System(Links, LinkPredictor, model, settings, task)


def _recency(data: str) -> System:
    model = {"in_channels": WIDTH[data], "hidden": 16, "encoder": "gcn-gru", "decoder_hidden": 16, "history": True}
    settings = TrainSettings(epochs=8, batch_size=1, bucket=1, lr=1e-2, weight_decay=0.1)
    return System(Links, LinkPredictor, model, settings, {"data": data, "loss": "softmax"})


ENCODERS = ("evolvegcn-o", "evolvegcn-h", "gcn-gru", "gcn", "evolvegcn-o-lstm")
SYSTEMS = {f"{encoder}-{data}": _system(data, encoder) for data in WIDTH for encoder in ENCODERS}
SYSTEMS |= {f"recency-{data}": _recency(data) for data in WIDTH}
