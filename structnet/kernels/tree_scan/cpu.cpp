// Linear recursion on forests: one pass over the rows, each node pulls from its children (up) or its parent (down).
// See README.md for the maths.
#include "../tasks.h"

namespace {

// `group` channels share one weight. With `h`, the same pass also writes the gradient of the weights, the product of the
// two ends of each edge: `out` at one end, `h` at the other.
template <typename T>
struct Scan {
    const T *w, *x;
    const int64_t *parent, *child_ptr, *child, *order;
    int64_t channels, group;
    T* out;
    const T* h;
    T* dw;
};

constexpr int64_t AHEAD = 4;  // nodes whose rows are fetched early: rows of a forest lie anywhere

template <typename T>
T dot(const T* a, const T* b, int64_t n) {
    T part[8] = {};  // the same order of addition on every machine, and wide registers all the same
    int64_t c = 0;
    for (; c + 8 <= n; c += 8)
        for (int l = 0; l < 8; ++l) part[l] += a[c + l] * b[c + l];
    for (int l = 0; c < n; ++c, ++l) part[l] += a[c] * b[c];
    return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

template <typename T, bool PER_CHANNEL>
inline void multiply_add(const Scan<T>& s, const T* base, int64_t edge, const T* from, T* to, int64_t begin, int64_t end) {
    const T* __restrict w = s.w + edge * (s.channels / s.group);
    T* __restrict out = to;
    if (PER_CHANNEL) {
        for (int64_t c = begin; c < end; ++c) out[c] = base[c] + w[c] * from[c];
    } else {
        for (int64_t k = begin / s.group; k < end / s.group; ++k)
            for (int64_t c = k * s.group; c < (k + 1) * s.group; ++c) out[c] = base[c] + w[k] * from[c];
    }
}

template <typename T, bool PER_CHANNEL>
inline void weight_gradient(const Scan<T>& s, int64_t edge, const T* a, const T* b, int64_t begin, int64_t end) {
    T* __restrict dw = s.dw + edge * (s.channels / s.group);
    if (PER_CHANNEL) {
        for (int64_t c = begin; c < end; ++c) dw[c] = a ? a[c] * b[c] : T(0);
    } else {
        for (int64_t k = begin / s.group; k < end / s.group; ++k)
            dw[k] = a ? dot(a + k * s.group, b + k * s.group, s.group) : T(0);
    }
}

// order[first .. last - 1], channels begin .. end - 1.
template <typename T, bool PER_CHANNEL>
void up(const Scan<T>& s, int64_t first, int64_t last, int64_t begin, int64_t end) {
    const int64_t channels = s.channels, gates = channels / s.group, width = end - begin;
    for (int64_t i = first; i < last; ++i) {
        if (i + AHEAD < last) {
            const int64_t soon = s.order[i + AHEAD];
            structnet::prefetch(s.x + soon * channels + begin, width);
            structnet::prefetch(s.out + soon * channels + begin, width);
            for (int64_t e = s.child_ptr[soon], stop = std::min(s.child_ptr[soon + 1], e + 4); e < stop; ++e) {
                structnet::prefetch(s.out + s.child[e] * channels + begin, width);
                structnet::prefetch(s.w + s.child[e] * gates + begin / s.group, width / s.group);
            }
        }
        const int64_t v = s.order[i], stop = s.child_ptr[v + 1];
        T* const out = s.out + v * channels;
        const T* base = s.x + v * channels;
        for (int64_t e = s.child_ptr[v]; e < stop; ++e) {
            const T* from = s.out + s.child[e] * channels;
            multiply_add<T, PER_CHANNEL>(s, base, s.child[e], from, out, begin, end);
            if (s.dw) weight_gradient<T, PER_CHANNEL>(s, s.child[e], from, s.h + v * channels, begin, end);
            base = out;
        }
        if (base != out) std::copy(base + begin, base + end, out + begin);
        if (s.dw && s.parent[v] == v) weight_gradient<T, PER_CHANNEL>(s, v, nullptr, nullptr, begin, end);
    }
}

template <typename T, bool PER_CHANNEL>
void down(const Scan<T>& s, int64_t first, int64_t last, int64_t begin, int64_t end) {
    const int64_t channels = s.channels, width = end - begin;
    for (int64_t i = last - 1; i >= first; --i) {
        if (i - AHEAD >= first) {
            const int64_t soon = s.order[i - AHEAD];
            structnet::prefetch(s.x + soon * channels + begin, width);
            structnet::prefetch(s.out + soon * channels + begin, width);
            structnet::prefetch(s.out + s.parent[soon] * channels + begin, width);
            if (s.dw) structnet::prefetch(s.h + soon * channels + begin, width);
        }
        const int64_t v = s.order[i];
        const bool root = s.parent[v] == v;
        T* const out = s.out + v * channels;
        const T *base = s.x + v * channels, *from = root ? nullptr : s.out + s.parent[v] * channels;
        if (root) std::copy(base + begin, base + end, out + begin);
        else multiply_add<T, PER_CHANNEL>(s, base, v, from, out, begin, end);
        if (s.dw) weight_gradient<T, PER_CHANNEL>(s, v, from, s.h + v * channels, begin, end);
    }
}

// Tasks side by side with all channels; what lies above them by blocks of channels. No thread adds to another's sum.
template <typename T, bool PER_CHANNEL>
void run(const Scan<T>& s, const int64_t* cuts, int64_t tasks, bool downwards) {
    const int64_t block = (16 + s.group - 1) / s.group * s.group, blocks = (s.channels + block - 1) / block;
    const auto pass = downwards ? down<T, PER_CHANNEL> : up<T, PER_CHANNEL>;
    const auto above = [&] {
        if (cuts[tasks] == cuts[tasks + 1]) return;
#pragma omp parallel for schedule(dynamic)
        for (int64_t b = 0; b < blocks; ++b)
            pass(s, cuts[tasks], cuts[tasks + 1], b * block, std::min((b + 1) * block, s.channels));
    };
    if (downwards) above();
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < tasks; ++i) pass(s, cuts[i], cuts[i + 1], 0, s.channels);
    if (!downwards) above();
}

template <typename T>
void start(const Scan<T>& s, const int64_t* cuts, int64_t tasks, int32_t downwards) {
    const int64_t rows = cuts[tasks + 1];
    structnet::prepare_output(s.out, rows * s.channels * int64_t(sizeof(T)));
    if (s.dw) structnet::prepare_output(s.dw, rows * (s.channels / s.group) * int64_t(sizeof(T)));
    (s.group == 1 ? run<T, true> : run<T, false>)(s, cuts, tasks, downwards != 0);
}

}  // namespace

extern "C" {
void structnet_tree_scan_f32(const float* w, const float* x, const int64_t* parent, const int64_t* child_ptr,
                             const int64_t* child, const int64_t* order, const int64_t* cuts, int64_t tasks,
                             int64_t channels, int64_t group, int32_t downwards, float* out, const float* h, float* dw) {
    start<float>({w, x, parent, child_ptr, child, order, channels, group, out, h, dw}, cuts, tasks, downwards);
}
void structnet_tree_scan_f64(const double* w, const double* x, const int64_t* parent, const int64_t* child_ptr,
                             const int64_t* child, const int64_t* order, const int64_t* cuts, int64_t tasks,
                             int64_t channels, int64_t group, int32_t downwards, double* out, const double* h, double* dw) {
    start<double>({w, x, parent, child_ptr, child, order, channels, group, out, h, dw}, cuts, tasks, downwards);
}
}
