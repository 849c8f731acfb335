"""Every sampled run against an independent solver, and the format of every probe."""

import networkx as nx
import numpy as np
import pytest
from scipy.spatial import ConvexHull

from structnet.datasets.algorithms import ALGORITHMS

SIZES = (4, 5, 16, 33)


def runs(name, count=25):
    for n in SIZES:
        for seed in range(count if n < 33 else 5):
            yield ALGORITHMS[name].sample(np.random.default_rng([seed, n]), n)


def order_of(pointer):
    """The order that predecessor pointers describe: the first element points at itself."""
    after = {int(p): v for v, p in enumerate(pointer) if p != v}
    order = [v for v, p in enumerate(pointer) if p == v]
    assert len(order) == 1
    while order[-1] in after:
        order.append(after[order[-1]])
    return order


def network(trace, directed):
    graph = nx.DiGraph() if directed else nx.Graph()
    graph.add_nodes_from(range(len(trace.inputs["A"])))
    for u, v in np.argwhere(trace.inputs["A"] > 0):
        if u != v:
            graph.add_edge(int(u), int(v), weight=trace.inputs["A"][u, v])
    return graph


@pytest.mark.parametrize("name", ALGORITHMS)
def test_probes_have_the_shapes_they_promise(name):
    algorithm = ALGORITHMS[name]
    for n in (4, 16):
        trace = algorithm.sample(np.random.default_rng(n), n)
        n = len(trace.inputs["pos"])
        for stage, data in (("input", trace.inputs), ("hint", trace.hints), ("output", trace.outputs)):
            probes = algorithm.probes(stage)
            assert set(data) == set(probes)
            for key, (_, location, kind) in probes.items():
                array = data[key][0] if stage == "hint" else data[key]
                shape = {"node": (n,), "edge": (n, n), "graph": ()}[location]
                if kind == "categorical":
                    assert array.shape[:-1] == shape and (data[key].sum(-1) == 1).all()
                else:
                    assert array.shape == shape
                if kind == "pointer":
                    assert array.dtype == np.int64 and data[key].min() >= 0 and data[key].max() < n
                if kind == "mask_one":
                    assert (data[key].sum(-1) == 1).all()
                if kind in ("mask", "mask_one", "categorical"):
                    assert np.isin(data[key], (0, 1)).all()
                assert np.isfinite(data[key]).all()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_same_seed_same_run(name):
    first, again = (ALGORITHMS[name].sample(np.random.default_rng(3), 12) for _ in range(2))
    for key, value in first.hints.items():
        assert np.array_equal(value, again.hints[key])


# steps at n = 16 where CLRS-30's count follows from the algorithm alone
STEPS = {"insertion_sort": 16, "bubble_sort": 121, "minimum": 16, "find_max_subarray": 16, "binary_search": 5,
         "lcs_length": 9, "segments_intersect": 5}  # fmt: skip


@pytest.mark.parametrize("name, steps", STEPS.items())
def test_as_many_steps_as_in_clrs(name, steps):
    assert ALGORITHMS[name].sample(np.random.default_rng(0), 16).length == steps


@pytest.mark.parametrize("name", ["insertion_sort", "bubble_sort", "heapsort", "quicksort"])
def test_sorting(name):
    for trace in runs(name):
        key = trace.inputs["key"]
        assert order_of(trace.outputs["pred"]) == np.argsort(key).tolist()
        for pointer in trace.hints["pred_h"][:: max(trace.length // 10, 1)]:
            assert sorted(order_of(pointer)) == list(range(len(key)))
        assert np.array_equal(trace.hints["pred_h"][-1], trace.outputs["pred"])


def test_heap_property_when_sorting_begins():
    for trace in runs("heapsort"):
        built = int(np.argmax(trace.hints["phase"][:, 1])) - 1
        key, parent = trace.inputs["key"], trace.hints["parent"][built]
        assert (parent != np.arange(len(key))).sum() == len(key) - 1 and (key[parent] >= key).all()


def test_selection_and_search():
    for trace in runs("quickselect"):
        key = trace.inputs["key"]
        assert trace.outputs["median"].argmax() == np.argsort(key)[(len(key) - 1) // 2]
        assert trace.hints["pivot"][-1].argmax() == trace.outputs["median"].argmax()
    for trace in runs("minimum"):
        assert trace.outputs["min"].argmax() == trace.inputs["key"].argmin()
        assert (np.diff(trace.hints["min_h"] @ trace.inputs["key"]) <= 0).all()
    for trace in runs("binary_search"):
        place = np.searchsorted(trace.inputs["key"], trace.inputs["target"])
        assert trace.outputs["return"].argmax() == min(place, len(trace.inputs["key"]) - 1)


def test_largest_range():
    for trace in runs("find_max_subarray"):
        key = trace.inputs["key"]
        sums = {(i, j): key[i : j + 1].sum() for i in range(len(key)) for j in range(i, len(key))}
        assert max(sums, key=sums.get) == (trace.outputs["start"].argmax(), trace.outputs["end"].argmax())


def test_breadth_first():
    for trace in runs("bfs"):
        graph, source, parent = network(trace, False), int(trace.inputs["s"].argmax()), trace.outputs["pi"]
        depth = nx.single_source_shortest_path_length(graph, source)
        assert set(np.flatnonzero(trace.hints["reach_h"][-1])) == set(depth)
        for v, u in enumerate(parent):
            assert u == v if v == source or v not in depth else graph.has_edge(u, v) and depth[v] == depth[u] + 1


@pytest.mark.parametrize("name", ["bellman_ford", "dijkstra"])
def test_shortest_paths(name):
    for trace in runs(name):
        graph, source = network(trace, False), int(trace.inputs["s"].argmax())
        wanted = nx.single_source_dijkstra_path_length(graph, source)
        for v, u in enumerate(trace.outputs["pi"]):
            if v in wanted and v != source:
                assert np.isclose(wanted[v], wanted[u] + graph[u][v]["weight"])
                assert np.isclose(trace.hints["d"][-1][v], wanted[v])
            else:
                assert u == v


def test_spanning_trees():
    for trace in runs("mst_kruskal"):
        graph = network(trace, False)
        wanted = nx.minimum_spanning_tree(graph).edges()
        assert {(u, v) for u, v in np.argwhere(trace.outputs["in_mst"]) if u < v} == {tuple(sorted(e)) for e in wanted}
    for trace in runs("mst_prim"):
        graph, source = network(trace, False), int(trace.inputs["s"].argmax())
        part = graph.subgraph(nx.node_connected_component(graph, source))
        wanted = {tuple(sorted(e)) for e in nx.minimum_spanning_tree(part).edges()}
        assert {tuple(sorted((u, v))) for v, u in enumerate(trace.outputs["pi"]) if u != v} == wanted


def test_depth_first():
    for trace in runs("dfs"):
        graph, parent = network(trace, True), trace.outputs["pi"]
        found = {(int(u), v) for v, u in enumerate(parent) if u != v}
        wanted = set()
        seen = set()
        for start in graph:  # networkx visits neighbours in the order in which edges were added: by number
            if start not in seen:
                tree = nx.dfs_tree(graph.subgraph(set(graph) - seen), start, sort_neighbors=sorted)
                wanted |= set(tree.edges())
                seen |= set(tree)
        assert found == wanted
        assert (trace.hints["d"][-1] < trace.hints["f"][-1]).all() and np.isclose(
            trace.hints["time"][-1], 0.02 * len(parent)
        )


def test_topological_order():
    for trace in runs("topological_sort"):
        after, v = trace.outputs["topo"], int(trace.outputs["topo_head"].argmax())
        order = [v]
        while after[v] != v:
            v = int(after[v])
            order.append(v)
        place = np.argsort(order)
        assert sorted(order) == list(range(len(after)))
        assert all(place[u] < place[v] for u, v in network(trace, True).edges())


def test_cuts_and_bridges():
    for trace in runs("articulation_points"):
        assert set(np.flatnonzero(trace.outputs["is_cut"])) == set(nx.articulation_points(network(trace, False)))
    for trace in runs("bridges"):
        wanted = {tuple(sorted(edge)) for edge in nx.bridges(network(trace, False))}
        assert {(u, v) for u, v in np.argwhere(trace.outputs["is_bridge"]) if u < v} == wanted


def test_components():
    for trace in runs("strongly_connected_components"):
        scc = trace.outputs["scc_id"]
        groups = {frozenset(np.flatnonzero(scc == c)) for c in set(scc)}
        assert groups == {frozenset(c) for c in nx.strongly_connected_components(network(trace, True))}


def letters(trace):
    key, second = trace.inputs["key"].argmax(-1), trace.inputs["string"] > 0
    return "".join(map(str, key[~second])), "".join(map(str, key[second]))


@pytest.mark.parametrize("name", ["naive_string_matcher", "kmp_matcher"])
def test_matching(name):
    for trace in runs(name):
        text, needle = letters(trace)
        assert trace.outputs["match"].argmax() == text.find(needle) >= 0


def test_failure_function():
    for trace in runs("kmp_matcher"):
        text, needle = letters(trace)
        for j in range(len(needle)):
            border = max(k for k in range(j + 1) if needle[:k] == needle[j + 1 - k : j + 1])
            assert trace.hints["is_reset"][-1][len(text) + j] == (border == 0)
            if border:
                assert trace.hints["pi"][-1][len(text) + j] == len(text) + border - 1


def test_common_subsequence():
    for trace in runs("lcs_length"):
        (first, second), choice = letters(trace), trace.outputs["b"].argmax(-1)
        lengths = {}
        for i in range(len(first) - 1, -1, -1):  # from the back, unlike the sampler
            for j in range(len(second) - 1, -1, -1):
                both = 1 + lengths.get((i + 1, j + 1), 0) if first[i] == second[j] else 0
                lengths[i, j] = max(both, lengths.get((i + 1, j), 0), lengths.get((i, j + 1), 0))
        i, j, walked = len(first) - 1, len(second) - 1, 0
        while i >= 0 and j >= 0:
            step = choice[i, len(first) + j]
            assert step and (step != 1 or first[i] == second[j])
            walked += step == 1
            i, j = i - (step in (1, 2)), j - (step in (1, 3))
        assert walked == lengths[0, 0]
        assert (choice[len(first) :] == 0).all() and (choice[:, : len(first)] == 0).all()


def test_crossing_segments():
    crossings = []
    for trace in runs("segments_intersect", 100):
        a, b, c, d = np.stack([trace.inputs["x"], trace.inputs["y"]], 1)
        s, t = np.linalg.solve(np.stack([b - a, c - d], 1), c - a)  # a + s (b - a) = c + t (d - c)
        assert trace.outputs["intersect"] == float(0 < s < 1 and 0 < t < 1)
        crossings.append(trace.outputs["intersect"])
    assert 0.4 < np.mean(crossings) < 0.6


def test_hull():
    for trace in runs("graham_scan"):
        hull = ConvexHull(np.stack([trace.inputs["x"], trace.inputs["y"]], 1))
        assert set(np.flatnonzero(trace.outputs["in_hull"])) == set(hull.vertices.tolist())
