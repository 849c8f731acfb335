"""Beam-tree encoders beside the naive form: batch 8, width 128, beam 5, forward and backward of a whole classifier, one
thread.

`python -m bench --only beam` times warm steps; `python -m bench.beam` runs one cold step per process for the table of
costs (CPU seconds, memory, cell rows against the bound), ours and the naive form in turn, and keeps it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import torch
from torch import Tensor

from bench.registry import Case, measure
from structnet.models import BeamTreeClassifier, BeamTreeEncoder
from structnet.structures import Segments
from structnet.training.record import commit, machine

BATCH, WIDTH, BEAM = 8, 128, 5
KINDS, LENGTHS = ("BT-GRC", "EBT-GRC", "OneSoft"), (50, 100, 200, 1000)
# of the table: ours, and the naive form as far as it takes seconds and single gigabytes
LONGEST = {"BT-GRC": (1000, 100), "EBT-GRC": (1000, 200), "OneSoft": (200, 100)}
TESTS = "tests/models/test_beam_tree.py"


def naive(model: BeamTreeClassifier, tokens: Tensor, length: int) -> Tensor:
    """The published order of work, vectorised: every pair of every beam is scored (and unless the scorer reads children
    also composed) at every step, states move with the beams, gradients go through all of it."""
    encoder, rows = model.encoder, torch.arange(BATCH)[:, None]
    nodes = model.leaves(tokens).view(BATCH, 1, length, WIDTH)
    total = nodes.new_zeros(BATCH, 1)
    for size in range(length - 1, 0, -1):
        left, right = nodes[:, :, :-1], nodes[:, :, 1:]
        parents = left if encoder.lazy else encoder.cell(left, right)
        read = (left.reshape(-1, WIDTH), right.reshape(-1, WIDTH)) if encoder.lazy else (parents.reshape(-1, WIDTH),)
        scores = encoder.scorer(*read).view(left.shape[:3])
        places = scores.topk(min(size, BEAM), -1).indices
        candidates = (total[..., None] + scores.log_softmax(-1).gather(-1, places)).flatten(1)
        if encoder.relaxation == "one_soft" and candidates.shape[1] > BEAM:
            nodes, total = soften(nodes, parents, places, candidates)
            continue
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


def soften(nodes: Tensor, parents: Tensor, places: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """OneSoft as published: states, parents and selections are copied for all candidates, then mixed by a matrix whose
    rows are one-hot for the K - 1 best and a softmax over the rest."""
    order = candidates.detach().argsort(-1, descending=True)
    best, rest = order[:, : BEAM - 1], order[:, BEAM - 1 :]
    hard = torch.nn.functional.one_hot(best, candidates.shape[1]).to(candidates.dtype)
    soft = torch.zeros_like(candidates).scatter(1, rest, candidates.gather(1, rest).softmax(-1))
    mix = torch.cat([hard, soft[:, None]], 1)
    select = torch.nn.functional.one_hot(places, parents.shape[2]).to(parents.dtype).flatten(1, 2)
    copies = places.shape[2]
    nodes = torch.einsum("skc,scnd->sknd", mix, nodes.repeat_interleave(copies, 1))
    parents = torch.einsum("skc,scnd->sknd", mix, parents.repeat_interleave(copies, 1))
    here = (mix @ select)[..., None]
    behind = here.cumsum(2)
    moved = here * parents + (1 - behind) * nodes[:, :, :-1] + (behind - here) * nodes[:, :, 1:]
    return moved, (mix * candidates[:, None]).sum(-1)


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

    forms = {
        "structnet": lambda: step(lambda: model(tokens, segments)),
        "naive": lambda: step(lambda: naive(model, tokens, length)),
    }

    def check() -> None:
        torch.testing.assert_close(*(form() for form in forms.values()), rtol=1e-3, atol=1e-3)

    return Case(forms, check, items=BATCH, note=f"{kind}, {length} tokens, batch {BATCH}, width {WIDTH}, beam {BEAM}")


for _kind in KINDS:
    for _length in (50, 100):
        measure(f"beam/{_kind}-{_length}", TESTS, repeats=3)(lambda kind=_kind, n=_length: case(kind, n))


def cold_step(kind: str, length: int, form: str) -> dict[str, float]:
    """CPU seconds and MiB above the resident size before, of one cold step, and cell rows of a sample."""
    step = case(kind, length).forms[form]
    Path("/proc/self/clear_refs").write_text("5")
    before, cpu = resident("VmRSS"), time.process_time()
    step()
    figures = {"seconds": time.process_time() - cpu, "mib": resident("VmHWM") - before}
    if kind != "OneSoft" and form == "structnet":
        figures["rows"] = counted_rows(kind, length)
        figures["bound"] = BEAM * (length - 1) if kind == "EBT-GRC" else length + 2 * BEAM * (length - 1)
    return figures


def counted_rows(kind: str, length: int) -> float:
    """Cell rows per sample of a search, counted at the cell (the replay composes nothing)."""
    torch.manual_seed(0)
    encoder = BeamTreeEncoder(WIDTH, BEAM, "children" if kind == "EBT-GRC" else "parent")
    rows: list[int] = []
    encoder.cell.inner.register_forward_hook(lambda _, args, out: rows.append(len(out)))
    x = torch.randn(BATCH * length, WIDTH)
    encoder(x, Segments.from_lengths(torch.full((BATCH,), length))).sum().backward()
    return sum(rows) / BATCH


def resident(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def main() -> None:
    """The table: one process per figure, forms in turn."""
    lines = []
    for kind, length, form in (
        (kind, length, form) for kind in KINDS for length in LENGTHS for form in ("structnet", "naive")
    ):
        if length > LONGEST[kind][form == "naive"]:
            continue
        command = [sys.executable, "-m", "bench.beam", kind, str(length), form]
        figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(kind, length, form, {name: round(value, 2) for name, value in figures.items()}, flush=True)
        lines.append({"case": f"beam/cold-{kind}-{length}", "form": form, "batch": BATCH, "width": WIDTH, "beam": BEAM,
                      "threads": 1, "seed": 0, **figures, "commit": commit(), "machine": machine()})  # fmt: skip
    path = Path(__file__).parent / "results" / f"{date.today()}-beam.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) == 4:
        print(json.dumps(cold_step(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
    else:
        main()
