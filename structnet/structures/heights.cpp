// Heights of a forest or DAG: a node is finished when all its children are (Kahn's order). O(nodes + edges).
// topology.py holds the same in numpy.
#include <algorithm>
#include <cstdint>
#include <vector>

// Longest way down from each node; returns the number of finished nodes, fewer than all of them where there is a cycle
// (unfinished nodes keep -1).
extern "C" int64_t structnet_heights(const int64_t* child_ptr, const int64_t* child, int64_t nodes, int64_t* height) {
    const int64_t edges = child_ptr[nodes];
    std::vector<int64_t> parent_ptr(nodes + 2), parent(edges), waiting(nodes), level(nodes), ready;
    for (int64_t e = 0; e < edges; ++e) ++parent_ptr[child[e] + 2];
    for (int64_t v = 0; v < nodes; ++v) parent_ptr[v + 2] += parent_ptr[v + 1];
    for (int64_t v = 0; v < nodes; ++v)  // filling moves the start of v + 1 to its end: what was shifted by one is right
        for (int64_t e = child_ptr[v]; e < child_ptr[v + 1]; ++e) parent[parent_ptr[child[e] + 1]++] = v;
    ready.reserve(nodes);
    for (int64_t v = 0; v < nodes; ++v) {
        height[v] = -1;
        waiting[v] = child_ptr[v + 1] - child_ptr[v];
        if (waiting[v] == 0) ready.push_back(v);
    }
    for (size_t at = 0; at < ready.size(); ++at) {
        const int64_t v = ready[at];
        height[v] = level[v];
        for (int64_t e = parent_ptr[v]; e < parent_ptr[v + 1]; ++e) {
            const int64_t above = parent[e];
            level[above] = std::max(level[above], level[v] + 1);
            if (--waiting[above] == 0) ready.push_back(above);
        }
    }
    return int64_t(ready.size());
}
