// h_t = a_t h_{t-1} + x_t inside each segment: one pass forward (read a, x; write h), one pass backward
// (read g, a, h; write da, dx). See README.md for the maths.
#include "../tasks.h"
#include "../vector.h"

namespace {

using structnet::Task;

// `group` channels share one gate: gates are [rows, channels / group]. LOG: they come as logarithms.
template <typename T, bool LOG>
inline T gate_of(T value) {
    return LOG ? structnet::exp_negative(value) : value;
}

template <typename T, bool PER_CHANNEL, bool LOG>
STRUCTNET_CLONES void forward(const Task& task, const T* a, const T* x, const int64_t* ptr, const T* initial, bool reverse,
                              int64_t channels, int64_t group, T* h) {
    const int64_t gates = channels / group, begin = task.begin, end = task.end;
    for (int64_t s = task.first; s < task.last; ++s) {
        const T* before = initial ? initial + s * channels : nullptr;
        for (int64_t i = 0, rows = ptr[s + 1] - ptr[s]; i < rows; ++i) {
            const int64_t t = reverse ? ptr[s + 1] - 1 - i : ptr[s] + i;
            const T* __restrict gate = a + t * gates;
            const T* __restrict in = x + t * channels;
            T* __restrict out = h + t * channels;
            if (!before) {
                std::copy(in + begin, in + end, out + begin);
            } else if (PER_CHANNEL) {
                for (int64_t c = begin; c < end; ++c) out[c] = gate_of<T, LOG>(gate[c]) * before[c] + in[c];
            } else {
                for (int64_t k = begin / group; k < end / group; ++k) {
                    const T shared = gate_of<T, LOG>(gate[k]);
                    for (int64_t c = k * group; c < (k + 1) * group; ++c) out[c] = shared * before[c] + in[c];
                }
            }
            before = out;
        }
    }
}

constexpr int64_t AHEAD = 8;  // rows fetched ahead on the way back: hardware expects rising addresses

// dx_t = g_t + flow_{t+1} with flow_t = a_t dx_t, which leaves the first row as dinitial;
// da_t = sum over the gate's channels of dx_t h_{t-1} (LOG: of flow_t h_{t-1}).
template <typename T, bool PER_CHANNEL, bool LOG>
STRUCTNET_CLONES void backward(const Task& task, const T* g, const T* a, const T* h, const int64_t* ptr, const T* initial,
                               bool reverse, int64_t channels, int64_t group, T* da, T* dx, T* dinitial) {
    const int64_t gates = channels / group, begin = task.begin, end = task.end;
    std::vector<T> carried(size_t(end - begin)), none(size_t(end - begin), T(0));
    T* __restrict flow = carried.data() - begin;
    for (int64_t s = task.first; s < task.last; ++s) {
        const int64_t rows = ptr[s + 1] - ptr[s], step = reverse ? -1 : 1, start = reverse ? ptr[s + 1] - 1 : ptr[s];
        std::fill(carried.begin(), carried.end(), T(0));
        for (int64_t i = rows - 1; i >= 0; --i) {
            const int64_t t = start + step * i;
            if (i >= AHEAD) {
                const int64_t soon = t - step * AHEAD;
                structnet::prefetch(g + soon * channels + begin, end - begin);
                structnet::prefetch(h + (soon - (i > AHEAD ? step : 0)) * channels + begin, end - begin);
                structnet::prefetch(a + soon * gates + begin / group, (end - begin) / group);
            }
            const T* __restrict grad = g + t * channels;
            const T* __restrict gate = a + t * gates;
            T* __restrict out = dx + t * channels;
            T* __restrict gate_grad = da + t * gates;
            const T* __restrict before = i > 0     ? h + (t - step) * channels
                                         : initial ? initial + s * channels
                                                   : none.data() - begin;
            if (PER_CHANNEL) {
                for (int64_t c = begin; c < end; ++c) {
                    const T total = grad[c] + flow[c], onward = gate_of<T, LOG>(gate[c]) * total;
                    out[c] = total, flow[c] = onward;
                    gate_grad[c] = (LOG ? onward : total) * before[c];
                }
            } else {  // such tasks hold all channels of a gate
                for (int64_t k = begin / group; k < end / group; ++k) {
                    const T shared = gate_of<T, LOG>(gate[k]);
                    T sum = 0;
                    for (int64_t c = k * group; c < (k + 1) * group; ++c) {
                        const T total = grad[c] + flow[c];
                        out[c] = total, flow[c] = shared * total;
                        sum += total * before[c];
                    }
                    gate_grad[k] = LOG ? shared * sum : sum;
                }
            }
        }
        if (dinitial) std::copy(carried.begin(), carried.end(), dinitial + s * channels + begin);
    }
}

// Channels may be split only where a gate is not shared across the cut.
std::vector<Task> tasks_for(const int64_t* ptr, int64_t segments, int64_t channels, int64_t group) {
    const int32_t block = group == 1 ? 16 : int32_t((16 + group - 1) / group * group);
    return structnet::share_out(ptr, segments, int32_t(channels), 8192, std::max<int32_t>(block, 16));
}

template <typename T>
void run_forward(const T* a, const T* x, const int64_t* ptr, const T* initial, int64_t segments, int64_t channels,
                 int64_t group, int32_t reverse, int32_t log, T* h) {
    structnet::prepare_output(h, ptr[segments] * channels * int64_t(sizeof(T)));
    const auto run = group == 1 ? (log ? forward<T, true, true> : forward<T, true, false>)
                                : (log ? forward<T, false, true> : forward<T, false, false>);
    const auto tasks = tasks_for(ptr, segments, channels, group);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < int64_t(tasks.size()); ++i)
        run(tasks[i], a, x, ptr, initial, reverse != 0, channels, group, h);
}

template <typename T>
void run_backward(const T* g, const T* a, const T* h, const int64_t* ptr, const T* initial, int64_t segments,
                  int64_t channels, int64_t group, int32_t reverse, int32_t log, T* da, T* dx, T* dinitial) {
    structnet::prepare_output(dx, ptr[segments] * channels * int64_t(sizeof(T)));
    structnet::prepare_output(da, ptr[segments] * (channels / group) * int64_t(sizeof(T)));
    const auto run = group == 1 ? (log ? backward<T, true, true> : backward<T, true, false>)
                                : (log ? backward<T, false, true> : backward<T, false, false>);
    const auto tasks = tasks_for(ptr, segments, channels, group);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < int64_t(tasks.size()); ++i)
        run(tasks[i], g, a, h, ptr, initial, reverse != 0, channels, group, da, dx, dinitial);
}

}  // namespace

#define FORMS(T, NAME)                                                                                                      \
    void structnet_scan_##NAME(const T* a, const T* x, const int64_t* ptr, const T* initial, int64_t segments,              \
                               int64_t channels, int64_t group, int32_t reverse, int32_t log, T* h) {                       \
        run_forward(a, x, ptr, initial, segments, channels, group, reverse, log, h);                                        \
    }                                                                                                                       \
    void structnet_scan_backward_##NAME(const T* g, const T* a, const T* h, const int64_t* ptr, const T* initial,           \
                                        int64_t segments, int64_t channels, int64_t group, int32_t reverse, int32_t log,    \
                                        T* da, T* dx, T* dinitial) {                                                        \
        run_backward(g, a, h, ptr, initial, segments, channels, group, reverse, log, da, dx, dinitial);                     \
    }

extern "C" {
FORMS(float, f32)
FORMS(double, f64)
}
