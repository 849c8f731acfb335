"""Six questions about random graphs: one network, its aggregator exchanged."""

from structnet.models.multitask_network import AGGREGATORS, MultitaskNetwork
from structnet.systems.system import System
from structnet.tasks.multitask import Multitask
from structnet.training.settings import TrainSettings

# the paper: Adam 3e-3, weight decay 1e-6, batches of 512 graphs of one size, up to 10,000 epochs
RECIPE = TrainSettings(epochs=40, batch_size=64, lr=3e-3, weight_decay=1e-6, bucket=5, ema=0.999)

SYSTEMS = {name: System(Multitask, MultitaskNetwork, {"aggregator": name}, RECIPE) for name in AGGREGATORS}
