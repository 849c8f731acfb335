"""Questions about sets: the published learners, and the monoid that knows the answer's shape."""

from dataclasses import replace

from structnet.models.set_model import SetModel
from structnet.systems.system import System
from structnet.tasks.sets import Sets
from structnet.training.settings import TrainSettings

# the paper: Adam, lr 1e-4, batch 32, 1,000 epochs; this recipe takes minutes and hours less
RECIPE = TrainSettings(epochs=20, batch_size=128, lr=1e-3, weight_decay=0.0, ema=0.999)
# sums are learned from single elements first
SUMS = replace(RECIPE, epochs=8, lr=2e-3, grow=5)

SYSTEMS = {
    "lcm": System(Sets, SetModel, {"aggregator": "lcm"}, RECIPE),
    "lcm-assoc": System(Sets, SetModel, {"aggregator": "lcm", "associativity": 1.0}, RECIPE),
    "lcm-random": System(Sets, SetModel, {"aggregator": "lcm_random"}, RECIPE),
    "gru": System(Sets, SetModel, {"aggregator": "gru"}, RECIPE),
    "affine": System(Sets, SetModel, {"aggregator": "affine"}, RECIPE),
    "max": System(Sets, SetModel, {"aggregator": "max"}, RECIPE),
    "sum": System(Sets, SetModel, {"aggregator": "sum"}, RECIPE),
    "top-k": System(Sets, SetModel, {"aggregator": "top_k"}, RECIPE),
    "top-rows": System(Sets, SetModel, {"aggregator": "top_rows", "width": 64}, replace(RECIPE, epochs=6, lr=3e-3)),
    "xor": System(Sets, SetModel, {"aggregator": "modular", "size": 2}, SUMS, {"question": "xor"}),
    "sum-mod-7": System(
        Sets, SetModel, {"aggregator": "phase", "size": 7, "width": 24}, replace(SUMS, lr=1e-2),
        {"question": "sum_mod_7"}),
    "finite-mod-3": System(Sets, SetModel, {"aggregator": "finite", "size": 3}, SUMS, {"question": "sum_mod_3"}),
}
