"""Coupled oscillators on a hidden graph: what is seen are the phases, what is asked is who pulls whom."""

from __future__ import annotations

import torch
from torch import Tensor

from structnet.errors import StructureError


def oscillators(
    series: int,
    nodes: int = 10,
    steps: int = 200,
    edges: float = 0.25,
    coupling: float = 1.0,
    noise: float = 0.2,
    switch: int = 0,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Kuramoto oscillators, each series with a graph and frequencies of its own.

        d theta_i = (omega_i + coupling * sum_j A_ij sin(theta_j - theta_i)) dt + noise dW,   dt = 0.1 (10 Euler steps)

    Args:
        edges: probability of each directed edge.
        switch: step at which every series gets another graph, 0 for never.

    Returns phases as (cos, sin), float `[series, steps, nodes, 2]`, and graphs `[series, G, nodes, nodes]`, G = 1 or 2,
    `A[..., i, j]` = 1 where j pulls i.
    """
    if not 0 <= switch < steps:
        raise StructureError(f"switch in 0 .. {steps - 1}", f"{switch}", "switch=0 for one graph")
    generator = torch.Generator().manual_seed(seed)
    count = 2 if switch else 1
    graphs = (torch.rand(series, count, nodes, nodes, generator=generator) < edges).float()
    graphs = graphs * (1 - torch.eye(nodes))
    omega = 1.5 * torch.randn(series, nodes, generator=generator)
    theta = 6.2832 * torch.rand(series, nodes, generator=generator)
    seen, dt = [], 0.01
    for t in range(steps):
        pull = coupling * graphs[:, int(bool(switch) and t >= switch)]
        seen.append(torch.stack([theta.cos(), theta.sin()], -1))
        for _ in range(10):
            force = (pull * (theta[:, None, :] - theta[:, :, None]).sin()).sum(-1)
            theta = theta + dt * (omega + force) + noise * dt**0.5 * torch.randn(series, nodes, generator=generator)
    return torch.stack(seen, 1), graphs
