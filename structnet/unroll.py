"""The driver of series of graphs: a model `out, state = model(snapshot, state)` walked through time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from structnet.errors import StructureError

Step = Callable[[Any, Any], tuple[Any, Any]]


def unroll_snapshots(model: Step, snapshots: Iterable, state: Any = None) -> tuple[list, Any]:
    """All outputs and the last state; the state is an argument and a result, nothing stays on the model.

    Args:
        model: `model(snapshot, state) -> (out, state)`; the first call has `state=None` if none is given.
        snapshots: any iterable, a generator too.

    No snapshot: no output, and the state as given. For a stream without end use `stream`.
    """
    outputs = []
    for snapshot in snapshots:
        out, state = model(snapshot, state)
        outputs.append(out)
    return outputs, state


def stream(model: Step, snapshots: Iterable, state: Any = None) -> Iterator[tuple[Any, Any]]:
    """`(out, state)` of one snapshot at a time, without gradients, in constant memory."""
    for snapshot in snapshots:
        with torch.no_grad():
            out, state = model(snapshot, state)
        yield out, state


def truncated(model: Step, snapshots: Iterable, every: int, state: Any = None) -> Iterator[tuple[list, Any]]:
    """Truncated backpropagation through time: `(outputs, state)` of `every` snapshots at a time, at the end fewer.

    The state is carried on, but detached, from one piece to the next: call `backward()` on each piece as it comes.
    """
    if every < 1:
        raise StructureError("pieces of at least one snapshot", f"every={every}", "every=20")
    outputs: list = []
    for snapshot in snapshots:
        if len(outputs) == every:
            yield outputs, state
            outputs, state = [], detach(state)
        out, state = model(snapshot, state)
        outputs.append(out)
    if outputs:
        yield outputs, state


def detach(state: Any) -> Any:
    """The same values without their history; any nesting of tuples and lists, None stays None."""
    return _each(Tensor.detach, state)


def carry_rows(state: Any, ids: Tensor, new_ids: Tensor) -> Any:
    """A state per node, moved to another node set: rows of `ids` that reappear in `new_ids` keep their state, rows of
    nodes not seen are zero.

    Args:
        state: tensors `[N, ...]` in any nesting, rows named by `ids` `[N]`, distinct.
        new_ids: `[M]`.

    Differentiable. Cost O((N + M) log N).
    """
    if ids.unique().numel() != ids.numel():
        raise StructureError("distinct node ids", "an id that repeats", "one row per node")
    order = ids.argsort()
    if ids.numel() == 0:
        return _each(lambda t: t.new_zeros(new_ids.numel(), *t.shape[1:]), state)
    place = torch.searchsorted(ids[order], new_ids).clamp(max=ids.numel() - 1)
    row = order[place]
    known = ids[row] == new_ids

    def move(t: Tensor) -> Tensor:
        return torch.where(known.view(-1, *[1] * (t.dim() - 1)), t[row], 0)

    return _each(move, state)


def _each(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    if isinstance(state, (tuple, list)):
        return type(state)(_each(function, part) for part in state)
    return None if state is None else function(state)
