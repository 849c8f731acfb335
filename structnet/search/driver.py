"""The driver of latent trees: beam search over merges of neighbours, one batched cell call per step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.native import library
from structnet.recursion import Cell
from structnet.search.beams import Found, NativeBeams, Options, Starts
from structnet.search.beams_plain import PlainBeams
from structnet.states import State, num_rows, select, state_map
from structnet.structures import Segments

Scorer = Callable[..., Tensor]


@torch.no_grad()
def search_trees(
    cell: Cell, scorer: Scorer, leaves: State, segments: Segments | Starts, options: Options
) -> tuple[Found, State]:
    """Beam search for binary trees over each segment, without gradients (`replay` computes what it found, with them).

    Every step merges one neighbouring pair in each beam: the `beam` best places of every beam by
    `log softmax(scores)`, then the `beam` best of all these by the sum of logs so far. All pairs are cached: a merge
    leaves all but two of a beam's pairs as they are, and beams share what they have in common.

    Args:
        cell: binary, `cell(left, right)`.
        scorer: `scorer(states)` of composed pairs, or with `options.lazy` `scorer(left, right)` of their children.
        leaves: state `[N, ...]`.
        segments: the leaves of each sample, at least one row each; or `Starts`, to begin with several lists of leaves.
        options: beam size, noise, what to keep.

    Returns what was found, and the states of all rows (leaves, then composed pairs). Cost: one cell call per step;
    for a sample of n leaves at most n + 2 K (n - 1) rows (K (n - 1) if lazy), less what its beams share. Samples that
    are done take no part.

    Raises:
        StructureError: rows do not fit, an empty segment, a beam below 1.
    """
    starts = segments if isinstance(segments, Starts) else Starts.single(segments)
    _check(leaves, segments, starts, options)
    # the integer side runs on the CPU wherever the states are: one small transfer each way per step
    form, device, count = PlainBeams if library() is None else NativeBeams, starts.ids.device, num_rows(leaves)
    beams = form(starts.to("cpu"), count, options)
    merges = int((starts.lengths - 1).sum())
    given = starts.ids.numel() - starts.lists.num_segments
    most = count + merges * options.beam * (1 if options.lazy else 2) + (0 if options.lazy else given)
    states = state_map(lambda t: t.new_empty(most, *t.shape[1:]), leaves)
    used = _write(states, 0, leaves)
    for left_to_merge in reversed(range(starts.lists.max_length)):
        (left, right), wanted = (rows.to(device) for rows in beams.work())
        made = cell(select(states, left), select(states, right))
        used = _write(states, used, made)
        if left_to_merge:
            scores = scorer(*(select(states, rows) for rows in wanted)) if options.lazy else scorer(made)
            beams.step(scores.cpu())
    return beams.result().to(device), state_map(lambda t: t[:used], states)


def _write(states: State, at: int, rows: State) -> int:
    last = at + num_rows(rows)
    state_map(lambda all_rows, new: all_rows[at:last].copy_(new), states, rows)
    return last


def check_leaves(leaves: State, segments: Segments) -> None:
    """Every row belongs to a segment, and every segment has one."""
    if num_rows(leaves) != segments.num_rows:
        got = f"{num_rows(leaves)}"
        raise StructureError(f"{segments.num_rows} leaf rows (segments.num_rows)", got, "matching ptr")
    _check_lists(segments.lengths)


def _check_lists(lengths: Tensor) -> None:
    if len(lengths) and int(lengths.min()) == 0:
        place = int(lengths.argmin())
        raise StructureError("at least one leaf per segment", f"segment {place} without rows", "to drop empty segments")


def _check(leaves: State, segments: Segments | Starts, starts: Starts, options: Options) -> None:
    if isinstance(segments, Segments):
        check_leaves(leaves, segments)
    _check_lists(starts.lists.lengths)
    if options.beam < 1:
        raise StructureError("beam >= 1", f"{options.beam}", "beam=5")
