"""The log of a run: one JSON line per event, on disk before the run goes on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from structnet.errors import StructureError


class Record:
    """Appends events to `log.jsonl`, each with the seconds of wall and CPU time so far.

    `position` is the file's length; `rewind` cuts it back to one, after a crash. With `tensorboard` the numbers also go
    to a folder of that name.
    """

    def __init__(self, path: Path, active: bool = True, tensorboard: bool = False):
        self.path, self.active = path, active
        self.start, self.cpu = time.monotonic(), time.process_time()
        self.board = _board(path.parent / "tensorboard") if tensorboard and active else None

    def write(self, event: str, **fields: Any) -> None:
        if not self.active:
            return
        wall, cpu = self.seconds()
        line = json.dumps({"event": event, **fields, "time": round(wall, 2), "cpu": round(cpu, 2)})
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        if self.board is not None:
            for name, value in fields.items():
                if isinstance(value, float):
                    self.board.add_scalar(f"{event}/{name}", value, fields["step"])
            self.board.flush()

    def seconds(self) -> tuple[float, float]:
        """Wall and CPU seconds of the run so far."""
        return time.monotonic() - self.start, time.process_time() - self.cpu

    @property
    def position(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def rewind(self, position: int, wall: float = 0.0, cpu: float = 0.0) -> None:
        """Back to where a checkpoint was written, `wall` and `cpu` seconds into the run."""
        self.start, self.cpu = time.monotonic() - wall, time.process_time() - cpu
        if self.active and self.path.exists():
            os.truncate(self.path, position)


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise StructureError("tensorboard installed", str(error), "pip install structnet[tensorboard]") from error
    return SummaryWriter(folder)


def read_log(path: Path) -> list[dict[str, Any]]:
    """All events; an unfinished last line (a crash while writing) is left out."""
    events = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return events


def machine() -> dict[str, Any]:
    """What a result depends on besides code and seed."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        name = models[0] if models else name
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cpu": name, "cores": os.cpu_count(), "gpu": gpu, "torch": torch.__version__,
            "python": platform.python_version(), "threads": torch.get_num_threads()}  # fmt: skip


def commit() -> str:
    """The commit of the checkout that the code runs from, or the version of the package."""
    here = Path(__file__).parent
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True)
    except OSError:
        return version("structnet")
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else version("structnet")
