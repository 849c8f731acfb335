"""Who pulls whom? The graph between oscillators, read off their phases (graph evolution, Spadon et al., 2022).

    python examples/coupled_oscillators.py              # seconds on one core
    python examples/coupled_oscillators.py --steps 5

48 series train how oscillators act on each other; 16 series with graphs never seen are then read, once, step by step,
and their graphs inferred. A second set of series changes its graph half-way. Expected, seed 0: edge recovery AUC about
0.98 (correlation of the signals: 0.59).
"""

import argparse

import torch

from structnet.datasets.temporal import oscillators
from structnet.models.evolving_graph import EvolvingGraph
from structnet.unroll import stream


def auc(said: torch.Tensor, graph: torch.Tensor) -> float:
    """Area under the ROC curve of |said| for the edges of each graph, averaged; both `[series, N, N]`."""
    off = ~torch.eye(graph.shape[-1], dtype=torch.bool)
    areas = []
    for one, true in zip(said.abs(), graph):
        edge, other = one[off & (true > 0)], one[off & (true == 0)]
        wins = (edge[:, None] > other).float() + 0.5 * (edge[:, None] == other).float()
        areas.append(float(wins.mean()))
    return sum(areas) / len(areas)


def main(steps: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    phases, _ = oscillators(48, steps=200, noise=0.05, seed=0)
    model = EvolvingGraph(channels=2, hidden=48, forget=1.0, ridge=1e-3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / steps)
        _, error = model.fit(phases[torch.randperm(48)[:4]])
        optimizer.zero_grad()
        error.log().backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step:4}  error {error.item():.5f}")

    seen, graphs = oscillators(16, steps=200, noise=0.05, seed=1)
    for read, (_, state) in enumerate(stream(model, seen.unbind(1)), 1):
        if read in (25, 50, 100, 200):
            print(f"{read:4} steps read: AUC {auc(model.graph(state), graphs[:, 0]):.3f}")
    centred = seen - seen.mean(1, keepdim=True)
    print(f"correlation of the signals: AUC {auc(torch.einsum('stic,stjc->sij', centred, centred), graphs[:, 0]):.3f}")

    moving, graphs = oscillators(16, steps=300, noise=0.05, switch=150, seed=2)
    forgetful = EvolvingGraph(channels=2, hidden=48, forget=0.97, ridge=1e-3)  # the same functions, a shorter memory
    forgetful.load_state_dict(model.state_dict() | {"memory": forgetful.memory})
    for read, (_, state) in enumerate(stream(forgetful, moving.unbind(1)), 1):
        if read in (150, 200, 300):
            first, second = (auc(forgetful.graph(state), graphs[:, k]) for k in (0, 1))
            print(f"{read:4} steps, another graph from 150: AUC {first:.3f} for the first, {second:.3f} for the second")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400)
    main(**vars(parser.parse_args()))
