"""The next word, with and without the graph of words."""

from structnet.models.word_model import WordModel
from structnet.systems.system import System
from structnet.tasks.words import Words
from structnet.training.settings import TrainSettings

SAMPLE = 1354  # words of the text that ships
RECIPE = TrainSettings(epochs=10, batch_size=20, bucket=1, lr=3e-3, clip_norm=5.0)

SYSTEMS = {
    "gcrn-1": System(Words, WordModel, {"words": SAMPLE, "hidden": 64, "dropout": 0.5}, RECIPE),
    "gcrn-1-alone": System(Words, WordModel, {"words": SAMPLE, "hidden": 64, "append": False, "dropout": 0.5}, RECIPE),
    "lstm": System(Words, WordModel, {"words": SAMPLE, "hidden": 64, "order": 1, "dropout": 0.5}, RECIPE),
}
