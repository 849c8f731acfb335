"""Beam-tree encoders beside the naive form: batch 8, width 128, beam 5, forward and backward of a whole classifier, one
thread. `python -m bench.beam` prints peak memory as well, one process per figure.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from bench.registry import Case, measure
from structnet.models import BeamTreeClassifier
from structnet.structures import Segments

BATCH, WIDTH, BEAM = 8, 128, 5
TESTS = "tests/models/test_beam_tree.py"


def naive(model: BeamTreeClassifier, tokens: Tensor, length: int) -> Tensor:
    """The published order of work, vectorised: every pair of every beam is scored (and unless the scorer reads children
    also composed) at every step, states move with the beams, gradients go through all of it."""
    encoder, rows = model.encoder, torch.arange(BATCH)[:, None]
    nodes = model.leaves(tokens).view(BATCH, 1, length, WIDTH)
    total = nodes.new_zeros(BATCH, 1)
    for size in range(length - 1, 0, -1):
        left, right = nodes[:, :, :-1], nodes[:, :, 1:]
        if encoder.lazy:
            scores = encoder.scorer(left.reshape(-1, WIDTH), right.reshape(-1, WIDTH)).view(left.shape[:3])
        else:
            parents = encoder.cell(left, right)
            scores = encoder.scorer(parents.reshape(-1, WIDTH)).view(left.shape[:3])
        places = scores.topk(min(size, BEAM), -1).indices
        candidates = (total[..., None] + scores.log_softmax(-1).gather(-1, places)).flatten(1)
        total, chosen = candidates.topk(min(candidates.shape[1], BEAM), -1)
        beam, place = chosen // places.shape[2], places.flatten(1).gather(1, chosen)
        nodes = nodes[rows, beam]
        pick = torch.arange(nodes.shape[1])
        merged = (
            encoder.cell(nodes[rows, pick, place], nodes[rows, pick, place + 1])
            if encoder.lazy
            else parents[rows, beam, place]
        )
        at = torch.arange(size)
        shifted = torch.where((at < place[..., None])[..., None], nodes[:, :, :-1], nodes[:, :, 1:])
        nodes = torch.where((at == place[..., None])[..., None], merged[:, :, None], shifted)
    return model.head((total.softmax(-1)[..., None] * nodes[:, :, 0]).sum(1))


def case(kind: str, length: int) -> Case:
    torch.manual_seed(0)
    settings = {"BT-GRC": {}, "EBT-GRC": {"scorer": "children"}, "OneSoft": {"relaxation": "one_soft"}}[kind]
    model = BeamTreeClassifier(width=WIDTH, beam=BEAM, dropout=0.0, **settings)
    tokens = torch.randint(0, 15, (BATCH * length,))
    segments = Segments.from_lengths(torch.full((BATCH,), length))

    def step(forward) -> Tensor:
        model.zero_grad()
        out = forward()
        out.logsumexp(-1).mean().backward()
        return out.detach()

    forms = {"structnet": lambda: step(lambda: model(tokens, segments))}
    if kind != "OneSoft":
        forms["naive"] = lambda: step(lambda: naive(model, tokens, length))

    def check() -> None:
        ours, theirs = forms["structnet"](), forms.get("naive", forms["structnet"])()
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)

    return Case(forms, check, items=BATCH, note=f"{kind}, {length} tokens, batch {BATCH}, width {WIDTH}, beam {BEAM}")


for _kind in ("BT-GRC", "EBT-GRC", "OneSoft"):
    for _length in (50, 100):
        measure(f"beam/{_kind}-{_length}", TESTS, repeats=3)(lambda kind=_kind, n=_length: case(kind, n))


def peak_memory(kind: str, length: int, form: str) -> tuple[float, float]:
    """CPU seconds and MiB above the resident size before, of one cold step."""
    run = case(kind, length).forms[form]
    Path("/proc/self/clear_refs").write_text("5")
    before, cpu = resident("VmRSS"), time.process_time()
    run()
    return time.process_time() - cpu, resident("VmHWM") - before


def resident(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    seconds, mebibytes = peak_memory(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    print(f"{' '.join(sys.argv[1:])}: {seconds:.3f} s CPU (one cold step), {mebibytes:.0f} MiB extra")
