"""Sudoku: the candidate network, and the published network on cells."""

from structnet.models.candidate_network import CandidateNetwork
from structnet.models.recurrent_sudoku import RecurrentSudoku
from structnet.systems.system import System
from structnet.tasks.sudoku import Sudoku
from structnet.training.settings import TrainSettings

# the second of the steps in docs/sudoku.md
RECIPE = TrainSettings(steps=7_000, batch_size=48, lr=1.5e-3, weight_decay=1e-3, ema=0.999, bucket=1, carry=16,
                       evaluate_every=1_000, evaluate_rows=1_000)  # fmt: skip
SIZE = {"width": 48, "hidden": 96, "train_rounds": 8, "noise": 0.3}

# Palm et al., 2018: Adam 2e-4, 64 on each of four GPUs, until stopped by hand; weight decay is the model's l2
PUBLISHED = TrainSettings(epochs=1_000, batch_size=256, lr=2e-4, weight_decay=0.0, schedule="constant", warmup=0.0,
                          clip_norm=0.0, bucket=1)  # fmt: skip

SYSTEMS = {
    "candidate": System(Sudoku, CandidateNetwork, SIZE, RECIPE),
    "rrn": System(Sudoku, RecurrentSudoku, {}, PUBLISHED),
}
