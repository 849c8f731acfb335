"""The recipe: settings, loop, checkpoints, record. Models and tasks come as arguments."""

from structnet.training.evaluate import evaluate as evaluate
from structnet.training.guard import Diverged as Diverged
from structnet.training.loop import Trainer as Trainer
from structnet.training.settings import TrainSettings as TrainSettings
