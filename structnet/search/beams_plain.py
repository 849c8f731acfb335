"""`beams.cpp` in plain Python, one sample and one beam at a time: what the compiled form does, and what runs where no
compiler is found (slowly: Python work per beam, sample and step)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from structnet.search.beams import Found, Options, Starts
from structnet.structures import Segments

MASK, GOLDEN = 2**64 - 1, 0x9E3779B97F4A7C15


@dataclass
class Beam:
    """What is left of the sentence, its neighbouring pairs, log p so far, the list that it started as, its state."""

    nodes: list[int]
    pairs: list[int]
    score: float
    start: int
    state: int


class PlainBeams:
    """Same calls and results as `NativeBeams`."""

    def __init__(self, starts: Starts, leaves: int, options: Options):
        self.options, self.leaves, self.rows = options, leaves, leaves
        self.known: dict[tuple[int, int], int] = {}
        self.left, self.right, self.row, self.score, self.sample = [], [], [], [], []
        self.compose: list[tuple[int, int]] = []
        self.wanted: list[int] = []
        self.step_number = 0
        self.choices: list[list[int]] = []
        self.states: list[list[tuple[int, int, int]]] = []  # merges that lead to each, best first: tail, pair, choice
        self.samples: list[list[Beam]] = []
        first, ids = starts.samples.ptr.tolist(), starts.ids.split(starts.lists.lengths.tolist())
        for s, (low, high) in enumerate(zip(first, first[1:])):
            self.samples.append([])
            for b in range(low, high):
                nodes = ids[b].tolist()
                pairs = [self._pair(s, *pair) for pair in zip(nodes, nodes[1:])]
                self.samples[s].append(Beam(nodes, pairs, float(starts.score[b]), b, -1 - b))

    def work(self) -> tuple[Tensor, Tensor]:
        compose, wanted = self.compose, [(self._row(self.left[p]), self._row(self.right[p])) for p in self.wanted]
        self.compose, self.wanted = [], []
        return tuple(torch.tensor(rows, dtype=torch.int64).reshape(-1, 2).T for rows in (compose, wanted))  # type: ignore

    def step(self, scores: Tensor) -> None:
        if len(scores):
            self.score[-len(scores) :] = scores.double().tolist()
        for s, beams in enumerate(self.samples):
            if beams[0].pairs:
                self.samples[s] = self._advance(s, beams)
        self.step_number += 1

    def result(self) -> Found:
        beams = [beam for sample in self.samples for beam in sample]
        on = {beam.state for beam in beams if beam.state >= 0}
        for state in reversed(range(len(self.states))):
            if state in on:
                on |= {tail for tail, _, _ in self.states[state] if tail >= 0}
        state_number = {state: at for at, state in enumerate(sorted(on))}
        arcs = [self.states[state] for state in sorted(on)]
        used = sorted({choice for group in arcs for _, _, choice in group})
        number = {choice: at for at, choice in enumerate(used)}
        members = [self.choices[choice] for choice in used]
        paths = [self._path(beam.state) for beam in beams]

        def spans(groups) -> Segments:
            return Segments.from_lengths(torch.tensor([len(group) for group in groups], dtype=torch.int64))

        def ids(values) -> Tensor:
            return torch.tensor(list(values), dtype=torch.int64)

        return Found(
            beams=spans(self.samples),
            root=ids(beam.nodes[0] for beam in beams),
            start=ids(beam.start for beam in beams),
            state=ids(state_number.get(beam.state, beam.state) for beam in beams),
            score=torch.tensor([beam.score for beam in beams], dtype=torch.float64),
            merges=spans(paths),
            pair=ids(pair for path in paths for _, pair, _ in path),
            choice=ids(number[choice] for path in paths for _, _, choice in path),
            choices=spans(members),
            member=ids(pair for group in members for pair in group),
            left=ids(self.left),
            right=ids(self.right),
            pair_score=torch.tensor(self.score, dtype=torch.float64),
            row=ids(self.row),
            sample=ids(self.sample),
            arcs=spans(arcs),
            tail=ids(state_number.get(tail, tail) for group in arcs for tail, _, _ in group),
            arc_pair=ids(pair for group in arcs for _, pair, _ in group),
            arc_choice=ids(number[choice] for group in arcs for _, _, choice in group),
        )

    def _path(self, state: int) -> list[tuple[int, int, int]]:
        path = []
        while state >= 0 and self.states:
            path.append(self.states[state][0])
            state = path[-1][0]
        return path[::-1]

    def _row(self, node: int) -> int:
        return node if node < self.leaves else self.row[node - self.leaves]

    def _pair(self, s: int, left: int, right: int) -> int:
        node = self.known.get((left, right))
        if node is None:
            node = self.known[left, right] = self.leaves + len(self.left)
            for column, value in zip(
                (self.left, self.right, self.row, self.score, self.sample), (left, right, -1, 0.0, s)
            ):
                column.append(value)
            if self.options.lazy:
                self.wanted.append(node - self.leaves)
            else:
                self._compose(node)
        return node

    def _compose(self, node: int) -> None:
        p = node - self.leaves
        if self.row[p] < 0:
            self.compose.append((self._row(self.left[p]), self._row(self.right[p])))
            self.row[p], self.rows = self.rows, self.rows + 1

    def _advance(self, s: int, beams: list[Beam]) -> list[Beam]:
        options, candidates = self.options, []  # (key, score, beam, place)
        for b, beam in enumerate(beams):
            scores = [self.score[node - self.leaves] for node in beam.pairs]
            high = max(scores)
            total = high + math.log(sum(math.exp(x - high) for x in scores))
            keys = [x + self._noise(options.within, s, b, j) for j, x in enumerate(scores)]
            for j in sorted(range(len(keys)), key=lambda j: -keys[j])[: options.beam]:
                score = beam.score + (scores[j] - total)
                candidates.append((score + self._noise(options.between, s, b, j), score, b, j))
        candidates.sort(key=lambda c: -c[0])
        groups = [[c] for c in candidates]
        if options.distinct or options.marginal:
            equal: dict[tuple[int, ...], list] = {}
            for c in candidates:
                equal.setdefault(self._nodes(beams[c[2]], c[3]), []).append(c)
            groups = list(equal.values())
        if options.marginal:
            groups = [[self._sum(group), *group[1:]] for group in groups]
            groups.sort(key=lambda group: -group[0][0])
        chosen, number = groups[: options.beam], {}
        if not options.marginal:
            chosen = [group[:1] for group in chosen]
        for group in chosen if options.record else ():
            for _, _, b, _ in group:
                if b not in number:
                    number[b] = len(self.choices)
                    self.choices.append(beams[b].pairs)
        return [self._merge(s, beams, group, number) for group in chosen]

    @staticmethod
    def _sum(group: list) -> tuple:
        """The best candidate of a group with the probability of all of it."""
        key, score, b, j = group[0]
        total = score + math.log(sum(math.exp(one[1] - score) for one in group))
        return key + total - score, total, b, j

    @staticmethod
    def _nodes(beam: Beam, place: int) -> tuple[int, ...]:
        return (*beam.nodes[:place], beam.pairs[place], *beam.nodes[place + 2 :])

    def _merge(self, s: int, beams: list[Beam], group: list, number: dict[int, int]) -> Beam:
        _, score, b, place = group[0]
        beam = beams[b]
        node, nodes = beam.pairs[place], list(self._nodes(beam, place))
        if self.options.lazy:
            self._compose(node)
        pairs = [*beam.pairs[:place], *beam.pairs[place + 1 :]]
        if place > 0:
            pairs[place - 1] = self._pair(s, nodes[place - 1], node)
        if place + 1 < len(nodes):
            pairs[place] = self._pair(s, node, nodes[place + 1])
        if not self.options.record:
            return Beam(nodes, pairs, score, beam.start, beam.state)
        self.states.append([(beams[b].state, beams[b].pairs[j], number[b]) for _, _, b, j in group])
        return Beam(nodes, pairs, score, beam.start, len(self.states) - 1)

    def _noise(self, seed: int, *where: int) -> float:
        """Gumbel(0, 1) noise, a pure function of seed, sample, step, beam and place; none for seed 0."""
        if not seed:
            return 0.0
        s, b, j = where
        for part in (s, self.step_number, b, j):
            seed = _mix((seed + GOLDEN * (part + 1)) & MASK)
        return -math.log(-math.log(((seed >> 11) + 0.5) * 2.0**-53))


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)
