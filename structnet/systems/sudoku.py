"""Sudoku: the candidate network."""

from structnet.models.candidate_network import CandidateNetwork
from structnet.systems.system import System
from structnet.tasks.sudoku import Sudoku
from structnet.training.settings import TrainSettings

RECIPE = TrainSettings(
    epochs=4, batch_size=64, lr=3e-3, weight_decay=1e-3, ema=0.999, bucket=1, evaluate_every=300, evaluate_rows=250
)

SYSTEMS = {"candidate": System(Sudoku, CandidateNetwork, {"warm_rounds": 48, "noise": 0.1}, RECIPE)}
