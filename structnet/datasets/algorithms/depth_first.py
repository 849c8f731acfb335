"""Depth-first search and what is built on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from structnet.datasets.algorithms.trace import Algorithm, Array, Trace, one, one_hot, positions, spec

GRAPH = "pos node scalar, A edge scalar, adj edge mask"
STACK = ("color node categorical, s_prev node pointer, s node mask_one, u node mask_one, v node mask_one, "
         "s_last node mask_one")  # fmt: skip
TIMES = "d node scalar, f node scalar, time graph scalar"


def random_graph(
    rng: np.random.Generator, n: int, p: float = 0.5, directed: bool = True, weights: bool = False
) -> Array:
    """Bernoulli(p) matrix, 0 for no edge; undirected: times its transpose, so an edge has p^2 (a loop p): CLRS-30.
    Weighted: sqrt(w w^T + 1e-3) undirected, w in 0 .. 1 + 1e-3 directed."""
    graph = (rng.random((n, n)) < p).astype(float)
    graph = graph if directed else graph * graph.T
    if weights:
        w = rng.random((n, n))
        graph = graph * (w + 1e-3 if directed else np.sqrt(w * w.T + 1e-3))
    return graph


def graph_inputs(graph: Array, **more: Array) -> dict[str, Array]:
    n = len(graph)
    return {"pos": positions(n), "A": graph, "adj": ((graph > 0) | np.eye(n, dtype=bool)).astype(float), **more}


class DepthFirst:
    """The state of a search; `walk` changes it and says what has just happened, one event per step of the trace.

    A stack as a linked list: `below[v]` is the node under v, `top` the last. Clock ticks of 0.01.
    """

    def __init__(self, graph: Array):
        self.graph, self.n = graph, len(graph)
        self.parent, self.below = np.arange(self.n), np.arange(self.n)
        self.color = np.zeros(self.n, int)
        self.opened, self.closed = np.zeros(self.n), np.zeros(self.n)
        self.start = self.u = self.v = self.top = 0
        self.time = 0.0

    def walk(self, order) -> Iterator[str]:
        """Events: "open" u; "push" v from u; "seen" v, met again from u; "close" u; and "pop" back to u from v."""
        for start in order:
            if self.color[start]:
                continue
            self.start = self.u = self.v = self.top = int(start)
            ahead = {self.u: iter(np.flatnonzero(self.graph[self.u]))}
            yield self._open()
            while True:
                v = next(ahead[self.u], None)
                if v is None:
                    yield self._close()
                    child, self.u = self.u, int(self.below[self.u])
                    self.below[child], self.top = child, self.u
                    if child == self.u:
                        break
                    self.v = child
                    yield "pop"
                    continue
                self.v = int(v)
                if self.color[v]:
                    yield "seen"
                    continue
                self.parent[v], self.below[v], self.top = self.u, self.u, self.v
                yield "push"
                self.u = self.v
                ahead[self.u] = iter(np.flatnonzero(self.graph[self.u]))
                yield self._open()

    def _open(self) -> str:
        self.time += 0.01
        self.opened[self.u], self.color[self.u] = self.time, 1
        return "open"

    def _close(self) -> str:
        self.time += 0.01
        self.closed[self.u], self.color[self.u] = self.time, 2
        return "close"

    def stack(self) -> dict[str, Array]:
        n = self.n
        return {"color": one_hot(self.color, 3), "s_prev": self.below, "s": one(self.start, n), "u": one(self.u, n),
                "v": one(self.v, n), "s_last": one(self.top, n)}  # fmt: skip

    def times(self) -> dict[str, Array]:
        return {"d": self.opened, "f": self.closed, "time": np.array(self.time)}


def dfs(rng: np.random.Generator, n: int) -> Trace:
    search = DepthFirst(random_graph(rng, n))
    trace = Trace(graph_inputs(search.graph))
    for event in search.walk(range(n)):
        if event in ("open", "push", "close"):
            trace.step(pi_h=search.parent, **search.stack(), **search.times())
    trace.outputs["pi"] = search.parent.copy()
    return trace


def topological_sort(rng: np.random.Generator, n: int) -> Trace:
    """`topo[v]` is the next node of the order, the last points at itself."""
    graph, order = np.triu(random_graph(rng, n), 1), rng.permutation(n)
    search = DepthFirst(graph[np.ix_(order, order)])
    trace, topo, head = Trace(graph_inputs(search.graph)), np.arange(n), 0
    for event in search.walk(range(n)):
        if event == "close":
            topo[search.u] = search.u if search.color.tolist().count(2) == 1 else head
            head = search.u
        if event in ("open", "close"):
            trace.step(topo_h=topo, topo_head_h=one(head, n), **search.stack())
    trace.outputs.update(topo=topo, topo_head=one(head, n))
    return trace


def _lowpoints(search: DepthFirst, event: str, low: Array) -> bool:
    """Keep `low`, the earliest node that a subtree reaches by one edge back; whether the event is one to note."""
    u, v = search.u, search.v
    if event == "open":
        low[u] = search.opened[u]
    if event == "seen" and v != search.parent[u]:
        low[u] = min(low[u], search.opened[v])
    if event == "pop":
        low[u] = min(low[u], low[v])
    return event in ("open", "push", "close", "pop") or (event == "seen" and v != search.parent[u])


def articulation_points(rng: np.random.Generator, n: int) -> Trace:
    search = DepthFirst(random_graph(rng, n, 0.2, directed=False))
    trace = Trace(graph_inputs(search.graph))
    cut, low, children = np.zeros(n), np.zeros(n), np.zeros(n)
    for event in search.walk(range(n)):
        noted = _lowpoints(search, event, low)
        u, v = search.u, search.v
        if event == "pop":
            children[u] += 1
            root = search.parent[u] == u
            if (root and children[u] > 1) or (not root and low[v] >= search.opened[u]):
                cut[u] = 1
        if noted:
            trace.step(
                is_cut_h=cut, pi_h=search.parent, low=low, child_cnt=children, **search.stack(), **search.times()
            )
    trace.outputs["is_cut"] = cut
    return trace


def bridges(rng: np.random.Generator, n: int) -> Trace:
    search = DepthFirst(random_graph(rng, n, 0.2, directed=False))
    trace = Trace(graph_inputs(search.graph))
    bridge, low = np.zeros((n, n)), np.zeros(n)
    for event in search.walk(range(n)):
        noted = _lowpoints(search, event, low)
        u, v = search.u, search.v
        if event == "pop" and low[v] > search.opened[u]:
            bridge[u, v] = bridge[v, u] = 1
        if noted:
            trace.step(is_bridge_h=bridge, pi_h=search.parent, low=low, **search.stack(), **search.times())
    trace.outputs["is_bridge"] = bridge
    return trace


def strongly_connected_components(rng: np.random.Generator, n: int) -> Trace:
    """Kosaraju: a search, then one of the transposed graph by falling closing time; a component points at its start."""
    group, order = np.arange(n) * 4 // n, rng.permutation(n)
    p = np.where(group[:, None] == group, 0.5, 0.01)
    graph = (rng.random((n, n)) < p).astype(float)[np.ix_(order, order)]
    first, trace, component = DepthFirst(graph), Trace(graph_inputs(graph)), np.arange(n)

    def note(search, phase):
        trace.step(
            scc_id_h=component, A_t=graph.T if phase else graph, phase=float(phase), **search.stack(), **search.times()
        )

    for event in first.walk(range(n)):
        if event in ("open", "push", "close"):
            note(first, 0)
    second = DepthFirst(graph.T)
    for event in second.walk(np.argsort(-first.closed)):
        if event == "open":
            component[second.u] = second.start
        if event in ("open", "push", "close"):
            note(second, 1)
    trace.outputs["scc_id"] = component
    return trace


DEPTH_FIRST = {
    "dfs": Algorithm(spec(GRAPH, f"pi_h node pointer, {STACK}, {TIMES}", "pi node pointer"), dfs),
    "topological_sort": Algorithm(
        spec(GRAPH, f"topo_h node pointer, topo_head_h node mask_one, {STACK}",
             "topo node pointer, topo_head node mask_one"),
        topological_sort),
    "articulation_points": Algorithm(
        spec(GRAPH, f"is_cut_h node mask, pi_h node pointer, low node scalar, child_cnt node scalar, {STACK}, {TIMES}",
             "is_cut node mask"), articulation_points),
    "bridges": Algorithm(
        spec(GRAPH, f"is_bridge_h edge mask, pi_h node pointer, low node scalar, {STACK}, {TIMES}",
             "is_bridge edge mask"),
        bridges),
    "strongly_connected_components": Algorithm(
        spec(GRAPH, f"scc_id_h node pointer, A_t edge mask, phase graph mask, {STACK}, {TIMES}", "scc_id node pointer"),
        strongly_connected_components),
}  # fmt: skip
