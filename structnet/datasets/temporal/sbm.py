"""Dynamic stochastic block model: communities whose members wander, one graph per step."""

from __future__ import annotations

import numpy as np
import torch

from structnet.datasets.cache import cached
from structnet.errors import StructureError
from structnet.structures.snapshots import EdgeStream


def block_model(
    nodes: int = 1000,
    communities: int = 2,
    steps: int = 50,
    inside: float = 0.16,
    across: float = 0.01,
    migrants: int = 10,
    seed: int = 0,
) -> EdgeStream:
    """Edges of every step; the time is its number.

    In each step every pair inside a community is linked with probability `inside`, any other with `across`, and
    `migrants` nodes of community 0 have moved to a random other one (of the others, as many move back once 0 is down to
    half its share). Pairs are directed both ways: a link is drawn once and stands in both directions.

    The defaults give the sizes of EvolveGCN's SBM data (1,000 nodes, 50 steps, about 97,000 directed edges each, slow
    migration); theirs come from DynGEM's generator without a seed, so the graphs themselves differ. Cost O(steps N^2).
    """
    for name, value in (("inside", inside), ("across", across)):
        if not 0 <= value <= 1:
            raise StructureError(f"{name} between 0 and 1", f"{value}", f"{name}=0.1")
    if nodes < communities or communities < 2:
        raise StructureError("2 <= communities <= nodes", f"{communities}, {nodes}", "communities=2, nodes=1000")
    name = f"temporal/sbm-{nodes}-{communities}-{steps}-{inside}-{across}-{migrants}-{seed}"
    arrays = cached(name, lambda: _draw(nodes, communities, steps, inside, across, migrants, seed))
    source, target, time = (torch.from_numpy(arrays[key]).long() for key in ("source", "target", "time"))
    return EdgeStream.of(source, target, time, nodes)


def _draw(nodes, communities, steps, inside, across, migrants, seed) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    block = np.arange(nodes) * communities // nodes
    least = nodes // communities // 2
    upper = np.triu_indices(nodes, 1)
    parts, sizes = [], []
    for _ in range(steps):
        same = block[upper[0]] == block[upper[1]]
        kept = rng.random(len(same)) < np.where(same, inside, across)
        one, other = upper[0][kept], upper[1][kept]
        parts.append(np.stack([np.concatenate([one, other]), np.concatenate([other, one])]).astype(np.int32))
        sizes.append(2 * len(one))
        home, away = np.flatnonzero(block == 0), np.flatnonzero(block != 0)
        if len(home) - migrants >= least:
            block[rng.choice(home, migrants, replace=False)] = rng.integers(1, communities, migrants)
        else:
            block[rng.choice(away, min(migrants, len(away)), replace=False)] = 0
    edges = np.concatenate(parts, 1)
    return {"source": edges[0], "target": edges[1], "time": np.repeat(np.arange(steps, dtype=np.int16), sizes)}
