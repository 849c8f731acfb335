"""Checkpoints that survive: written whole or not at all, checked when read, the last two kept.

A checkpoint is a folder `step-00001234`: `model.safetensors` (and `average.safetensors`), `state.pt` (optimiser, loaded
with `weights_only=True`) and `progress.json`, which holds the sha256 of the others and is therefore the seal.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from structnet.errors import StructureError

KEPT = 2


def write_whole(path: Path, data: bytes) -> None:
    """Temporary file, fsync, rename: the old file or the new one, never half of either."""
    temporary = path.with_name(path.name + ".part")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Weights as safetensors, with a digest of all tensors in the header."""
    temporary = path.with_name(path.name + ".part")
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    save_file(plain, temporary, metadata={"sha256": _digest(plain)})
    _sync(temporary)
    os.replace(temporary, path)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Weights written by `save_weights`. A file that is truncated or altered raises StructureError; one without a
    digest (written elsewhere) is taken as it is."""
    try:
        weights = load_file(path)
        with safe_open(path, "pt") as file:
            expected = (file.metadata() or {}).get("sha256")
    except SafetensorError as error:
        raise StructureError(f"weights in {path}", f"a damaged file ({error})", "another copy") from error
    if expected and expected != _digest(weights):
        raise StructureError(f"the weights that were saved in {path}", "altered ones", "another copy")
    return weights


def take_weights(model: nn.Module, weights: dict[str, Tensor]) -> tuple[list[str], list[str]]:
    """Give `model` the tensors it has in common with `weights`: those of the same name, or of the one name that ends
    alike (`encoder.cell.norm.bias` takes `cell.norm.bias`). Returns the names in the model that keep what they had, and
    the names in `weights` that nothing took. Two shapes under one name, or nothing in common, raise StructureError."""
    own, taken = model.state_dict(), {}
    for name, value in own.items():
        alike = [other for other in weights if f".{name}".endswith(f".{other}") or f".{other}".endswith(f".{name}")]
        source = name if name in weights else alike[0] if len(alike) == 1 else None
        if source is None:
            continue
        if weights[source].shape != value.shape:
            got = f"{source} {tuple(weights[source].shape)}"
            raise StructureError(f"{name} {tuple(value.shape)} to start from", got, "the model_args of that run")
        taken[name] = source
    if not taken:
        raise StructureError("weights with a name in common with the model", "none", "a run of a kindred model")
    model.load_state_dict({**own, **{name: weights[source] for name, source in taken.items()}})
    return [name for name in own if name not in taken], [name for name in weights if name not in taken.values()]


def _digest(weights: dict[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(f"{name} {tuple(weights[name].shape)} {weights[name].dtype}".encode())
        total.update(weights[name].reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def save(folder: Path, step: int, progress: dict[str, Any], weights: dict[str, dict[str, Tensor]], state: dict) -> None:
    """Write `folder/step-...`; older ones beyond the last two go when the new one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{step:08d}"
    building = folder / f".building-{step:08d}"
    for leftover in folder.glob(".building-*"):
        shutil.rmtree(leftover)
    building.mkdir()
    for name, tensors in weights.items():
        save_weights(building / f"{name}.safetensors", tensors)
    torch.save(state, building / "state.pt")
    _sync(building / "state.pt")
    seals = {path.name: _sha(path) for path in sorted(building.iterdir())}
    write_whole(building / "progress.json", json.dumps({**progress, "step": step, "sha256": seals}).encode())
    if target.exists():
        shutil.rmtree(target)
    os.replace(building, target)
    _sync(folder)
    for old in sorted(folder.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old)


def load_latest(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]], dict] | None:
    """The newest checkpoint that is intact: (progress, weights, state). A damaged one is named on stderr and the one
    before it used. None if there is no checkpoint at all; StructureError if there are only damaged ones."""
    found = sorted(folder.glob("step-*"), reverse=True)
    for path in found:
        try:
            return _read(path)
        except Exception as error:  # missing, truncated, altered: whatever the damage raises
            print(f"structnet: checkpoint {path} is damaged ({error}); trying the one before it", file=sys.stderr)
    if found:
        raise StructureError("an intact checkpoint", f"only damaged ones in {folder}", "training from the start")
    return None


def _read(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]], dict]:
    progress = json.loads((path / "progress.json").read_text())
    for name, seal in progress["sha256"].items():
        if _sha(path / name) != seal:
            raise ValueError(f"{name} does not match its sha256")
    weights = {file.stem: load_weights(file) for file in sorted(path.glob("*.safetensors"))}
    return progress, weights, torch.load(path / "state.pt", map_location="cpu", weights_only=True)


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
