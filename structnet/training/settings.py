"""The settings of a run: few, frozen, saved beside the weights."""

from __future__ import annotations

from dataclasses import dataclass

from structnet.errors import StructureError

CHOICES = {
    "optimizer": ("adamw", "muon"),  # as in `OPTIMIZERS` of loop.py
    "schedule": ("cosine", "plateau", "constant"),
    "precision": ("float32", "bf16", "fp16"),
    "on_nan": ("stop", "skip"),
}
LEAST = {"epochs": 1, "batch_size": 1, "accumulate": 1, "bucket": 1, "log_every": 1, "plateau_patience": 1,
         "epoch_rows": 0, "steps": 0, "lr": 0, "weight_decay": 0, "ema": 0, "carry": 0}  # fmt: skip


@dataclass(frozen=True)
class TrainSettings:
    """How a model is trained.

    Attributes:
        epochs: passes over the training split.
        epoch_rows: an epoch is this many rows drawn from the split, instead of all; 0 for all.
        steps: updates in all, instead of `epochs`; 0 to go by epochs.
        batch_size: samples per update, over all processes.
        accumulate: parts that a batch is cut into to save memory; the update is the same.
        optimizer: "adamw", or "muon" (`training/muon.py`), which takes matrices in orthogonal steps of the same size.
        lr, weight_decay: of the optimiser.
        schedule: "cosine" to `final_lr`, "plateau" (halved after `plateau_patience` evaluations without gain), or
            "constant"; each after a linear warm-up.
        warmup: share of all updates.
        final_lr: share of `lr` at the end of the cosine.
        clip_norm: largest gradient norm, 0 for none.
        ema: decay of the weight average that is evaluated and shipped, 0 for none.
        bucket: this many batches are drawn together, sorted by sample size, cut and shuffled; 1 for none.
        grow: in this many first epochs sizes are limited, by half, a quarter, ... of the largest, and drawn evenly.
        max_size: leave out larger training samples; 0 for none.
        precision: "float32", or autocast to "bf16" or "fp16".
        seed: of weights, order, dropout and augmentation.
        evaluate_every: updates between evaluations (and checkpoints), 0 for once an epoch.
        evaluate_rows: rows of the validation split to use, 0 for all.
        patience: stop after this many evaluations without gain, 0 for never.
        max_minutes: stop after this many minutes of wall time, 0 for never.
        on_nan: "stop", or "skip" the update, when a loss or gradient is not finite; reported either way.
        log_every: updates between lines of the log.
        tensorboard: write the numbers of the log for TensorBoard as well (the extra of that name).
        compile: torch.compile the model.
        carry: a sample stays for at most this many updates, each going on from the state of the one before
            (`training/carry.py`); 0 for fresh samples at every update.
        threads: torch threads, 0 for torch's own choice.
    """

    epochs: int = 10
    epoch_rows: int = 0
    steps: int = 0
    batch_size: int = 128
    accumulate: int = 1
    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 1e-2
    schedule: str = "cosine"
    warmup: float = 0.02
    final_lr: float = 0.01
    plateau_patience: int = 2
    clip_norm: float = 1.0
    ema: float = 0.0
    bucket: int = 5
    grow: int = 0
    max_size: int = 0
    precision: str = "float32"
    seed: int = 0
    evaluate_every: int = 0
    evaluate_rows: int = 0
    patience: int = 0
    max_minutes: float = 0.0
    on_nan: str = "stop"
    log_every: int = 20
    tensorboard: bool = False
    compile: bool = False
    carry: int = 0
    threads: int = 0

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise StructureError(f"{name} out of {', '.join(choices)}", repr(getattr(self, name)), choices[0])
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise StructureError(f"{name} >= {least}", str(getattr(self, name)), f"{name}={least}")
