"""What a stream of edges has shown up to a step: pairs seen, how often, how long ago, and how popular nodes are."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class PairHistory:
    """Facts about the P pairs seen so far and the N nodes; steps count back from now (0: in the present step).

    Attributes:
        num_nodes: N.
        key: int64 `[P]`, source * N + target, increasing.
        age, count: float `[P]`, steps since the pair was last seen, events so far.
        recent, total: float `[N]`, events that reached a node in the last `window` steps and ever.
        idle: float `[N]`, steps since a node last took part in an event; `step + 1` if it never did.
    """

    num_nodes: int
    key: Tensor
    age: Tensor
    count: Tensor
    recent: Tensor
    total: Tensor
    idle: Tensor

    @classmethod
    def at(cls, source: Tensor, target: Tensor, steps: Tensor, now: int, num_nodes: int, window: int = 10) -> PairHistory:
        """Of all edges with `steps <= now` (`steps` never decreases). Cost O(E log E)."""
        seen = int(torch.searchsorted(steps, torch.tensor(now), right=True))
        source, target, steps = source[:seen], target[:seen], steps[:seen]
        key, place, count = (source * num_nodes + target).unique(return_inverse=True, return_counts=True)
        last = torch.zeros(len(key), dtype=torch.int64).scatter_reduce(0, place, steps, "amax")
        active = torch.full((num_nodes,), -1).scatter_reduce(0, torch.cat([source, target]), steps.repeat(2), "amax")
        recent = torch.bincount(target[steps > now - window], minlength=num_nodes)
        total = torch.bincount(target, minlength=num_nodes)
        return cls(num_nodes, key, (now - last).float(), count.float(), recent.float(), total.float(), (now - active).float())

    def to(self, device: torch.device | str) -> PairHistory:
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "num_nodes"}
        return replace(self, **moved)

    def find(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Of the given pairs, those that were seen: their places among the given ones, and among the P."""
        key = source * self.num_nodes + target
        if self.key.numel() == 0:
            return key[:0], key[:0]
        place = torch.searchsorted(self.key, key).clamp(max=self.key.numel() - 1)
        given = (self.key[place] == key).nonzero().flatten()
        return given, place[given]

    def rows(self, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All seen pairs that start at `source` `[R]`: number of the row (0 .. R - 1), target, place among the P."""
        start = torch.searchsorted(self.key, source * self.num_nodes)
        end = torch.searchsorted(self.key, (source + 1) * self.num_nodes)
        row = torch.arange(len(source), device=source.device).repeat_interleave(end - start)
        before = (end - start).cumsum(0) - (end - start)
        place = torch.arange(len(row), device=row.device) - before[row] + start[row]
        return row, self.key[place] % self.num_nodes, place
