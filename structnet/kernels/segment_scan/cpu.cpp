// h_t = a_t h_{t-1} + x_t inside each segment: one pass forward (read a, x; write h), one pass backward
// (read g, a, h; write da, dx). See README.md for the maths.
#include "../tasks.h"

namespace {

using structnet::Task;

// `group` channels share one gate: gates are [rows, channels / group].
template <typename T, bool PER_CHANNEL>
void forward(const Task& task, const T* a, const T* x, const int64_t* ptr, const T* initial, bool reverse, int64_t channels,
             int64_t group, T* h) {
    const int64_t gates = channels / group, begin = task.begin, end = task.end;
    for (int64_t s = task.first; s < task.last; ++s) {
        const T* before = initial ? initial + s * channels : nullptr;
        for (int64_t i = 0, rows = ptr[s + 1] - ptr[s]; i < rows; ++i) {
            const int64_t t = reverse ? ptr[s + 1] - 1 - i : ptr[s] + i;
            const T* __restrict gate = a + t * gates;
            const T* __restrict in = x + t * channels;
            T* __restrict out = h + t * channels;
            if (!before) {
                for (int64_t c = begin; c < end; ++c) out[c] = in[c];
            } else if (PER_CHANNEL) {
                for (int64_t c = begin; c < end; ++c) out[c] = gate[c] * before[c] + in[c];
            } else {
                for (int64_t c = begin; c < end; ++c) out[c] = gate[c / group] * before[c] + in[c];
            }
            before = out;
        }
    }
}

constexpr int64_t AHEAD = 8;  // rows fetched ahead on the way back: hardware expects rising addresses

// dx_t = g_t + a_{t+1} dx_{t+1};  da_t = sum over the gate's channels of dx_t h_{t-1};  dinitial = a_first dx_first.
template <typename T, bool PER_CHANNEL>
void backward(const Task& task, const T* g, const T* a, const T* h, const int64_t* ptr, const T* initial, bool reverse,
              int64_t channels, int64_t group, T* da, T* dx, T* dinitial) {
    const int64_t gates = channels / group, begin = task.begin, end = task.end;
    for (int64_t s = task.first; s < task.last; ++s) {
        const int64_t rows = ptr[s + 1] - ptr[s], step = reverse ? -1 : 1, start = reverse ? ptr[s + 1] - 1 : ptr[s];
        for (int64_t i = rows - 1; i >= 0; --i) {
            const int64_t t = start + step * i;
            if (i >= AHEAD) {
                const int64_t soon = t - step * AHEAD;
                structnet::prefetch(g + soon * channels + begin, end - begin);
                structnet::prefetch(h + (soon - (i > AHEAD ? step : 0)) * channels + begin, end - begin);
                structnet::prefetch(a + soon * gates + begin / group, (end - begin) / group);
            }
            const T* __restrict grad = g + t * channels;
            T* __restrict out = dx + t * channels;
            if (i == rows - 1) {
                for (int64_t c = begin; c < end; ++c) out[c] = grad[c];
            } else {
                const T* __restrict gate = a + (t + step) * gates;
                const T* __restrict next = dx + (t + step) * channels;
                if (PER_CHANNEL)
                    for (int64_t c = begin; c < end; ++c) out[c] = grad[c] + gate[c] * next[c];
                else
                    for (int64_t c = begin; c < end; ++c) out[c] = grad[c] + gate[c / group] * next[c];
            }
            if (!da) continue;
            const T* before = i > 0 ? h + (t - step) * channels : (initial ? initial + s * channels : nullptr);
            T* __restrict gate_grad = da + t * gates;
            if (PER_CHANNEL) {
                if (before)
                    for (int64_t c = begin; c < end; ++c) gate_grad[c] = out[c] * before[c];
                else
                    for (int64_t c = begin; c < end; ++c) gate_grad[c] = T(0);
            } else {  // such tasks hold all channels of a gate
                for (int64_t k = begin / group; k < end / group; ++k) {
                    T sum = 0;
                    if (before)
                        for (int64_t c = k * group; c < (k + 1) * group; ++c) sum += out[c] * before[c];
                    gate_grad[k] = sum;
                }
            }
        }
        if (dinitial) {
            const T* __restrict gate = a + start * gates;
            const T* __restrict first = dx + start * channels;
            for (int64_t c = begin; c < end; ++c)
                dinitial[s * channels + c] = rows ? gate[PER_CHANNEL ? c : c / group] * first[c] : T(0);
        }
    }
}

// Channels may be split only where a gate is not shared across the cut.
std::vector<Task> tasks_for(const int64_t* ptr, int64_t segments, int64_t channels, int64_t group) {
    const int32_t block = group == 1 ? 16 : int32_t((16 + group - 1) / group * group);
    return structnet::share_out(ptr, segments, int32_t(channels), 8192, std::max<int32_t>(block, 16));
}

template <typename T>
void run_forward(const T* a, const T* x, const int64_t* ptr, const T* initial, int64_t segments, int64_t channels,
                 int64_t group, int32_t reverse, T* h) {
    structnet::prepare_output(h, ptr[segments] * channels * int64_t(sizeof(T)));
    const auto tasks = tasks_for(ptr, segments, channels, group);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < int64_t(tasks.size()); ++i)
        (group == 1 ? forward<T, true> : forward<T, false>)(tasks[i], a, x, ptr, initial, reverse != 0, channels, group, h);
}

template <typename T>
void run_backward(const T* g, const T* a, const T* h, const int64_t* ptr, const T* initial, int64_t segments,
                  int64_t channels, int64_t group, int32_t reverse, T* da, T* dx, T* dinitial) {
    structnet::prepare_output(dx, ptr[segments] * channels * int64_t(sizeof(T)));
    if (da) structnet::prepare_output(da, ptr[segments] * (channels / group) * int64_t(sizeof(T)));
    const auto tasks = tasks_for(ptr, segments, channels, group);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < int64_t(tasks.size()); ++i)
        (group == 1 ? backward<T, true> : backward<T, false>)(tasks[i], g, a, h, ptr, initial, reverse != 0, channels, group,
                                                              da, dx, dinitial);
}

}  // namespace

extern "C" {
void structnet_scan_f32(const float* a, const float* x, const int64_t* ptr, const float* initial, int64_t segments,
                        int64_t channels, int64_t group, int32_t reverse, float* h) {
    run_forward(a, x, ptr, initial, segments, channels, group, reverse, h);
}
void structnet_scan_f64(const double* a, const double* x, const int64_t* ptr, const double* initial, int64_t segments,
                        int64_t channels, int64_t group, int32_t reverse, double* h) {
    run_forward(a, x, ptr, initial, segments, channels, group, reverse, h);
}
void structnet_scan_backward_f32(const float* g, const float* a, const float* h, const int64_t* ptr, const float* initial,
                                 int64_t segments, int64_t channels, int64_t group, int32_t reverse, float* da, float* dx,
                                 float* dinitial) {
    run_backward(g, a, h, ptr, initial, segments, channels, group, reverse, da, dx, dinitial);
}
void structnet_scan_backward_f64(const double* g, const double* a, const double* h, const int64_t* ptr,
                                 const double* initial, int64_t segments, int64_t channels, int64_t group, int32_t reverse,
                                 double* da, double* dx, double* dinitial) {
    run_backward(g, a, h, ptr, initial, segments, channels, group, reverse, da, dx, dinitial);
}
}
