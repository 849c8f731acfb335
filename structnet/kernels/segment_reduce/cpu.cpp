// Reductions over sorted segments, one pass each over the rows; softmax keeps a segment in cache between its passes.
#include <cmath>
#include <limits>

#include "../tasks.h"

namespace {

using structnet::Task;

enum Kind { SUM = 0, MEAN = 1, MAX = 2, MIN = 3 };

template <typename T>
void sums(const Task& task, const T* x, const int64_t* ptr, int64_t channels, bool mean, T* out) {
    for (int64_t s = task.first; s < task.last; ++s) {
        T* __restrict total = out + s * channels;
        for (int64_t c = task.begin; c < task.end; ++c) total[c] = T(0);
        for (int64_t t = ptr[s]; t < ptr[s + 1]; ++t) {
            const T* __restrict row = x + t * channels;
            for (int64_t c = task.begin; c < task.end; ++c) total[c] += row[c];
        }
        if (mean && ptr[s + 1] > ptr[s]) {
            const T share = T(1) / T(ptr[s + 1] - ptr[s]);
            for (int64_t c = task.begin; c < task.end; ++c) total[c] *= share;
        }
    }
}

// The first row that holds the extreme wins (strict comparison); NaN wins over everything, the first one of them.
template <typename T, bool LARGEST>
void extremes(const Task& task, const T* x, const int64_t* ptr, int64_t channels, T empty, T* out, int64_t* arg) {
    for (int64_t s = task.first; s < task.last; ++s) {
        T* __restrict best = out + s * channels;
        int64_t* __restrict where = arg + s * channels;
        if (ptr[s] == ptr[s + 1]) {
            for (int64_t c = task.begin; c < task.end; ++c) best[c] = empty, where[c] = -1;
            continue;
        }
        const T* __restrict first = x + ptr[s] * channels;
        for (int64_t c = task.begin; c < task.end; ++c) best[c] = first[c], where[c] = ptr[s];
        for (int64_t t = ptr[s] + 1; t < ptr[s + 1]; ++t) {
            const T* __restrict row = x + t * channels;
            for (int64_t c = task.begin; c < task.end; ++c) {
                const bool better = (LARGEST ? row[c] > best[c] : row[c] < best[c]) || (row[c] != row[c] && best[c] == best[c]);
                best[c] = better ? row[c] : best[c];
                where[c] = better ? t : where[c];
            }
        }
    }
}

// log sum exp (and, if wanted, softmax) of each segment and channel; -inf for an empty segment.
template <typename T>
void softmaxes(const Task& task, const T* x, const int64_t* ptr, int64_t channels, T* lse, T* y) {
    const T low = -std::numeric_limits<T>::infinity();
    for (int64_t s = task.first; s < task.last; ++s) {
        T* __restrict top = lse + s * channels;
        T total[1024];
        for (int64_t from = task.begin; from < task.end; from += 1024) {
            const int64_t to = std::min<int64_t>(from + 1024, task.end);
            for (int64_t c = from; c < to; ++c) top[c] = low, total[c - from] = T(0);
            for (int64_t t = ptr[s]; t < ptr[s + 1]; ++t) {
                const T* __restrict row = x + t * channels;
                for (int64_t c = from; c < to; ++c) top[c] = row[c] > top[c] ? row[c] : top[c];
            }
            for (int64_t t = ptr[s]; t < ptr[s + 1]; ++t) {
                const T* __restrict row = x + t * channels;
                for (int64_t c = from; c < to; ++c) {
                    const T e = std::exp(row[c] - (top[c] == low ? T(0) : top[c]));
                    total[c - from] += e;
                    if (y) y[t * channels + c] = e;
                }
            }
            if (y)
                for (int64_t t = ptr[s]; t < ptr[s + 1]; ++t)
                    for (int64_t c = from; c < to; ++c) y[t * channels + c] /= total[c - from];
            for (int64_t c = from; c < to; ++c)
                top[c] = total[c - from] == T(0) ? top[c] : (top[c] == low ? T(0) : top[c]) + std::log(total[c - from]);
        }
    }
}

// dx = y (g - sum over the segment of g y)
template <typename T>
void softmax_gradients(const Task& task, const T* g, const T* y, const int64_t* ptr, int64_t channels, T* dx) {
    T dot[1024];
    for (int64_t s = task.first; s < task.last; ++s)
        for (int64_t from = task.begin; from < task.end; from += 1024) {
            const int64_t to = std::min<int64_t>(from + 1024, task.end);
            for (int64_t c = from; c < to; ++c) dot[c - from] = T(0);
            for (int64_t t = ptr[s]; t < ptr[s + 1]; ++t)
                for (int64_t c = from; c < to; ++c) dot[c - from] += g[t * channels + c] * y[t * channels + c];
            for (int64_t t = ptr[s]; t < ptr[s + 1]; ++t)
                for (int64_t c = from; c < to; ++c) {
                    const int64_t i = t * channels + c;
                    dx[i] = y[i] * (g[i] - dot[c - from]);
                }
        }
}

template <typename F>
void each(const int64_t* ptr, int64_t segments, int64_t channels, F&& work) {
    const auto tasks = structnet::share_out(ptr, segments, int32_t(channels));
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < int64_t(tasks.size()); ++i) work(tasks[i]);
}

template <typename T>
void reduce(const T* x, const int64_t* ptr, int64_t segments, int64_t channels, int32_t kind, T empty, T* out, int64_t* arg) {
    structnet::prepare_output(out, segments * channels * int64_t(sizeof(T)));
    each(ptr, segments, channels, [=](const Task& task) {
        if (kind == MAX)
            extremes<T, true>(task, x, ptr, channels, empty, out, arg);
        else if (kind == MIN)
            extremes<T, false>(task, x, ptr, channels, empty, out, arg);
        else
            sums(task, x, ptr, channels, kind == MEAN, out);
    });
}

template <typename T>
void softmax(const T* x, const int64_t* ptr, int64_t segments, int64_t channels, T* lse, T* y) {
    if (y) structnet::prepare_output(y, ptr[segments] * channels * int64_t(sizeof(T)));
    each(ptr, segments, channels, [=](const Task& task) { softmaxes(task, x, ptr, channels, lse, y); });
}

template <typename T>
void softmax_backward(const T* g, const T* y, const int64_t* ptr, int64_t segments, int64_t channels, T* dx) {
    structnet::prepare_output(dx, ptr[segments] * channels * int64_t(sizeof(T)));
    each(ptr, segments, channels, [=](const Task& task) { softmax_gradients(task, g, y, ptr, channels, dx); });
}

}  // namespace

#define FORMS(T, NAME)                                                                                                       \
    void structnet_reduce_##NAME(const T* x, const int64_t* ptr, int64_t segments, int64_t channels, int32_t kind, T empty, \
                                 T* out, int64_t* arg) {                                                                    \
        reduce(x, ptr, segments, channels, kind, empty, out, arg);                                                          \
    }                                                                                                                       \
    void structnet_softmax_##NAME(const T* x, const int64_t* ptr, int64_t segments, int64_t channels, T* lse, T* y) {       \
        softmax(x, ptr, segments, channels, lse, y);                                                                        \
    }                                                                                                                       \
    void structnet_softmax_backward_##NAME(const T* g, const T* y, const int64_t* ptr, int64_t segments, int64_t channels,  \
                                           T* dx) {                                                                         \
        softmax_backward(g, y, ptr, segments, channels, dx);                                                                \
    }

extern "C" {
FORMS(float, f32)
FORMS(double, f64)
}
