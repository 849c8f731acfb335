"""`python -m bench.gpu`: test the kernels on a GPU, then time them with CUDA events beside installed peers."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
from torch import Tensor

from bench.registry import Form, tests_pass
from bench.segment import BYTES, ROWS, WIDTH, lengths
from structnet.kernels import segment_reduce, segment_scan
from structnet.structures import Segments
from structnet.training.record import commit

SHAPES = ("log-normal", "power-law", "one giant", "many tiny")


def forms(segments: Segments) -> dict[str, tuple[int, dict[str, Form]]]:
    """Case -> (compulsory bytes, ours first and then the peers)."""
    gate, x = torch.rand(ROWS, WIDTH, device="cuda"), torch.randn(ROWS, WIDTH, device="cuda")
    index = segments.index
    wide = index[:, None].expand_as(x)

    def zeros() -> Tensor:
        return x.new_zeros(len(segments), WIDTH)

    scans: dict[str, Form] = {"structnet": lambda: segment_scan(gate, x, segments)}
    try:
        from fla.ops.hgrn import fused_recurrent_hgrn
    except ImportError:
        pass
    else:
        log_gate = gate.log()[None]
        scans["fla fused_recurrent_hgrn"] = lambda: fused_recurrent_hgrn(x[None], log_gate, cu_seqlens=segments.ptr)
    leaves = [gate.clone().requires_grad_(), x.clone().requires_grad_()]
    out = segment_scan(leaves[0], leaves[1], segments)
    return {
        "scan": (3 * BYTES, scans),
        "scan-backward": (5 * BYTES, {"structnet": lambda: torch.autograd.grad(out, leaves, x, retain_graph=True)}),
        "sum": (BYTES, {
            "structnet": lambda: segment_reduce(x, segments),
            "torch index_add_": lambda: zeros().index_add_(0, index, x),
            "torch.segment_reduce": lambda: torch.segment_reduce(x, "sum", lengths=segments.lengths),
        }),
        "max": (BYTES, {
            "structnet": lambda: segment_reduce(x, segments, "max"),
            "torch scatter_reduce": lambda: zeros().scatter_reduce_(0, wide, x, "amax", include_self=False),
        }),
        "softmax": (2 * BYTES, {"structnet": lambda: segment_reduce(x, segments, "softmax")}),
    }  # fmt: skip


def milliseconds(calls: dict[str, Callable], repeats: int) -> dict[str, list[float]]:
    """Interleaved, by CUDA events; the first two rounds (compilation, warm-up) are dropped."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 2):
        for name, call in calls.items():
            start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            call()
            stop.record()
            torch.cuda.synchronize()
            times[name].append(start.elapsed_time(stop))
    return {name: values[2:] for name, values in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("expected a CUDA device; got none; try python -m bench for the CPU")
    if not tests_pass("tests/kernels/test_triton.py"):
        print("tests are red, nothing is measured")
        return 1
    machine, rows = torch.cuda.get_device_name(), []
    for shape in SHAPES:
        segments = lengths(shape).to("cuda")
        for case, (traffic, calls) in forms(segments).items():
            source = torch.empty(traffic // 8, device="cuda")  # read and written: the same traffic as the op
            times = milliseconds({**calls, "copy of as many bytes": source.clone}, options.repeats)
            copy = statistics.median(times["copy of as many bytes"])
            for form, values in times.items():
                figure = statistics.median(values)
                share = 100 * copy / figure
                print(f"{case + ' ' + shape:28}{form:28}{figure:9.3f} ms  {share:6.1f} % of copy bandwidth")
                rows.append({"case": f"{case}/{shape}", "form": form, "median_ms": figure, "min_ms": min(values),
                             "max_ms": max(values), "machine": machine, "commit": commit(), "seed": 0,
                             "torch": torch.__version__})  # fmt: skip
    path = Path(__file__).parent / "results" / f"{date.today()}-gpu.jsonl"
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
