// Orders of work on forests: heavy paths by rounds, and an order of rows shared out by subtree. See heavy_paths.py.
#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

using Array = std::vector<int64_t>;

struct Forest {
    const int64_t *child_ptr, *child, *parent;  // a root is its own parent
    int64_t nodes;
};

enum class Rows { PARENTS_FIRST, CHILDREN_FIRST, ANY };

Rows order_of_rows(const Forest& f) {
    bool first = true, last = true;
    for (int64_t v = 0; v < f.nodes; ++v) first &= f.parent[v] <= v, last &= f.parent[v] >= v;
    return first ? Rows::PARENTS_FIRST : last ? Rows::CHILDREN_FIRST : Rows::ANY;
}

// All nodes, parents before children: the rows as they are where they allow it, else breadth first. Fewer on a cycle.
Array parents_first(const Forest& f, Rows rows) {
    Array order;
    order.reserve(f.nodes);
    if (rows != Rows::ANY) {
        for (int64_t v = 0; v < f.nodes; ++v) order.push_back(rows == Rows::PARENTS_FIRST ? v : f.nodes - 1 - v);
        return order;
    }
    for (int64_t v = 0; v < f.nodes; ++v)
        if (f.parent[v] == v) order.push_back(v);
    for (size_t i = 0; i < order.size(); ++i)
        order.insert(order.end(), f.child + f.child_ptr[order[i]], f.child + f.child_ptr[order[i] + 1]);
    return order;
}

Array subtree_sizes(const Forest& f, const Array& order) {
    Array size(f.nodes, 1);
    for (int64_t i = f.nodes - 1; i >= 0; --i)
        if (f.parent[order[i]] != order[i]) size[f.parent[order[i]]] += size[order[i]];
    return size;
}

// The child with most nodes below it, the first of equals; -1 for a leaf.
Array heavy_children(const Forest& f, const Array& size) {
    Array heavy(f.nodes, -1);
    for (int64_t v = 0; v < f.nodes; ++v)
        for (int64_t e = f.child_ptr[v], most = 0; e < f.child_ptr[v + 1]; ++e)
            if (size[f.child[e]] > most) most = size[f.child[e]], heavy[v] = f.child[e];
    return heavy;
}

// Depth first, children before parents, the heavy child last: a subtree is a range, and a heavy path too.
Array post_order(const Forest& f, const Array& order, const Array& size) {
    const Array heavy = heavy_children(f, size);
    Array post(f.nodes), end(f.nodes);  // `end`: one past a subtree's range
    int64_t at = 0;
    for (const int64_t v : order) {
        if (f.parent[v] == v) end[v] = at += size[v];
        post[end[v] - 1] = v;
        int64_t low = end[v] - size[v];
        for (int64_t e = f.child_ptr[v]; e < f.child_ptr[v + 1]; ++e)
            if (f.child[e] != heavy[v]) end[f.child[e]] = low += size[f.child[e]];
        if (heavy[v] >= 0) end[heavy[v]] = end[v] - 1;
    }
    return post;
}

}  // namespace

extern "C" {
// Rows path by path, each from the bottom up, paths of one light depth (a round) together, the deepest round first.
// `ptr` has room for nodes + 1, `rounds` for 66. Returns the number of rounds, -1 on a cycle.
int64_t structnet_heavy_paths(const int64_t* child_ptr, const int64_t* child, const int64_t* parent, int64_t nodes,
                              int64_t* rows, int64_t* ptr, int64_t* rounds) {
    const Forest f{child_ptr, child, parent, nodes};
    const Array order = parents_first(f, order_of_rows(f));
    if (int64_t(order.size()) < nodes) return -1;
    const Array heavy = heavy_children(f, subtree_sizes(f, order));
    std::vector<Array> tops(1), paths;  // of each round, roots first; `paths`: all its rows
    for (int64_t v = 0; v < nodes; ++v)
        if (parent[v] == v) tops[0].push_back(v);
    while (!tops.back().empty()) {
        Array all, below;
        for (const int64_t top : tops.back()) {
            const size_t first = all.size();
            for (int64_t v = top; v >= 0; v = heavy[v]) all.push_back(v);
            std::reverse(all.begin() + first, all.end());
        }
        for (const int64_t v : all)
            for (int64_t e = child_ptr[v]; e < child_ptr[v + 1]; ++e)
                if (child[e] != heavy[v]) below.push_back(child[e]);
        paths.push_back(std::move(all));
        tops.push_back(std::move(below));
    }
    int64_t at = 0, path = 0;
    ptr[0] = rounds[0] = 0;
    for (size_t r = paths.size(); r-- > 0;) {
        size_t next = 0;
        for (const int64_t v : paths[r]) {
            rows[at++] = v;
            if (v == tops[r][next]) ptr[++path] = at, ++next;
        }
        rounds[paths.size() - r] = path;
    }
    return int64_t(paths.size());
}

// All rows, children before parents. Whole subtrees of at most `grain` rows come first, in runs (tasks) of about as many
// that need nothing of each other: task i is order[cuts[i]] .. order[cuts[i + 1] - 1]; what is above them comes last.
// Inside a task rows ascend or descend if the forest allows it (memory likes that), else depth first.
// `cuts` has room for nodes / grain + 3. Returns the number of tasks, -1 on a cycle.
int64_t structnet_subtree_order(const int64_t* child_ptr, const int64_t* child, const int64_t* parent, int64_t nodes,
                                int64_t grain, int64_t* order, int64_t* cuts) {
    const Forest f{child_ptr, child, parent, nodes};
    const Rows rows = order_of_rows(f);
    Array down = parents_first(f, rows);
    if (int64_t(down.size()) < nodes) return -1;
    const Array size = subtree_sizes(f, down);
    Array up = rows == Rows::ANY ? post_order(f, down, size) : down;
    if (rows != Rows::ANY) std::reverse(up.begin(), up.end());
    Array task(nodes, -1);
    int64_t tasks = 0, filled = 0;
    const Array& visit = rows == Rows::ANY ? up : down;  // subtrees of one task should be neighbours in memory
    for (const int64_t v : visit) {
        if (size[v] > grain || (parent[v] != v && size[parent[v]] <= grain)) continue;
        task[v] = tasks;
        if ((filled += size[v]) >= grain) ++tasks, filled = 0;
    }
    tasks += filled > 0;
    Array at(tasks + 2, 0);
    for (const int64_t v : down) {
        if (size[v] > grain) task[v] = tasks;
        else if (task[v] < 0) task[v] = task[parent[v]];
        ++at[task[v] + 1];
    }
    for (int64_t i = 0; i <= tasks; ++i) at[i + 1] += at[i];
    std::copy(at.begin(), at.end(), cuts);
    for (const int64_t v : up) order[at[task[v]]++] = v;
    return tasks;
}
}
