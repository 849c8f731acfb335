"""The recipe: plain PyTorch, exact resume, one process or many under torchrun."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from structnet.tasks.task import Batch, Task
from structnet.training import checkpoint
from structnet.training.carry import Carry
from structnet.training.evaluate import evaluate
from structnet.training.guard import Diverged, first_bad_module
from structnet.training.muon import Muon
from structnet.training.record import Record
from structnet.training.sampler import epoch_batches, stream
from structnet.training.settings import TrainSettings

PRECISION = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
OPTIMIZERS: dict[str, Callable[[nn.Module, float, float], torch.optim.Optimizer]] = {
    "adamw": lambda model, lr, decay: torch.optim.AdamW(model.parameters(), lr, weight_decay=decay),
    "muon": Muon,
}
SPENT = "the minutes are spent"


class Trainer:
    """Fits `model` to `task` in the folder `run`; `fit()` starts, or goes on from the newest checkpoint.

    Everything random is a pure function of (seed, epoch, step), so n + m updates, and n, kill -9, resume, m give the
    same bits on one device. The best weights on the validation split, of equals the latest, are kept as
    `model.safetensors`.

    A model may have a method `auxiliary(output) -> dict[str, Tensor]`: losses that are added as they are and logged.
    """

    def __init__(self, model: nn.Module, task: Task, settings: TrainSettings, run: Path, quiet: bool = False):
        self.task, self.settings, self.run = task, settings, run
        self.rank, self.world = _join_processes()
        gpus = torch.cuda.device_count()
        self.device = torch.device("cuda", self.rank % gpus) if gpus else torch.device("cpu")
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.model = model.to(self.device)
        self.split = task.split(task.train)
        self.validation = task.split(task.validation)
        self.optimizer = OPTIMIZERS[settings.optimizer](model, settings.lr, settings.weight_decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.precision == "fp16")
        self.average = {name: p.detach().clone() for name, p in model.state_dict().items()} if settings.ema else None
        self.carry = Carry(model, task, settings.carry) if settings.carry else None
        self.per_epoch = len(epoch_batches(self.split.sizes, settings, 0))
        self.total = settings.steps or settings.epochs * self.per_epoch
        self.record = Record(run / "log.jsonl", active=self.rank == 0, tensorboard=settings.tensorboard)
        self.quiet = quiet or self.rank > 0
        self.step, self.stopping = 0, ""
        self.signal: signal.Signals | None = None  # noted by the handler, obeyed when all processes have agreed
        self.best, self.bad, self.scale = -math.inf, 0, 1.0  # best score, evaluations since, plateau factor

    def fit(self) -> dict[str, Any]:
        """Train to the end (or the budget, or a signal); returns the last validation result and the reason to stop."""
        resumed = self._resume()
        forward: Any = DistributedDataParallel(self.model) if self.world > 1 else self.model
        forward = torch.compile(forward) if self.settings.compile else forward
        self.record.write("resume" if resumed else "start", step=self.step, updates=self.total)
        last: dict[str, Any] = {}
        often = 0.1 if sys.stderr.isatty() else 10.0  # seconds between lines: a log file is not a screen
        bar = tqdm(total=self.total, initial=self.step, disable=self.quiet, unit="step", mininterval=often)
        with _on_signal(self), bar:
            while self.step < self.total and not self.stopping:
                epoch, first = divmod(self.step, self.per_epoch)
                for rows in epoch_batches(self.split.sizes, self.settings, epoch)[first:]:
                    self._update(forward, rows, bar)
                    self._agree_to_stop()
                    due = self.step % (self.settings.evaluate_every or self.per_epoch) == 0
                    if due or self.step == self.total or self.stopping == SPENT:
                        last = self._evaluate()
                    if due or self.step == self.total or self.stopping:  # after a signal there is no time to evaluate
                        self._save()
                    if self.stopping or self.step == self.total:
                        break
        reason = self.stopping or "all updates done"
        self.record.write("end", step=self.step, reason=reason, best=self.best)
        if self.world > 1:
            dist.barrier()  # a process that leaves while another still talks to it is killed on its way out
            dist.destroy_process_group()
        return {**last, "reason": reason}

    # one update ---------------------------------------------------------------------------------------------------

    def _update(self, forward: nn.Module, rows: Tensor, bar: tqdm) -> None:
        settings, lr = self.settings, self._rate()
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        total, losses = torch.zeros((), device=self.device), {}
        mine = rows[self.rank :: self.world]
        parts = self._parts(rows)
        for at, part in enumerate(parts):
            batch = self._batch(part, at)
            # DDP averages over processes: back to the mean over the batch
            share = len(part) * self.world / len(rows) if len(mine) else 0.0
            hold = forward.no_sync() if self.world > 1 and at + 1 < len(parts) else contextlib.nullcontext()  # type: ignore[operator]
            with hold:
                loss, losses = self._loss(forward, batch, at)
                self.scaler.scale(loss * share).backward()
            total += loss.detach() * share
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip_norm or math.inf)
        if self.world > 1:
            dist.all_reduce(total)
            total /= self.world
        # fp16: gradients overflow now and then, the scaler skips the update and halves its scale, down to 1
        overflow = self.scaler.is_enabled() and bool(total.isfinite()) and self.scaler.get_scale() > 1
        if not bool(torch.isfinite(total + norm)) and not overflow:
            self._not_finite(rows, total, norm)
        else:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self._blend()
        if self.step % settings.log_every == 0 or self.step == self.total:
            named = {name: round(float(value), 6) for name, value in losses.items()}
            self.record.write("update", step=self.step, loss=float(total), norm=float(norm), lr=lr, **named)
            bar.set_postfix(loss=f"{float(total):.3f}", best=f"{self.best:.4f}", refresh=False)
        bar.update()

    def _parts(self, rows: Tensor) -> tuple[Tensor, ...]:
        """What this process computes of a batch, in turn. One with nothing to do (a last batch smaller than the number
        of processes) takes the first row with share 0, so that it joins the exchange of gradients."""
        mine = rows[self.rank :: self.world]
        return mine.chunk(min(self.settings.accumulate, len(mine))) if len(mine) else (rows[:1],)

    def _batch(self, rows: Tensor, part: int) -> Batch:
        torch.manual_seed(stream(self.settings.seed, self.step, self.rank, part).initial_seed())  # dropout
        generator = stream(self.settings.seed + 1, self.step, self.rank, part)  # augmentation
        return self.split.batch(rows, generator).to(self.device)

    def _loss(self, forward: nn.Module, batch: Batch, part: int) -> tuple[Tensor, dict[str, Tensor]]:
        with self._autocast():
            batch = self.carry.mix(part, batch) if self.carry else batch
            output = forward(*batch.inputs)
            loss = self.task.loss(output, batch)
            extra = self.model.auxiliary(output) if hasattr(self.model, "auxiliary") else {}  # type: ignore[operator]
        if self.carry:
            self.carry.keep(part, batch, output)
        return loss + sum(extra.values()), {name: value.detach() for name, value in extra.items()}

    def _autocast(self) -> torch.autocast:
        low = PRECISION[self.settings.precision]
        return torch.autocast(self.device.type, low, enabled=low is not None)

    def _rate(self) -> float:
        settings, warm = self.settings, max(1, round(self.settings.warmup * self.total))
        if self.step < warm:
            return settings.lr * (self.step + 1) / warm
        if settings.schedule == "cosine":
            done = (self.step - warm) / max(1, self.total - warm)
            return settings.lr * (settings.final_lr + (1 - settings.final_lr) * (1 + math.cos(math.pi * done)) / 2)
        return settings.lr * self.scale

    def _blend(self) -> None:
        if self.average is not None:
            decay = min(self.settings.ema, (1 + self.step) / (10 + self.step))
            for name, value in self.model.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - decay)
                else:
                    self.average[name].copy_(value)

    def _not_finite(self, rows: Tensor, loss: Tensor, norm: Tensor) -> None:
        batches = (self._batch(part, at) for at, part in enumerate(self._parts(rows)))  # the same draws again
        with self._autocast():
            where = first_bad_module(self.model, batches)
        self.record.write("not_finite", step=self.step, module=where, rows=rows.tolist(), seed=self.settings.seed)
        text = (
            f"expected a finite loss and gradient; got loss {float(loss)}, norm {float(norm)} at step {self.step} in "
            f"{where}, rows {rows[:8].tolist()}..., seed {self.settings.seed}; try a lower lr or on_nan=skip"
        )
        if self.settings.on_nan == "stop":
            raise Diverged(text)
        tqdm.write(f"skipped: {text}")

    # evaluation and checkpoints -----------------------------------------------------------------------------------

    def _evaluate(self) -> dict[str, Any]:
        with _weights(self.model, self.average):
            result = evaluate(self.model, self.task, self.validation, self.settings.evaluate_rows, self.device)
            headline = float(next(iter(result.values())))
            if headline >= self.best and self.rank == 0:  # of equals the later: more updates, a lower rate
                checkpoint.save_weights(self.run / "model.safetensors", self.model.state_dict())
        if headline > self.best:
            self.best, self.bad = headline, 0
        else:
            self.bad += 1
            if self.settings.schedule == "plateau" and self.bad % self.settings.plateau_patience == 0:
                self.scale /= 2
        figures = {name: value for name, value in result.items() if name != "by"}
        self.record.write("evaluate", step=self.step, split=self.validation.name, **figures)
        if self.settings.patience and self.bad >= self.settings.patience:
            self.stopping = f"no gain in {self.bad} evaluations"
        return result

    def _save(self) -> None:
        if self.rank:
            return
        wall, cpu = self.record.seconds()
        progress = {"best": self.best, "bad": self.bad, "scale": self.scale, "wall": wall, "cpu": cpu,
                    "log": self.record.position}  # fmt: skip
        weights = {"model": self.model.state_dict(), **({"average": self.average} if self.average else {})}
        state = {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict(),
                 "carry": self.carry.places if self.carry else {}}  # fmt: skip
        checkpoint.save(self.run / "checkpoints", self.step, progress, weights, state)

    def _resume(self) -> bool:
        found = checkpoint.load_latest(self.run / "checkpoints")
        if found is None:
            self.record.rewind(0)
            return False
        progress, weights, state = found
        self.model.load_state_dict(weights["model"])
        if self.average is not None:
            self.average = {name: tensor.to(self.device) for name, tensor in weights["average"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.carry:
            self.carry.places = state["carry"]
        self.step, self.best, self.bad = progress["step"], progress["best"], progress["bad"]
        self.scale = progress["scale"]
        self.record.rewind(progress["log"], progress.get("wall", 0.0), progress.get("cpu", 0.0))
        return True

    def _agree_to_stop(self) -> None:
        """All processes stop after the same update and for the same reason, or none does."""
        spent = bool(self.settings.max_minutes) and self.record.seconds()[0] > 60 * self.settings.max_minutes
        flags = torch.tensor([float(self.signal or 0), float(spent)], device=self.device)
        if self.world > 1:
            dist.all_reduce(flags, dist.ReduceOp.MAX)
        if flags[0]:
            self.stopping = f"signal {signal.Signals(int(flags[0])).name}"
        elif flags[1]:
            self.stopping = SPENT


@contextlib.contextmanager
def _weights(model: nn.Module, average: dict[str, Tensor] | None):
    """The averaged weights inside, the trained ones outside."""
    if average is None:
        yield
        return
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(average)
    try:
        yield
    finally:
        model.load_state_dict(kept)


@contextlib.contextmanager
def _on_signal(trainer: Trainer):
    """SIGTERM and Ctrl-C: finish the update, write a checkpoint, stop."""

    def stop(number, frame) -> None:
        trainer.signal = signal.Signals(number)

    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _join_processes() -> tuple[int, int]:
    """Rank and number of processes under torchrun; (0, 1) otherwise."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return (dist.get_rank(), world) if world > 1 else (0, 1)
