"""The driver of graphs: tied rounds of message and update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from structnet.errors import StructureError


def pass_messages(
    message: Callable[[Any, Any], Any],
    update: Callable[[Any, Any], Any],
    state: Any,
    graph: Any,
    rounds: int,
    *,
    gradient: int | None = None,
    keep: int = 1,
) -> tuple[list, Any]:
    """R rounds with the same weights: `state = update(message(state, graph), state)`.

    Args:
        message: what arrives at each node, from the states of all and the graph.
        update: the new state, from what has arrived and the old one.
        state: of all nodes, a tensor or a tuple of tensors.
        graph: handed to `message` as it is: `Neighbours`, an `edge_index`, `Constraints`, a PyG batch.
        rounds: R; 0 gives the state as it came.
        gradient: this many last rounds are differentiated, the ones before run without a graph, so that memory does not
            grow with R (truncated gradient; 1: one-step gradient). None: all of them.
        keep: the states after this many last rounds are handed back, oldest first (those of rounds without gradient
            carry none).

    Returns the kept states, `min(keep, rounds)` of them, and the last state, to go on from: R rounds are the same as
    r rounds and R - r rounds more. Cost: one call of each per round.

    Raises:
        StructureError: negative rounds.
    """
    if rounds < 0 or (gradient is not None and gradient < 0):
        raise StructureError("rounds >= 0 and gradient >= 0", f"rounds={rounds}, gradient={gradient}", "rounds=32")
    first = 0 if gradient is None else rounds - gradient
    kept = []
    for at in range(rounds):
        with torch.set_grad_enabled(torch.is_grad_enabled() and at >= first):
            state = update(message(state, graph), state)
        if at >= rounds - keep:
            kept.append(state)
    return kept, state
