"""`python -m bench.gpu`: test the kernels on a GPU, then time them with CUDA events beside installed peers."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
from torch import Tensor

from bench.ragged import BYTES, ROWS, SHAPES, WIDTH, gradients, lengths
from bench.recurrent import by_hand, packed
from bench.reductions import KINDS, calls
from bench.registry import Form, keep, tests_pass
from bench.scans import compiled_scan, private_scan
from structnet.kernels import block_scan, log_scan, segment_rnn, segment_scan
from structnet.structures import Segments
from structnet.training.record import commit

TESTS = "tests/kernels/test_triton.py tests/kernels/test_tree_scan_triton.py"
Cases = dict[str, tuple[int, dict[str, Form]]]  # case -> (compulsory bytes, ours first and then the peers)


def scans(segments: Segments) -> Cases:
    gate, x = (draw(ROWS, WIDTH, device="cuda").requires_grad_() for draw in (torch.rand, torch.randn))
    log_gate = gate.detach().log().requires_grad_()
    forward: dict[str, Form] = {
        "structnet segment_scan": lambda: segment_scan(gate.detach(), x.detach(), segments),
        "structnet log_scan": lambda: log_scan(log_gate.detach(), x.detach(), segments),
        **private_scan(gate.detach(), x.detach(), segments),
        **compiled_scan(gate.detach(), x.detach(), segments),
    }
    backward: dict[str, Form] = {
        "structnet segment_scan": gradients(lambda: segment_scan(gate, x, segments), [gate, x], x.detach()),
        "structnet log_scan": gradients(lambda: log_scan(log_gate, x, segments), [log_gate, x], x.detach()),
    }
    try:
        from fla.ops.hgrn import fused_recurrent_hgrn
    except ImportError:
        pass
    else:
        call = lambda: fused_recurrent_hgrn(x[None], log_gate[None], cu_seqlens=segments.ptr)[0]  # noqa: E731
        forward["fla fused_recurrent_hgrn"] = call
        backward["fla fused_recurrent_hgrn"] = gradients(lambda: call()[0], [log_gate, x], x.detach())
    try:  # one length for all: its peer is the single giant segment
        from accelerated_scan.triton import scan
    except ImportError:
        pass
    else:
        if len(segments) == 1:
            turned = [t.detach().t().contiguous()[None] for t in (gate, x)]
            forward["accelerated-scan"] = lambda: scan(*turned)
    return {"scan": (3 * BYTES, forward), "scan-backward": (5 * BYTES, backward)}


def reduced(segments: Segments) -> Cases:
    """Every kind with the peers that the CPU has (`bench/reductions.py`), forward and backward apart."""
    x = torch.randn(ROWS, WIDTH, device="cuda", requires_grad=True)
    cases: Cases = {}
    for kind in KINDS:
        whole, forms = kind == "softmax", calls(kind, segments)
        cotangent = torch.randn(ROWS if whole else len(segments), WIDTH, device="cuda")
        forward: dict[str, Form] = {name: lambda f=form: f(x.detach()) for name, form in forms.items()}
        backward = {name: gradients(lambda f=form: f(x), [x], cotangent) for name, form in forms.items()}
        cases |= {kind: ((1 + whole) * BYTES, forward), f"{kind}-backward": ((1 + 2 * whole) * BYTES, backward)}
    return cases


def recursions(segments: Segments) -> Cases:
    """Blocks of 4 x 4, a GRU, and a linear recursion on a random tree, forward and backward, on a fifth of the rows (a
    single segment: on a fiftieth, since a GRU takes two launches a step)."""
    from structnet.kernels import tree_scan
    from structnet.structures import Tree

    rows = int(segments.ptr[segments.ptr <= ROWS // 5][-1]) or ROWS // 50
    some = Segments.trusted(torch.cat([segments.ptr[segments.ptr < rows], segments.ptr.new_tensor([rows])]))
    gru, x = torch.nn.GRU(WIDTH, WIDTH, device="cuda"), torch.randn(rows, WIDTH, device="cuda", requires_grad=True)
    states = x.detach().view(rows, 16, 4).requires_grad_()
    blocks = (torch.randn(rows, 16, 4, 4, device="cuda") / 4).requires_grad_()
    parent = (torch.rand(rows, generator=torch.Generator().manual_seed(0)) * torch.arange(rows)).long()
    tree, weight = Tree.from_parents(parent).to("cuda"), torch.rand(rows, WIDTH, device="cuda", requires_grad=True)

    def both(call: Callable[[], Tensor], inputs: list[Tensor]) -> Form:
        return lambda: torch.autograd.grad(call().sum(), inputs)

    given = [x, *gru.parameters()]
    rnn = {"structnet segment_rnn": both(lambda: segment_rnn(x, some, gru.all_weights[0])[0], given)}
    if some.max_length < 5_000:  # the peers take a few launches a step, and the packed one slices of everything
        rnn["loop by hand"] = both(lambda: by_hand(x, some, gru), given)
        rnn["torch packed GRU (cuDNN)"] = both(lambda: packed(x, some, gru), given)
    return {
        "blocks": (blocks.nbytes * 3 + x.nbytes * 5, {
            "structnet block_scan": both(lambda: block_scan(blocks, states, some), [blocks, states]),
        }),
        "gru": (x.nbytes, rnn),
        "tree": (8 * x.nbytes, {"structnet tree_scan": both(lambda: tree_scan(weight, x, tree), [weight, x])}),
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
    if not tests_pass(TESTS):
        print("tests are red, nothing is measured")
        return 1
    machine, path = torch.cuda.get_device_name(), Path(__file__).parent / "results" / f"{date.today()}-gpu.jsonl"
    for shape in SHAPES:
        segments = lengths(shape).to("cuda")
        cases = {**scans(segments), **reduced(segments), **recursions(segments)}
        for case, (traffic, forms) in cases.items():
            source = torch.empty(traffic // 8, device="cuda")  # read and written: the same traffic as the op
            times = milliseconds({**forms, "copy of as many bytes": source.clone}, options.repeats)
            copy = statistics.median(times["copy of as many bytes"])
            for form, values in times.items():
                figure = statistics.median(values)
                share = 100 * copy / figure
                print(f"{case + ' ' + shape:28}{form:34}{figure:9.3f} ms  {share:6.1f} % of copy bandwidth", flush=True)
                keep({"case": f"{case}/{shape}", "form": form, "median_ms": figure, "min_ms": min(values),
                      "max_ms": max(values), "machine": machine, "commit": commit(), "seed": 0,
                      "torch": torch.__version__}, path)  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
