"""The driver of series of graphs: a model `out, state = model(snapshot, state)` walked through time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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


def layer_states(state: Any, layers: int) -> Sequence:
    """The state of each layer; None is None for all."""
    if state is None:
        return (None,) * layers
    got = len(state) if isinstance(state, (tuple, list)) else type(state).__name__
    if got != layers:
        raise StructureError(f"a state of {layers} layers", f"{got}", "the state that this model returned")
    return state


def check_shapes(state: Any, wanted: tuple) -> None:
    """`state` is a tensor of shape `wanted`, or a tuple or list of tensors where `wanted` is a tuple of shapes."""
    got = shapes(state)
    if got != wanted:
        raise StructureError(f"a state of shape {wanted}", f"{got}", "the state that this model returned")


def shapes(state: Any) -> tuple:
    """The shape of a tensor; of a tuple or list those of its parts."""
    return tuple(map(shapes, state) if isinstance(state, (tuple, list)) else state.shape)


def carry_rows(state: Any, ids: Tensor, new_ids: Tensor) -> Any:
    """A state per node, moved to another node set: rows of `ids` that reappear in `new_ids` keep their state, rows of
    nodes not seen are zero.

    Args:
        state: tensors `[N, ...]` in any nesting, rows named by `ids` `[N]`, distinct.
        new_ids: `[M]`.

    Raises:
        StructureError: ids that repeat, or not one per row.

    Differentiable. Cost O((N + M) log N).
    """
    if ids.unique().numel() != ids.numel():
        raise StructureError("distinct node ids", "an id that repeats", "one row per node")

    def fits(t: Tensor) -> Tensor:
        if t.shape[:1] != ids.shape:
            rows = f"a state of {ids.numel()} rows, one per id"
            raise StructureError(rows, f"shape {tuple(t.shape)}", "the ids of the nodes that the state is of")
        return t

    state = _each(fits, state)
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
        parts = [_each(function, part) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)  # a NamedTuple takes its parts
    return None if state is None else function(state)
