"""The driver of latent trees: beam search over merges of neighbours, one batched cell call per step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.recursion import Cell
from structnet.search.beams import Found, NativeBeams, Options
from structnet.search.beams_torch import TorchBeams
from structnet.native import library
from structnet.states import State, concat, num_rows, select, state_map
from structnet.structures import Segments

Scorer = Callable[..., Tensor]


@torch.no_grad()
def search_trees(cell: Cell, scorer: Scorer, leaves: State, segments: Segments, options: Options) -> tuple[Found, State]:
    """Beam search for binary trees over each segment, without gradients (`replay` computes what it found, with them).

    Every step merges one neighbouring pair in each beam: the `beam` best places of every beam by
    `log softmax(scores)`, then the `beam` best of all these by the sum of logs so far. All pairs are cached: a merge
    leaves all but two of a beam's pairs as they are, and beams share what they have in common.

    Args:
        cell: binary, `cell(left, right)`.
        scorer: `scorer(states)` of composed pairs, or with `options.lazy` `scorer(left, right)` of their children.
        leaves: state `[N, ...]`, rows grouped by `segments`, at least one row each.
        options: beam size, noise, what to keep.

    Returns what was found, and the states of all rows (leaves, then composed pairs). Cost: one cell call per step, for
    a sample of n leaves at most n + 2 K (n - 1) rows (K (n - 1) if lazy), less by what the beams share. Samples that are
    done take no part.

    Raises:
        StructureError: rows do not fit, an empty segment, a beam below 1.
    """
    _check(leaves, segments, options)
    native = segments.device.type == "cpu" and library() is not None
    beams = NativeBeams(segments, options) if native else TorchBeams(segments, options)
    states, used = _Buffer(leaves, segments, options), num_rows(leaves)
    for step in range(max(segments.max_length, 1)):
        compose, wanted = beams.work()
        if compose.shape[1]:
            made = cell(select(states.rows, compose[0]), select(states.rows, compose[1]))
            used = states.append(made, used)
        if step + 1 == segments.max_length or not segments.num_segments:
            break
        if options.lazy:
            beams.step(scorer(select(states.rows, wanted[0]), select(states.rows, wanted[1])))
        else:
            beams.step(scorer(made) if compose.shape[1] else leaves.new_empty(0))
    return beams.result(), state_map(lambda t: t[:used], states.rows)
