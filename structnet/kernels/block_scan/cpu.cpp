// h_t = A_t h_{t-1} + x_t inside each segment, A_t block-diagonal with blocks of d x d: one pass forward (read A, x; write h), one
// backward (read g, A, h; write dA, dx). A head is a block; heads never meet. See README.md for the maths.
#include "../tasks.h"
#include "../vector.h"

namespace {

using structnet::Task;

// D: the size of a block where the compiler may know it, 0 where it is `size`.
template <typename T, int D>
STRUCTNET_CLONES void forward(const Task& task, const T* a, const T* x, const int64_t* ptr, const T* initial, bool reverse,
                              int64_t heads, int64_t size, T* h) {
    const int64_t d = D ? D : size, width = heads * d;
    for (int64_t s = task.first; s < task.last; ++s) {
        const T* before = initial ? initial + s * width : nullptr;
        for (int64_t i = 0, rows = ptr[s + 1] - ptr[s]; i < rows; ++i) {
            const int64_t t = reverse ? ptr[s + 1] - 1 - i : ptr[s] + i;
            T* __restrict out = h + t * width;
            const T* __restrict in = x + t * width;
            const T* __restrict block = a + (t * heads + task.begin) * d * d;
            for (int64_t k = task.begin * d; k < task.end * d; k += d, block += d * d)
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

// dx_t = g_t + A_{t+1}' dx_{t+1};  dA_t = dx_t h_{t-1}';  dinitial = A_first' dx_first.
template <typename T, int D>
STRUCTNET_CLONES void backward(const Task& task, const T* g, const T* a, const T* h, const int64_t* ptr, const T* initial,
                               bool reverse, int64_t heads, int64_t size, T* da, T* dx, T* dinitial) {
    const int64_t d = D ? D : size, width = heads * d, begin = task.begin * d, end = task.end * d;
    for (int64_t s = task.first; s < task.last; ++s) {
        const int64_t rows = ptr[s + 1] - ptr[s], step = reverse ? -1 : 1, start = reverse ? ptr[s + 1] - 1 : ptr[s];
        const auto transposed = [&](int64_t t, T* __restrict out) {  // out += A_t' dx_t
            const T* __restrict block = a + (t * heads + task.begin) * d * d;
            const T* __restrict from = dx + t * width;
            for (int64_t k = begin; k < end; k += d, block += d * d)
                for (int64_t row = 0; row < d; ++row)
                    for (int64_t j = 0; j < d; ++j) out[k + j] += block[row * d + j] * from[k + row];
        };
        for (int64_t i = rows - 1; i >= 0; --i) {
            const int64_t t = start + step * i;
            T* __restrict out = dx + t * width;
            std::copy(g + t * width + begin, g + t * width + end, out + begin);
            if (i < rows - 1) transposed(t + step, out);
            const T* before = i > 0 ? h + (t - step) * width : (initial ? initial + s * width : nullptr);
            T* __restrict block = da + (t * heads + task.begin) * d * d;
            for (int64_t k = begin; k < end; k += d, block += d * d)
                for (int64_t row = 0; row < d; ++row)
                    for (int64_t j = 0; j < d; ++j) block[row * d + j] = before ? out[k + row] * before[k + j] : T(0);
        }
        if (dinitial) {
            std::fill(dinitial + s * width + begin, dinitial + s * width + end, T(0));
            if (rows) transposed(start, dinitial + s * width);
        }
    }
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
    structnet::prepare_output(dx, ptr[segments] * heads * d * int64_t(sizeof(T)));
    structnet::prepare_output(da, ptr[segments] * heads * d * d * int64_t(sizeof(T)));
    const auto tasks = structnet::share_out(ptr, segments, int32_t(heads), 2048, std::max<int32_t>(1, int32_t(16 / d)));
    sized(d, [&](auto known) {
#pragma omp parallel for schedule(dynamic)
        for (int64_t i = 0; i < int64_t(tasks.size()); ++i)
            backward<T, known>(tasks[i], g, a, h, ptr, initial, reverse != 0, heads, d, da, dx, dinitial);
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
