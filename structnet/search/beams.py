"""The integer side of the search: which pairs to compose and score next, which beams survive."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from structnet.native import library
from structnet.structures import Segments


@dataclass(frozen=True)
class Options:
    """How beams are chosen.

    Attributes:
        beam: hypotheses K kept per sample.
        lazy: a pair is composed when it is merged (its score needs only its children), not when it appears.
        distinct: of beams that hold the same nodes (other orders of the same merges) keep only the best.
        marginal: make them one, with the sum of their probabilities.
        record: keep what `replay` needs.
        within, between: seeds of Gumbel noise on the choice of places inside a beam, and between beams; 0 for none.
    """

    beam: int = 5
    lazy: bool = False
    distinct: bool = False
    marginal: bool = False
    record: bool = True
    within: int = 0
    between: int = 0


@dataclass(frozen=True)
class Starts:
    """Where beams start: each as a list of leaf rows, with a score.

    Attributes:
        samples: the lists of each sample (segments of B lists), all of a sample equally long.
        lists: the ids of each list (segments of L ids).
        ids: leaf rows.
        score: log-probability of each list (float64).
    """

    samples: Segments
    lists: Segments
    ids: Tensor
    score: Tensor

    @classmethod
    def single(cls, segments: Segments) -> Starts:
        """One beam per segment: its rows."""
        count, device = segments.num_segments, segments.device
        samples = Segments.trusted(torch.arange(count + 1, device=device))
        ids = torch.arange(segments.num_rows, device=device)
        return cls(samples, segments, ids, torch.zeros(count, dtype=torch.float64, device=device))

    def to(self, device: torch.device | str) -> Starts:
        return Starts(self.samples.to(device), self.lists.to(device), self.ids.to(device), self.score.to(device))

    @property
    def lengths(self) -> Tensor:
        """Nodes that each sample has to merge."""
        return self.lists.lengths[self.samples.ptr[:-1]]


@dataclass(frozen=True)
class Found:
    """What a search found. Ids: leaf rows 0 .. N - 1, then pairs in order of creation (pair p has id N + p).

    Attributes:
        beams: beams of each sample (segments of K rows in all).
        root, score: id of each beam's root, and the log-probability of its start and merges (float64).
        start, state: the list that each beam started as, and its state: states are numbered in the order of steps,
            those of the lists -1, -2, ...
        merges: merges of each beam, in order (segments of M rows).
        pair, choice: of each merge, the id merged and the softmax that it was drawn from.
        choices: members of each softmax (segments), those on the way to a surviving beam.
        member: their ids.
        left, right: ids of the children of each pair.
        pair_score, row, sample: of each pair, its score, the row of its state in the search buffer (-1 for none), and
            its sample.
        arcs: merges that lead to each state (segments; more than one only if `marginal`).
        tail, arc_pair, arc_choice: of each of those merges, the state before it, the id merged and the softmax.
    """

    beams: Segments
    root: Tensor
    start: Tensor
    state: Tensor
    score: Tensor
    merges: Segments
    pair: Tensor
    choice: Tensor
    choices: Segments
    member: Tensor
    left: Tensor
    right: Tensor
    pair_score: Tensor
    row: Tensor
    sample: Tensor
    arcs: Segments
    tail: Tensor
    arc_pair: Tensor
    arc_choice: Tensor

    def to(self, device: torch.device | str) -> Found:
        return Found(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


class NativeBeams:
    """`beams.cpp` behind three calls: `work`, `step`, `work`, ..., `result`. `beams_plain.py` says what it does."""

    def __init__(self, starts: Starts, leaves: int, options: Options):
        lib = library()
        assert lib is not None, "the plain form is for machines without the compiled library"
        self.lib = lib
        self.samples = starts.samples.num_segments
        flags = options.lazy | options.distinct << 1 | options.record << 2 | options.marginal << 3
        new = self.lib.structnet_beams_new
        new.restype = ctypes.c_void_p
        seeds = ctypes.c_uint64(options.within), ctypes.c_uint64(options.between)
        parts = (starts.samples.ptr, starts.lists.ptr, starts.ids, starts.score)
        arrays = [np.ascontiguousarray(part.numpy()) for part in parts]
        sizes = _long(self.samples), _long(leaves)
        self.handle = ctypes.c_void_p(new(*sizes, *map(_at, arrays), _long(options.beam), _long(flags), *seeds))

    def __del__(self):
        if hasattr(self, "handle"):
            self.lib.structnet_beams_free(self.handle)

    def work(self) -> tuple[Tensor, Tensor]:
        """Buffer rows `[2, composed]` of pairs to compose now (results take the next free rows, in order), and
        `[2, wanted]` of pairs whose score is wanted next (none unless lazy)."""
        counts = np.empty(2, np.int64)
        self.lib.structnet_beams_counts(self.handle, _at(counts))
        compose, wanted = (np.empty((2, count), np.int64) for count in counts)
        self.lib.structnet_beams_work(self.handle, _at(compose), _at(wanted))
        return torch.from_numpy(compose), torch.from_numpy(wanted)

    def step(self, scores: Tensor) -> None:
        """Take the scores of the newest pairs and merge once in every beam that has a pair left."""
        values = scores.double().contiguous().numpy()
        self.lib.structnet_beams_step(self.handle, _long(len(values)), _at(values))

    def result(self) -> Found:
        sizes = np.empty(7, np.int64)
        self.lib.structnet_beams_sizes(self.handle, _at(sizes))
        beams, merges, choices, members, pairs, states, arcs = sizes.tolist()
        count, arc_count = np.empty(self.samples, np.int64), np.empty(states, np.int64)
        (root, start, state, length), score = np.empty((4, beams), np.int64), np.empty(beams, np.float64)
        pair, choice = np.empty((2, merges), np.int64)
        choice_ptr, member = np.empty(choices + 1, np.int64), np.empty(members, np.int64)
        left, right, row, sample = np.empty((4, pairs), np.int64)
        pair_score = np.empty(pairs, np.float64)
        of_pairs, of_arcs = (left, right, pair_score, row, sample), np.empty((3, arcs), np.int64)
        out = (count, root, start, state, score, length, pair, choice, choice_ptr, member, *of_pairs)
        self.lib.structnet_beams_result(self.handle, *map(_at, (*out, arc_count, *of_arcs)))
        count, root, start, state, score, length, pair, choice, choice_ptr, member, *rest = map(torch.from_numpy, out)
        spans = [Segments.from_lengths(lengths) for lengths in (count, length, torch.from_numpy(arc_count))]
        beam = (spans[0], root, start, state, score, spans[1], pair, choice, Segments.trusted(choice_ptr), member)
        tail, arc_pair, arc_choice = (torch.from_numpy(part) for part in of_arcs)
        return Found(*beam, *rest, arcs=spans[2], tail=tail, arc_pair=arc_pair, arc_choice=arc_choice)


def _at(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _long(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)
