"""Compiles every Triton kernel for GPUs that need not be there: `python -m tests.kernels.triton_for_gpus 90 float32`.

The forms are called as on a GPU, on tensors of the CPU; each launch stops after compiling (Triton's own warm-up, with
the types, alignments and compile-time arguments of this call). Prints what was compiled; fails if a kernel was left
out. A process of its own, since kernels are decorated either for the interpreter or for the compiler.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pkgutil import walk_packages

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from structnet import kernels
from structnet.schedules.heavy_paths import heavy_paths
from structnet.structures import Tree


class Absent:
    """A driver for a GPU of a compute capability, which is its device number too (Triton keeps kernels by device)."""

    def __init__(self, capability: int):
        self.capability = capability

    def get_current_device(self) -> int:
        return self.capability

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.capability, 32)


def forms() -> dict[str, dict[str, JITFunction]]:
    """Module -> its kernels: functions that end in `kernel` (the others are parts of these)."""
    found = {}
    for info in walk_packages(kernels.__path__, "structnet.kernels."):
        module = import_module(info.name)
        made = {k: f for k, f in vars(module).items() if isinstance(f, JITFunction) and f.__module__ == info.name}
        if kernels_here := {k: f for k, f in made.items() if k.endswith("kernel")}:
            found[info.name] = kernels_here
    return found


def scans(form, draw, ptr: Tensor) -> None:
    rows, segments = int(ptr[-1]), len(ptr) - 1
    x, start = draw(rows, 64), draw(segments, 64)
    for gates, initial, reverse, log in ((64, None, False, False), (4, start, True, True)):
        gate = draw(rows, gates)
        form.forward(gate, x, ptr, initial, reverse, log)
        form.backward(x, gate, x, ptr, initial, reverse, log)


def blocks(form, draw, ptr: Tensor) -> None:
    rows, segments = int(ptr[-1]), len(ptr) - 1
    for size, initial, reverse in ((4, None, False), (3, draw(segments, 8, 3), True)):
        transition, x = draw(rows, 8, size, size), draw(rows, 8, size)
        form.forward(transition, x, ptr, initial, reverse)
        form.backward(x, transition, x, ptr, initial, reverse)


def reductions(form, draw, ptr: Tensor) -> None:
    rows, segments = int(ptr[-1]), len(ptr) - 1
    x = draw(rows, 64)
    for kind in form.KINDS:
        _, arg = form.reduce(x, ptr, kind)
        form.gather(draw(segments, 64), ptr, arg if len(arg) else None, rows)
    form.softmax(x, ptr, True)
    form.softmax(x, ptr, False)
    form.softmax_backward(x, x, ptr)


def recurrent(form, draw, ptr: Tensor) -> None:
    h, gates = draw(32, 64), draw(32, 256)
    for c in (None, h):
        form.step(gates, h, c, h, c)
        form.step_back(h, c, gates, h, c, c, h, c, gates)


def edges(form, draw, ptr: Tensor) -> None:
    node, rows = draw(len(ptr) - 1, 64), int(ptr[-1])
    sender = torch.arange(rows) % len(node)
    for edge in (None, draw(rows, 64)):
        form.forward(node, node, edge, sender, ptr)
        form.backward(node, node, node, edge, sender, ptr)


def trees(form, draw, ptr: Tensor) -> None:
    tree = Tree.from_parents((torch.arange(200) + 1).clamp(max=199))
    links, paths = [tree.parent, tree.child_ptr, tree.child_index], heavy_paths(tree)
    x = draw(200, 64)
    for downwards in (False, True):
        for h in (None, x):
            form.tree_scan(draw(200, 4), x, links, [paths.rows, paths.ptr], paths.rounds, downwards, h)


CALLS = {"segment_scan": scans, "block_scan": blocks, "segment_reduce": reductions, "segment_rnn": recurrent,
         "edge_relu_sum": edges, "tree_scan": trees}  # fmt: skip


def compiled(capability: int, dtype: torch.dtype, names: list[str]) -> list[tuple]:
    """(kernel, compiled kernel) of every launch in the calls of these modules."""
    made, run = [], JITFunction.run
    triton.runtime.driver.set_active(Absent(capability))

    def warm_up(self, *args, grid, warmup, **kwargs):
        made.append((self, run(self, *args, grid=grid, warmup=True, **kwargs)))

    JITFunction.run = warm_up
    # two lengths that a kernel may tell apart: shorter than a chunk of rows and longer
    ptr = torch.tensor([0, 1000, 1000, 60_000])
    draw = lambda *shape: torch.zeros(shape, dtype=dtype)  # noqa: E731
    for name in names:
        if name.endswith("triton_form"):
            CALLS[name.split(".")[2]](import_module(name), draw, ptr)
    JITFunction.run = run
    return made


def main(capabilities: list[int], types: list[str]) -> None:
    found = forms()
    for capability in capabilities:
        for dtype in types:
            missing = {f for functions in found.values() for f in functions.values()}
            for kernel, binary in compiled(capability, getattr(torch, dtype), list(found)):
                missing.discard(kernel)
                assert binary.asm["cubin"], kernel
            assert not missing, f"never launched, add a call: {[(f.__module__, f.__name__) for f in missing]}"
            for name, functions in found.items():
                print(capability, dtype, name, *functions)


if __name__ == "__main__":
    main([int(c) for c in sys.argv[1].split(",")], sys.argv[2].split(","))
