"""Random graphs of many kinds and six questions about each: the multitask benchmark of principal neighbourhood
aggregation (Corso et al., "Principal Neighbourhood Aggregation for Graph Nets", NeurIPS 2020, section 4)."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import numpy as np

from structnet.datasets.cache import Arrays

NODE_LABELS = ("sssp", "eccentricity", "laplacian")
GRAPH_LABELS = ("connected", "diameter", "spectral_radius")
KEEP = 0.9  # chance of an edge to survive the last shuffle (the rarer of edges and gaps)


def _factors(n: int) -> tuple[int, int]:
    """m k = n with m <= k as close as possible."""
    m = max(i for i in range(1, int(n**0.5) + 1) if n % i == 0)
    return m, n // m


def _ladder(n: int) -> nx.Graph:
    graph = nx.ladder_graph(n // 2)
    if n % 2:
        graph.add_edge(0, n - 1)
    return graph


def _hanging(n: int, rng: np.random.Generator, rows: int) -> nx.Graph:
    """A path; then, `rows` times, nodes that hang from nodes of the row before (caterpillar 1, lobster 2)."""
    first, last = 0, int(rng.integers(1, n))
    graph = nx.path_graph(last)
    for row in range(rows):
        stop = n if row == rows - 1 else int(rng.integers(last + 1, n + 1))
        graph.add_edges_from((i, int(rng.integers(first, last))) for i in range(last, stop))
        first, last = last, stop
    return graph


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


# kind -> (share, graph of n nodes)
KINDS: dict[str, tuple[float, Callable[[int, np.random.Generator], nx.Graph]]] = {
    "erdos_renyi": (0.2, lambda n, rng: nx.fast_gnp_random_graph(n, rng.random(), seed=_seed(rng))),
    "barabasi_albert": (0.2, lambda n, rng: nx.barabasi_albert_graph(n, int(rng.integers(1, n)), seed=_seed(rng))),
    "grid": (0.05, lambda n, rng: nx.grid_2d_graph(*_factors(n))),
    "caveman": (0.05, lambda n, rng: nx.caveman_graph(*_factors(n))),
    "tree": (0.15, lambda n, rng: nx.random_powerlaw_tree(n, seed=_seed(rng), tries=10_000)),
    "ladder": (0.05, lambda n, rng: _ladder(n)),
    "line": (0.05, lambda n, rng: nx.path_graph(n)),
    "star": (0.05, lambda n, rng: nx.star_graph(n - 1)),
    "caterpillar": (0.1, lambda n, rng: _hanging(n, rng, 1)),
    "lobster": (0.1, lambda n, rng: _hanging(n, rng, 2)),
}


def adjacency(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Adjacency matrix bool `[n, n]` of a graph of this kind without isolated nodes, its nodes in random order and some
    of its edges exchanged, so that their expected number stays what it was."""
    while True:
        graph = KINDS[kind][1](n, rng)
        nodes = list(graph)
        found = nx.to_numpy_array(graph, [nodes[i] for i in rng.permutation(n)]) > 0
        edges, pairs = found.sum() / 2, n * (n - 1) / 2
        gaps = pairs - edges
        stay = KEEP if edges <= gaps else 1 - (1 - KEEP) * gaps / edges
        come = (1 - KEEP) * edges / gaps if edges <= gaps else 1 - KEEP
        draw = np.triu(rng.random((n, n)), 1)
        found = np.where(found, (draw + draw.T) < stay, (draw + draw.T) < come)
        np.fill_diagonal(found, False)
        if found.any(0).all():
            return found


def steps_between(adjacent: np.ndarray) -> np.ndarray:
    """Edges on the shortest way between any two nodes, int64 `[n, n]`; -1 where there is none."""
    reach, near = np.eye(len(adjacent), dtype=bool), adjacent.astype(np.float32)
    steps = np.where(reach, 0, -1)
    for step in range(1, len(adjacent)):
        new = (reach @ near > 0) & (steps < 0)
        if not new.any():
            break
        steps[new] = step
        reach = new
    return steps


def labels(adjacent: np.ndarray, value: np.ndarray, source: int) -> tuple[np.ndarray, np.ndarray]:
    """`[n, 3]` for `NODE_LABELS` and `[3]` for `GRAPH_LABELS`: steps from the source (0 where there is no way),
    eccentricity (the furthest of those within reach), Laplacian times `value`; whether the graph is connected, its
    diameter (the largest eccentricity), the largest absolute eigenvalue of the adjacency matrix."""
    weights, steps = adjacent.astype(np.float32), steps_between(adjacent)
    furthest = steps.max(0)
    laplacian = adjacent.sum(0) * value - weights @ value
    nodes = np.stack([np.maximum(steps[source], 0), furthest, laplacian], 1)
    connected, radius = float((steps >= 0).all()), float(np.abs(np.linalg.eigvalsh(weights)).max())
    return nodes, np.array([connected, furthest.max(), radius])


def draw(sizes: np.ndarray, rng: np.random.Generator) -> Arrays:
    """Graphs of these sizes, flat: `ptr` `[G + 1]` of nodes, `edge_ptr` `[G + 1]`, `edge_index` `[2, E]` within each
    graph, both directions; `x` `[N, 2]` (is the source; a value uniform in 0 .. 1), `nodes` `[N, 3]`, `graphs`
    `[G, 3]`."""
    kinds, shares = list(KINDS), [share for share, _ in KINDS.values()]
    x, nodes, graphs, edges = [], [], [], []
    for n in sizes.tolist():
        adjacent = adjacency(kinds[rng.choice(len(kinds), p=shares)], n, rng)
        value, source = rng.random(n), int(rng.integers(n))
        of_nodes, of_graph = labels(adjacent, value, source)
        x.append(np.stack([np.arange(n) == source, value], 1))
        nodes.append(of_nodes)
        graphs.append(of_graph)
        edges.append(np.stack(np.nonzero(adjacent)))
    return {
        "ptr": np.concatenate([[0], np.cumsum(sizes)]), "edge_ptr": np.cumsum([0, *(e.shape[1] for e in edges)]),
        "edge_index": np.concatenate(edges, 1), "x": np.concatenate(x).astype(np.float32),
        "nodes": np.concatenate(nodes).astype(np.float32), "graphs": np.stack(graphs).astype(np.float32),
    }  # fmt: skip
