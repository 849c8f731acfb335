// Reductions over sorted segments: one pass over the rows, accumulators of a block of channels in cache. See README.md.
#include <limits>

#include "../tasks.h"
#include "../vector.h"

namespace {

using structnet::Float;
using structnet::Task;

enum Kind { SUM = 0, MEAN = 1, MAX = 2, MIN = 3 };
constexpr int64_t BLOCK = 256;  // channels whose accumulators are held at once

// Calls work(segment, first channel, number of channels) over a task.
template <typename F>
inline void blocks(const Task& task, F&& work) {
    for (int64_t s = task.first; s < task.last; ++s)
        for (int64_t c = task.begin; c < task.end; c += BLOCK) work(s, c, std::min<int64_t>(BLOCK, task.end - c));
}

template <typename T>
STRUCTNET_CLONES void sum(const T* __restrict x, int64_t rows, int64_t channels, int64_t width, bool mean, T* __restrict out) {
    T total[BLOCK] = {};
    for (int64_t t = 0; t < rows; ++t, x += channels)
        for (int64_t c = 0; c < width; ++c) total[c] += x[c];
    const T share = mean && rows ? T(1) / T(rows) : T(1);
    for (int64_t c = 0; c < width; ++c) out[c] = total[c] * share;
}

// The extreme, and with `arg` the first row that holds it (strict comparison); NaN beats everything, the first one of them.
// Empty: 0, row -1.
template <typename T, bool LARGEST, bool ROWS>
STRUCTNET_CLONES void extreme(const T* __restrict x, int64_t first, int64_t rows, int64_t channels, int64_t width,
                              T* __restrict out, int64_t* __restrict arg) {
    using Int = typename Float<T>::Int;  // as wide as T, so that both are selected by one mask
    T best[BLOCK];
    Int where[BLOCK];
    for (int64_t c = 0; c < width; ++c) best[c] = rows ? x[c] : T(0);
    if (ROWS) std::memset(where, 0, size_t(width) * sizeof(Int));
    for (int64_t t = 1; t < rows; ++t) {
        const T* __restrict row = x + t * channels;
        for (int64_t c = 0; c < width; ++c) {
            const bool better = !(LARGEST ? row[c] <= best[c] : row[c] >= best[c]) & (best[c] == best[c]);
            best[c] = better ? row[c] : best[c];
            if (ROWS) where[c] = better ? Int(t) : where[c];
        }
    }
    for (int64_t c = 0; c < width; ++c) out[c] = best[c];
    if (ROWS)
        for (int64_t c = 0; c < width; ++c) arg[c] = rows ? first + where[c] : -1;
}

// ROWS: softmax, in three sweeps over rows that are in cache by then; else log sum exp (-inf for an empty segment).
template <typename T, bool ROWS>
STRUCTNET_CLONES void softmax(const T* __restrict x, int64_t rows, int64_t channels, int64_t width, T* __restrict out) {
    const T low = -std::numeric_limits<T>::infinity();
    T top[BLOCK], total[BLOCK];
    for (int64_t c = 0; c < width; ++c) top[c] = low, total[c] = T(0);
    for (int64_t t = 0; t < rows; ++t)
        for (int64_t c = 0; c < width; ++c) top[c] = x[t * channels + c] > top[c] ? x[t * channels + c] : top[c];
    for (int64_t c = 0; c < width; ++c) top[c] = top[c] == low ? T(0) : top[c];
    for (int64_t t = 0; t < rows; ++t)
        for (int64_t c = 0; c < width; ++c) {
            const T e = structnet::exp_negative(x[t * channels + c] - top[c]);
            total[c] += e;
            if (ROWS) out[t * channels + c] = e;
        }
    if (ROWS) {
        for (int64_t c = 0; c < width; ++c) total[c] = T(1) / total[c];
        for (int64_t t = 0; t < rows; ++t)
            for (int64_t c = 0; c < width; ++c) out[t * channels + c] *= total[c];
    } else {
        for (int64_t c = 0; c < width; ++c) out[c] = total[c] == T(0) ? low : top[c] + structnet::log_positive(total[c]);
    }
}

// dx = y (g - sum over the segment of g y)
template <typename T>
STRUCTNET_CLONES void softmax_gradient(const T* __restrict g, const T* __restrict y, int64_t rows, int64_t channels,
                                       int64_t width, T* __restrict dx) {
    T dot[BLOCK] = {};
    for (int64_t t = 0; t < rows; ++t)
        for (int64_t c = 0; c < width; ++c) dot[c] += g[t * channels + c] * y[t * channels + c];
    for (int64_t t = 0; t < rows; ++t)
        for (int64_t c = 0; c < width; ++c) dx[t * channels + c] = y[t * channels + c] * (g[t * channels + c] - dot[c]);
}

template <typename F>
void each(const int64_t* ptr, int64_t segments, int64_t channels, F&& work) {
    const auto tasks = structnet::share_out(ptr, segments, int32_t(channels));
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < int64_t(tasks.size()); ++i) blocks(tasks[i], work);
}

template <typename T>
void run_reduce(const T* x, const int64_t* ptr, int64_t segments, int64_t channels, int32_t kind, T* out, int64_t* arg) {
    structnet::prepare_output(out, segments * channels * int64_t(sizeof(T)));
    if (arg) structnet::prepare_output(arg, segments * channels * int64_t(sizeof(int64_t)));
    each(ptr, segments, channels, [=](int64_t s, int64_t c, int64_t width) {
        const int64_t rows = ptr[s + 1] - ptr[s], at = s * channels + c;
        const T* from = x + ptr[s] * channels + c;
        if (kind < MAX) return sum(from, rows, channels, width, kind == MEAN, out + at);
        const auto best = kind == MAX ? (arg ? extreme<T, true, true> : extreme<T, true, false>)
                                      : (arg ? extreme<T, false, true> : extreme<T, false, false>);
        best(from, ptr[s], rows, channels, width, out + at, arg ? arg + at : nullptr);
    });
}

template <typename T>
void run_softmax(const T* x, const int64_t* ptr, int64_t segments, int64_t channels, int32_t per_row, T* out) {
    structnet::prepare_output(out, (per_row ? ptr[segments] : segments) * channels * int64_t(sizeof(T)));
    each(ptr, segments, channels, [=](int64_t s, int64_t c, int64_t width) {
        const int64_t rows = ptr[s + 1] - ptr[s], at = ptr[s] * channels + c;
        if (per_row)
            softmax<T, true>(x + at, rows, channels, width, out + at);
        else
            softmax<T, false>(x + at, rows, channels, width, out + s * channels + c);
    });
}

template <typename T>
void run_softmax_backward(const T* g, const T* y, const int64_t* ptr, int64_t segments, int64_t channels, T* dx) {
    structnet::prepare_output(dx, ptr[segments] * channels * int64_t(sizeof(T)));
    each(ptr, segments, channels, [=](int64_t s, int64_t c, int64_t width) {
        const int64_t at = ptr[s] * channels + c;
        softmax_gradient(g + at, y + at, ptr[s + 1] - ptr[s], channels, width, dx + at);
    });
}

// The same row again and again; a loop of our own, since a call of memcpy a row took three times as long.
template <typename T>
STRUCTNET_CLONES void repeat(const T* __restrict row, int64_t rows, int64_t channels, int64_t width, T* __restrict out) {
    for (int64_t t = 0; t < rows; ++t, out += channels)
        for (int64_t c = 0; c < width; ++c) out[c] = row[c];
}

// Every row gets the value of its segment; with `arg` only the row that holds it does (the transpose of an extreme).
template <typename T>
void run_gather(const T* values, const int64_t* ptr, const int64_t* arg, int64_t segments, int64_t channels, T* out) {
    structnet::prepare_output(out, ptr[segments] * channels * int64_t(sizeof(T)));
    each(ptr, segments, channels, [=](int64_t s, int64_t c, int64_t width) {
        static const T zeros[BLOCK] = {};
        const int64_t at = s * channels + c;
        repeat(arg ? zeros : values + at, ptr[s + 1] - ptr[s], channels, width, out + ptr[s] * channels + c);
        if (!arg || ptr[s] == ptr[s + 1]) return;
        for (int64_t k = 0; k < width; ++k) out[arg[at + k] * channels + c + k] = values[at + k];
    });
}

}  // namespace

#define FORMS(T, NAME)                                                                                                      \
    void structnet_reduce_##NAME(const T* x, const int64_t* ptr, int64_t segments, int64_t channels, int32_t kind, T* out,  \
                                 int64_t* arg) {                                                                            \
        run_reduce(x, ptr, segments, channels, kind, out, arg);                                                             \
    }                                                                                                                       \
    void structnet_softmax_##NAME(const T* x, const int64_t* ptr, int64_t segments, int64_t channels, int32_t per_row,      \
                                  T* out) {                                                                                 \
        run_softmax(x, ptr, segments, channels, per_row, out);                                                              \
    }                                                                                                                       \
    void structnet_softmax_backward_##NAME(const T* g, const T* y, const int64_t* ptr, int64_t segments, int64_t channels,  \
                                           T* dx) {                                                                         \
        run_softmax_backward(g, y, ptr, segments, channels, dx);                                                            \
    }                                                                                                                       \
    void structnet_gather_##NAME(const T* values, const int64_t* ptr, const int64_t* arg, int64_t segments,                 \
                                 int64_t channels, T* out) {                                                                \
        run_gather(values, ptr, arg, segments, channels, out);                                                              \
    }

extern "C" {
FORMS(float, f32)
FORMS(double, f64)
}
