"""Breadth-first search, shortest paths and spanning trees."""

from __future__ import annotations

import numpy as np

from structnet.datasets.algorithms.depth_first import GRAPH, graph_inputs, random_graph
from structnet.datasets.algorithms.trace import Algorithm, Trace, one, one_hot, spec

SOURCE = GRAPH + ", s node mask_one"


def _from_source(rng: np.random.Generator, n: int, directed: bool, weights: bool) -> tuple[Trace, np.ndarray, int]:
    graph, source = random_graph(rng, n, 0.5, directed, weights), int(rng.integers(n))
    return Trace(graph_inputs(graph, s=one(source, n))), graph, source


def bfs(rng: np.random.Generator, n: int) -> Trace:
    """All nodes of a distance at once; the parent is the first neighbour that was there."""
    trace, graph, source = _from_source(rng, n, False, False)
    reach, parent = one(source, n), np.arange(n)
    trace.step(reach_h=reach, pi_h=parent)
    while True:
        ahead = (graph * reach[:, None] > 0) & (reach == 0)
        fresh = ahead.any(0)
        if not fresh.any():
            break
        parent[fresh] = ahead.argmax(0)[fresh]
        reach = np.maximum(reach, fresh)
        trace.step(reach_h=reach, pi_h=parent)
    trace.outputs["pi"] = parent
    return trace


def bellman_ford(rng: np.random.Generator, n: int) -> Trace:
    """All edges relaxed at once, until nothing changes; 0 stands for an unknown distance where `msk` is 0."""
    trace, graph, source = _from_source(rng, n, False, True)
    distance, parent = np.where(np.arange(n) == source, 0.0, np.inf), np.arange(n)

    def note():
        known = np.isfinite(distance)
        trace.step(pi_h=parent, d=np.where(known, distance, 0.0), msk=known.astype(float))

    note()
    while True:
        way = np.where(graph > 0, distance[:, None] + graph, np.inf)
        shorter = way.min(0) < distance
        if not shorter.any():
            break
        parent[shorter] = way.argmin(0)[shorter]
        distance = np.minimum(distance, way.min(0))
        note()
    trace.outputs["pi"] = parent
    return trace


def _greedy(rng: np.random.Generator, n: int, label: str, cost) -> Trace:
    """Dijkstra and Prim: take the nearest node of the queue, then offer its edges; `cost(key of u, weight)`."""
    trace, graph, source = _from_source(rng, n, False, True)
    key, parent = np.zeros(n), np.arange(n)
    done, queued, u = np.zeros(n), one(source, n), source

    def note():
        trace.step(pi_h=parent, mark=done, in_queue=queued, u=one(u, n), **{label: key})

    note()
    while queued.any():
        u = int(np.where(queued > 0, key, np.inf).argmin())
        done[u], queued[u] = 1, 0
        for v in np.flatnonzero(graph[u]):
            offer = cost(key[u], graph[u, v])
            if not done[v] and (not queued[v] or offer < key[v]):
                parent[v], key[v], queued[v] = u, offer, 1
        note()
    trace.outputs["pi"] = parent
    return trace


def dijkstra(rng: np.random.Generator, n: int) -> Trace:
    return _greedy(rng, n, "d", lambda key, weight: key + weight)


def mst_prim(rng: np.random.Generator, n: int) -> Trace:
    return _greedy(rng, n, "key", lambda key, weight: weight)


def mst_kruskal(rng: np.random.Generator, n: int) -> Trace:
    """Edges by rising weight; phases: 0 looks at an edge, 1 climbs from u to its root, 2 from v to its root."""
    graph = random_graph(rng, n, 0.2, directed=False, weights=True)
    trace, tree, parent = Trace(graph_inputs(graph)), np.zeros((n, n)), np.arange(n)
    edges = sorted((graph[u, v], u, v) for u in range(n) for v in range(u + 1, n) if graph[u, v])

    def note(u, v, roots, climbed, phase):
        trace.step(in_mst_h=tree, pi=parent, u=one(u, n), v=one(v, n), root_u=one(roots[0], n), root_v=one(roots[1], n),
                   mask_u=climbed[0], mask_v=climbed[1], phase=one_hot(phase, 3))  # fmt: skip

    note(0, 0, [0, 0], np.zeros((2, n)), 0)
    for _, u, v in edges:
        roots, climbed = [u, v], np.zeros((2, n))
        note(u, v, roots, climbed, 0)
        for side in (0, 1):
            while parent[roots[side]] != roots[side]:
                climbed[side][roots[side]] = 1
                roots[side] = int(parent[roots[side]])
                note(u, v, roots, climbed, 1 + side)
            parent[climbed[side] > 0] = roots[side]
        if roots[0] != roots[1]:
            tree[u, v] = tree[v, u] = 1
            parent[roots[0]] = roots[1]
    note(0, 0, [0, 0], np.zeros((2, n)), 0)
    trace.outputs["in_mst"] = tree
    return trace


PATHS = {
    "bfs": Algorithm(spec(SOURCE, "reach_h node mask, pi_h node pointer", "pi node pointer"), bfs),
    "bellman_ford": Algorithm(
        spec(SOURCE, "pi_h node pointer, d node scalar, msk node mask", "pi node pointer"), bellman_ford),
    "dijkstra": Algorithm(
        spec(SOURCE, "pi_h node pointer, d node scalar, mark node mask, in_queue node mask, u node mask_one",
             "pi node pointer"), dijkstra),
    "mst_prim": Algorithm(
        spec(SOURCE, "pi_h node pointer, key node scalar, mark node mask, in_queue node mask, u node mask_one",
             "pi node pointer"), mst_prim),
    "mst_kruskal": Algorithm(
        spec(GRAPH, "in_mst_h edge mask, pi node pointer, u node mask_one, v node mask_one, root_u node mask_one, "
                    "root_v node mask_one, mask_u node mask, mask_v node mask, phase graph categorical",
             "in_mst edge mask"), mst_kruskal),
}  # fmt: skip
