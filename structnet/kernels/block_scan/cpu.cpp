// h_t = A_t h_{t-1} + x_t inside each segment, A_t block-diagonal with blocks of d x d: one pass forward (read A, x; write h), one
// backward (read g, A, h; write dA, dx). A head is a block; heads never meet. See README.md for the maths.
#include "../tasks.h"
#include "../vector.h"

namespace {

using structnet::Task;

constexpr int64_t AHEAD = 4;  // rows fetched ahead: hardware expects rising addresses and loses track between segments

// D: the size of a block where the compiler may know it, 0 where it is `size`.
template <typename T, int D>
STRUCTNET_CLONES void forward(const Task& task, const T* a, const T* x, const int64_t* ptr, const T* initial, bool reverse,
                              int64_t heads, int64_t size, T* h) {
    const int64_t d = D ? D : size, width = heads * d, begin = task.begin * d, end = task.end * d;
    const int64_t step = reverse ? -1 : 1, low = ptr[task.first], high = ptr[task.last];
    for (int64_t n = task.first; n < task.last; ++n) {
        const int64_t s = reverse ? task.first + task.last - 1 - n : n;  // so that rows follow each other in memory
        const T* before = initial ? initial + s * width : nullptr;
        for (int64_t i = 0, rows = ptr[s + 1] - ptr[s]; i < rows; ++i) {
            const int64_t t = reverse ? ptr[s + 1] - 1 - i : ptr[s] + i, soon = t + step * AHEAD;
            if (soon >= low && soon < high) {
                structnet::prefetch(x + soon * width + begin, end - begin);
                structnet::prefetch(a + (soon * width + begin) * d, (end - begin) * d);
            }
            T* __restrict out = h + t * width;
            const T* __restrict in = x + t * width;
            const T* __restrict block = a + (t * width + begin) * d;
            for (int64_t k = begin; k < end; k += d, block += d * d)
                for (int64_t row = 0; row < d; ++row) {
                    T sum = in[k + row];
                    if (before)
                        for (int64_t j = 0; j < d; ++j) sum += block[row * d + j] * before[k + j];
                    out[k + row] = sum;
                }
            before = out;
        }
    }
}

// dx_t = g_t + flow_{t+1} with flow_t = A_t' dx_t, which leaves the first row as dinitial;  dA_t = dx_t h_{t-1}'.
template <typename T, int D>
STRUCTNET_CLONES void backward(const Task& task, const T* g, const T* a, const T* h, const int64_t* ptr, const T* initial,
                               bool reverse, int64_t heads, int64_t size, bool stream, T* da, T* dx, T* dinitial) {
    const int64_t d = D ? D : size, width = heads * d, begin = task.begin * d, end = task.end * d;
    const int64_t step = reverse ? -1 : 1, low = ptr[task.first], high = ptr[task.last];
    std::vector<T> none(size_t(end - begin), T(0)), carried = none, made(size_t((end - begin) * d));
    T* __restrict flow = carried.data() - begin;
    for (int64_t n = task.first; n < task.last; ++n) {
        const int64_t s = reverse ? n : task.first + task.last - 1 - n;  // so that rows follow each other in memory
        const int64_t rows = ptr[s + 1] - ptr[s], start = reverse ? ptr[s + 1] - 1 : ptr[s];
        std::fill(carried.begin(), carried.end(), T(0));
        for (int64_t i = rows - 1; i >= 0; --i) {
            const int64_t t = start + step * i, soon = t - step * AHEAD;
            if (soon >= low && soon < high) {
                structnet::prefetch(g + soon * width + begin, end - begin);
                structnet::prefetch(h + soon * width + begin, end - begin);
                structnet::prefetch(a + (soon * width + begin) * d, (end - begin) * d);
            }
            const T* before = i > 0 ? h + (t - step) * width : initial ? initial + s * width : none.data() - begin;
            T* __restrict out = dx + t * width;
            T* blocks = stream ? made.data() : da + (t * width + begin) * d;
            for (int64_t k = begin; k < end; ++k) out[k] = g[t * width + k] + flow[k];
            std::fill(carried.begin(), carried.end(), T(0));
            for (int64_t k = begin; k < end; k += d) {
                const T* __restrict block = a + (t * width + k) * d;
                T* __restrict gradient = blocks + (k - begin) * d;
                for (int64_t row = 0; row < d; ++row)
                    for (int64_t j = 0; j < d; ++j) {
                        flow[k + j] += block[row * d + j] * out[k + row];
                        gradient[row * d + j] = out[k + row] * before[k + j];
                    }
            }
            if (stream) structnet::stream(blocks, (end - begin) * d, da + (t * width + begin) * d);
        }
        if (dinitial) std::copy(carried.begin(), carried.end(), dinitial + s * width + begin);
    }
    if (stream) structnet::finish_streaming();
}

// Calls work<d>() with the size of a block as a constant where it is common, else with 0.
template <typename F>
void sized(int64_t d, F&& work) {
    switch (d) {
        case 2: return work(std::integral_constant<int, 2>());
        case 3: return work(std::integral_constant<int, 3>());
        case 4: return work(std::integral_constant<int, 4>());
        case 8: return work(std::integral_constant<int, 8>());
        default: return work(std::integral_constant<int, 0>());
    }
}

template <typename T>
void run_forward(const T* a, const T* x, const int64_t* ptr, const T* initial, int64_t segments, int64_t heads, int64_t d,
                 int32_t reverse, T* h) {
    structnet::prepare_output(h, ptr[segments] * heads * d * int64_t(sizeof(T)));
    const auto tasks = structnet::share_out(ptr, segments, int32_t(heads), 2048, std::max<int32_t>(1, int32_t(16 / d)));
    sized(d, [&](auto known) {
#pragma omp parallel for schedule(dynamic)
        for (int64_t i = 0; i < int64_t(tasks.size()); ++i)
            forward<T, known>(tasks[i], a, x, ptr, initial, reverse != 0, heads, d, h);
    });
}

template <typename T>
void run_backward(const T* g, const T* a, const T* h, const int64_t* ptr, const T* initial, int64_t segments, int64_t heads,
                  int64_t d, int32_t reverse, T* da, T* dx, T* dinitial) {
    const int64_t block_bytes = d * d * int64_t(sizeof(T)), bytes = ptr[segments] * heads * block_bytes;
    const bool stream = structnet::worth_streaming(da, bytes, block_bytes);
    structnet::prepare_output(dx, bytes / d);
    structnet::prepare_output(da, bytes);
    const auto tasks = structnet::share_out(ptr, segments, int32_t(heads), 2048, std::max<int32_t>(1, int32_t(16 / d)));
    sized(d, [&](auto known) {
#pragma omp parallel for schedule(dynamic)
        for (int64_t i = 0; i < int64_t(tasks.size()); ++i)
            backward<T, known>(tasks[i], g, a, h, ptr, initial, reverse != 0, heads, d, stream, da, dx, dinitial);
    });
}

}  // namespace

#define FORMS(T, NAME)                                                                                                      \
    void structnet_block_scan_##NAME(const T* a, const T* x, const int64_t* ptr, const T* initial, int64_t segments,        \
                                     int64_t heads, int64_t d, int32_t reverse, T* h) {                                     \
        run_forward(a, x, ptr, initial, segments, heads, d, reverse, h);                                                    \
    }                                                                                                                       \
    void structnet_block_scan_backward_##NAME(const T* g, const T* a, const T* h, const int64_t* ptr, const T* initial,     \
                                              int64_t segments, int64_t heads, int64_t d, int32_t reverse, T* da, T* dx,    \
                                              T* dinitial) {                                                                \
        run_backward(g, a, h, ptr, initial, segments, heads, d, reverse, da, dx, dinitial);                                 \
    }

extern "C" {
FORMS(float, f32)
FORMS(double, f64)
}
