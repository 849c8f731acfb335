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

constexpr int64_t AHEAD = 8;  // rows fetched ahead: hardware expects rising addresses and loses track between segments

template <typename T, bool PER_CHANNEL, bool LOG>
STRUCTNET_CLONES void forward(const Task& task, const T* a, const T* x, const int64_t* ptr, const T* initial, bool reverse,
                              int64_t channels, int64_t group, bool stream, T* h) {
    const int64_t gates = channels / group, begin = task.begin, end = task.end, width = end - begin;
    const bool streamed = stream && begin * sizeof(T) % 16 == 0 && width * sizeof(T) % 16 == 0;
    std::vector<T> states(size_t(2 * width));  // of this row and the one before, where the output is not read again
    const int64_t step = reverse ? -1 : 1, low = ptr[task.first], high = ptr[task.last];
    for (int64_t k = task.first; k < task.last; ++k) {
        const int64_t s = reverse ? task.first + task.last - 1 - k : k;  // so that rows follow each other in memory
        const T* before = initial ? initial + s * channels : nullptr;
        for (int64_t i = 0, rows = ptr[s + 1] - ptr[s]; i < rows; ++i) {
            const int64_t t = reverse ? ptr[s + 1] - 1 - i : ptr[s] + i, soon = t + step * AHEAD;
            if (soon >= low && soon < high) {
                structnet::prefetch(x + soon * channels + begin, width);
                structnet::prefetch(a + soon * gates + begin / group, width / group);
            }
            const T* __restrict gate = a + t * gates;
            const T* __restrict in = x + t * channels;
            T* __restrict out = streamed ? states.data() + (i & 1) * width - begin : h + t * channels;
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
            if (streamed) structnet::stream(out + begin, width, h + t * channels + begin);
            before = out;
        }
    }
    if (streamed) structnet::finish_streaming();
}

// dx_t = g_t + flow_{t+1} with flow_t = a_t dx_t, which leaves the first row as dinitial;
// da_t = sum over the gate's channels of dx_t h_{t-1} (LOG: of flow_t h_{t-1}).
template <typename T, bool PER_CHANNEL, bool LOG>
STRUCTNET_CLONES void backward(const Task& task, const T* g, const T* a, const T* h, const int64_t* ptr, const T* initial,
                               bool reverse, int64_t channels, int64_t group, bool stream, T* da, T* dx,
                               T* dinitial) {
    const int64_t gates = channels / group, begin = task.begin, end = task.end, width = end - begin;
    const bool streamed = stream && begin * sizeof(T) % 16 == 0 && width * sizeof(T) % 16 == 0;
    std::vector<T> none(size_t(width), T(0)), carried = none, made(size_t(2 * width));
    T* __restrict flow = carried.data() - begin;
    const int64_t step = reverse ? -1 : 1, low = ptr[task.first], high = ptr[task.last];
    for (int64_t k = task.first; k < task.last; ++k) {
        const int64_t s = reverse ? k : task.first + task.last - 1 - k;  // so that rows follow each other in memory
        const int64_t rows = ptr[s + 1] - ptr[s], start = reverse ? ptr[s + 1] - 1 : ptr[s];
        std::fill(carried.begin(), carried.end(), T(0));
        for (int64_t i = rows - 1; i >= 0; --i) {
            const int64_t t = start + step * i, soon = t - step * AHEAD;
            if (soon >= low && soon < high) {
                structnet::prefetch(g + soon * channels + begin, width);
                structnet::prefetch(h + soon * channels + begin, width);
                structnet::prefetch(a + soon * gates + begin / group, width / group);
            }
            const T* __restrict grad = g + t * channels;
            const T* __restrict gate = a + t * gates;
            T* __restrict out = streamed ? made.data() - begin : dx + t * channels;
            T* __restrict gate_grad = streamed && PER_CHANNEL ? made.data() + width - begin : da + t * gates;
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
            if (!streamed) continue;
            structnet::stream(out + begin, width, dx + t * channels + begin);
            if (PER_CHANNEL) structnet::stream(gate_grad + begin, width, da + t * gates + begin);
        }
        if (dinitial) std::copy(carried.begin(), carried.end(), dinitial + s * channels + begin);
    }
    if (streamed) structnet::finish_streaming();
}

// Channels may be split only where a gate is not shared across the cut.
std::vector<Task> tasks_for(const int64_t* ptr, int64_t segments, int64_t channels, int64_t group) {
    const int32_t block = group == 1 ? 16 : int32_t((16 + group - 1) / group * group);
    return structnet::share_out(ptr, segments, int32_t(channels), 8192, std::max<int32_t>(block, 16));
}

template <typename T>
void run_forward(const T* a, const T* x, const int64_t* ptr, const T* initial, int64_t segments, int64_t channels,
                 int64_t group, int32_t reverse, int32_t log, T* h) {
    const int64_t row_bytes = channels * int64_t(sizeof(T)), bytes = ptr[segments] * row_bytes;
    const bool stream = structnet::worth_streaming(h, bytes, row_bytes);
    structnet::prepare_output(h, bytes);
    const auto run = group == 1 ? (log ? forward<T, true, true> : forward<T, true, false>)
                                : (log ? forward<T, false, true> : forward<T, false, false>);
    const auto tasks = tasks_for(ptr, segments, channels, group);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < int64_t(tasks.size()); ++i)
        run(tasks[i], a, x, ptr, initial, reverse != 0, channels, group, stream, h);
}

template <typename T>
void run_backward(const T* g, const T* a, const T* h, const int64_t* ptr, const T* initial, int64_t segments,
                  int64_t channels, int64_t group, int32_t reverse, int32_t log, T* da, T* dx, T* dinitial) {
    const int64_t row_bytes = channels * int64_t(sizeof(T)), bytes = ptr[segments] * row_bytes;
    const bool stream = structnet::worth_streaming(dx, bytes, row_bytes) && structnet::worth_streaming(da, bytes, row_bytes);
    structnet::prepare_output(dx, bytes);
    structnet::prepare_output(da, ptr[segments] * (channels / group) * int64_t(sizeof(T)));
    const auto run = group == 1 ? (log ? backward<T, true, true> : backward<T, true, false>)
                                : (log ? backward<T, false, true> : backward<T, false, false>);
    const auto tasks = tasks_for(ptr, segments, channels, group);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < int64_t(tasks.size()); ++i)
        run(tasks[i], g, a, h, ptr, initial, reverse != 0, channels, group, stream, da, dx, dinitial);
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
