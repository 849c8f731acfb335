"""The log of a run: one JSON line per event, on disk before the run goes on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import torch


class Record:
    """Appends events to `log.jsonl`. `position` is the file's length; `rewind` cuts it back to one, after a crash."""

    def __init__(self, path: Path, active: bool = True):
        self.path, self.active, self.start = path, active, time.time()

    def write(self, event: str, **fields: Any) -> None:
        if not self.active:
            return
        line = json.dumps({"event": event, **fields, "time": round(time.time() - self.start, 2)})
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    @property
    def position(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def rewind(self, position: int) -> None:
        if self.active and self.path.exists():
            os.truncate(self.path, position)


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
    from structnet import __version__

    here = Path(__file__).parent
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True)
    except OSError:
        return __version__
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else __version__
