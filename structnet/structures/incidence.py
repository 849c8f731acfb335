"""Constraint graphs as lists: which candidate lies in which unit, for batches of problems of any kind and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from structnet.structures.constraints import UNIT_KINDS, Constraints


@dataclass(frozen=True, eq=False)
class Incidence:
    """M candidates; the units they lie in; the choice that each belongs to.

    Attributes:
        candidate, unit: int64 `[P]` each, one pair for each membership; units of one kind are neighbours.
        kind_ptr: units of kind k are `kind_ptr[k] .. kind_ptr[k + 1] - 1`.
        pair_ptr: their pairs are `pair_ptr[k] .. pair_ptr[k + 1] - 1`.
        choice: `[M]`: exactly one candidate of a choice holds (the digits of a cell, the columns of a row's queen).
        problem: `[num_choices]`, the problem of each choice in a batch.
    """

    candidate: Tensor
    unit: Tensor
    kind_ptr: list[int]
    pair_ptr: list[int]
    choice: Tensor
    problem: Tensor
    num_problems: int

    @classmethod
    def of(cls, graphs: Sequence[Constraints]) -> Incidence:
        """A batch. The first family of each graph are its choices. A unit with one candidate says nothing and is
        left out, so that a graph's families need not fit those of its neighbours."""
        candidates, units, kind_ptr, pair_ptr = [], [], [0], [0]
        for kind in range(UNIT_KINDS):
            offset = 0
            for graph in graphs:
                for family, index, count in graph.units:
                    if family != kind:
                        continue
                    sizes = torch.bincount(index, minlength=count)
                    name = (sizes > 1).cumsum(0) - 1 + kind_ptr[-1]
                    there = sizes[index] > 1
                    candidates.append(offset + there.nonzero().flatten())
                    units.append(name[index[there]])
                    kind_ptr[-1] += int((sizes > 1).sum())
                offset += graph.num_candidates
            kind_ptr.append(kind_ptr[-1])
            pair_ptr.append(sum(map(len, units)))
        kind_ptr = [0, *kind_ptr[:-1]]
        counts = [graph.units[0][2] for graph in graphs]
        choice = torch.cat([graph.units[0][1] + sum(counts[:at]) for at, graph in enumerate(graphs)])
        problem = torch.arange(len(graphs)).repeat_interleave(torch.tensor(counts))
        return cls(torch.cat(candidates), torch.cat(units), kind_ptr, pair_ptr, choice, problem, len(graphs))

    @property
    def num_candidates(self) -> int:
        return self.choice.numel()

    @property
    def num_choices(self) -> int:
        return self.problem.numel()

    def to(self, device: torch.device | str) -> Incidence:
        moved = (t.to(device) for t in (self.candidate, self.unit, self.choice, self.problem))
        candidate, unit, choice, problem = moved
        return Incidence(candidate, unit, self.kind_ptr, self.pair_ptr, choice, problem, self.num_problems)
