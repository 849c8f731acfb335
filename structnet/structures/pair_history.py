"""What a stream of edges has shown up to a step: pairs seen, how often, how long ago, and how popular nodes are."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from structnet.structures.snapshots import EdgeStream

HALF_LIVES = (0.25, 1.0, 3.0, 10.0)  # steps
PAIR, NODE = 10, 7  # columns of the learners' view


@dataclass(frozen=True)
class PairHistory:
    """Facts about the P pairs seen so far and the N nodes. Ages count in steps from the end of the present one.

    Attributes:
        num_nodes: N.
        key: int64 `[P]`, source * N + target, increasing.
        age: float `[P]`, whole steps since the pair was last seen (0: in the present one).
        recent, total: float `[N]`, events that reached a node in the last `window` steps and ever.
        pair: float `[P, 10]`, for learners, all logarithms: exact age twice (log(1 + a), log(0.01 + a)), time from the
            first to the last event, number of events; events that fade with half-lives of 0.25, 1, 3, 10 steps; those
            of half-life 3 in the pair's own direction, and in the other.
        node: float `[N, 7]`, likewise: recent, total, steps idle, and fading events with the four half-lives.
    """

    num_nodes: int
    key: Tensor
    age: Tensor
    recent: Tensor
    total: Tensor
    pair: Tensor
    node: Tensor

    @classmethod
    def at(cls, stream: EdgeStream, steps: Tensor, clock: Tensor, now: int, window: int = 10) -> PairHistory:
        """Of all edges with `steps <= now`.

        Args:
            steps: of every edge, int64, never decreasing. clock: the same unrounded, float.

        Cost O(E log E).
        """
        seen, nodes = int(torch.searchsorted(steps, torch.tensor(now), right=True)), stream.num_nodes
        source, target, steps = stream.source[:seen], stream.target[:seen], steps[:seen]
        age = (now + 1 - clock[:seen]).float()
        key, place, count = (source * nodes + target).unique(return_inverse=True, return_counts=True)
        far = torch.full((len(key),), torch.inf)
        last = torch.zeros(len(key), dtype=torch.int64).scatter_reduce(0, place, steps, "amax")
        youngest = far.scatter_reduce(0, place, age, "amin")
        span = (-far).scatter_reduce(0, place, age, "amax") - youngest
        fading = _fading(age, place, len(key))
        forward = torch.ones(seen) if stream.forward is None else stream.forward[:seen].float()
        own = torch.zeros(len(key)).index_add(0, place, forward * torch.exp2(-age / 3))
        back = torch.searchsorted(key, key % nodes * nodes + key // nodes).clamp(max=max(len(key) - 1, 0))
        other = torch.where(key[back] == key % nodes * nodes + key // nodes, own[back], 0)
        few = [youngest.log1p(), (youngest + 0.01).log(), span.log1p(), count.float().log1p()]
        pair = torch.stack([*few, *fading, (own + 0.01).log(), (other + 0.01).log()], 1)
        recent = torch.bincount(target[steps > now - window], minlength=nodes).float()
        total = torch.bincount(target, minlength=nodes).float()
        active = torch.full((nodes,), -1).scatter_reduce(0, torch.cat([source, target]), steps.repeat(2), "amax")
        columns = [recent.log1p(), total.log1p(), (now - active).float().log1p(), *_fading(age, target, nodes)]
        return cls(nodes, key, (now - last).float(), recent, total, pair, torch.stack(columns, 1))

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


def _fading(age: Tensor, place: Tensor, size: int) -> list[Tensor]:
    """log(0.01 + sum of 2^(-age / h)) for every half-life h."""
    return [(torch.zeros(size).index_add(0, place, torch.exp2(-age / h)) + 0.01).log() for h in HALF_LIVES]
