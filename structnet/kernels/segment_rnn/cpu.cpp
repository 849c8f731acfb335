// GRU and LSTM over rows packed by time step: the gates of one step, and the tail of steps that few sequences reach, where
// one call runs all of them. See README.md for the maths. Rows of `gates`: r z q n (GRU) or i f g o (LSTM), D channels each.
#include <algorithm>
#include <vector>

#include "../tasks.h"
#include "../vector.h"

namespace {

using structnet::sigmoid;
using structnet::tanh_of;

// Activations take the place of what the products left in `gates`; the new state goes to h (and c).
template <typename T, bool LSTM>
STRUCTNET_CLONES void step(T* __restrict gates, const T* __restrict h_before, const T* __restrict c_before, int64_t d,
                           T* __restrict h, T* __restrict c) {
    T *first = gates, *second = gates + d, *third = gates + 2 * d, *fourth = gates + 3 * d;
    for (int64_t k = 0; k < d; ++k) {
        const T a = sigmoid(first[k]), b = sigmoid(second[k]);
        if (LSTM) {
            const T g = tanh_of(third[k]), o = sigmoid(fourth[k]);
            const T cell = b * c_before[k] + a * g;
            third[k] = g, fourth[k] = o;
            c[k] = cell, h[k] = o * tanh_of(cell);
        } else {
            const T n = tanh_of(fourth[k] + a * third[k]);
            fourth[k] = n, h[k] = n + b * (h_before[k] - n);
        }
        first[k] = a, second[k] = b;
    }
}

// Gradients of one row. dh, dc come from the outputs, carry_h, carry_c from the step after; the carries leave with what goes
// to the step before, but for the product with the hidden weights.
template <typename T, bool LSTM>
STRUCTNET_CLONES void step_back(const T* __restrict dh, const T* __restrict dc, const T* __restrict gates,
                                const T* __restrict h_before, const T* __restrict c_before, const T* __restrict c, int64_t d,
                                T* __restrict carry_h, T* __restrict carry_c, T* __restrict out) {
    for (int64_t k = 0; k < d; ++k) {
        const T first = gates[k], second = gates[d + k], third = gates[2 * d + k], fourth = gates[3 * d + k];
        const T total = dh[k] + carry_h[k];
        if (LSTM) {
            const T squashed = tanh_of(c[k]);
            const T cell = dc[k] + carry_c[k] + total * fourth * (T(1) - squashed * squashed);
            out[k] = cell * third * first * (T(1) - first);
            out[d + k] = cell * c_before[k] * second * (T(1) - second);
            out[2 * d + k] = cell * first * (T(1) - third * third);
            out[3 * d + k] = total * squashed * fourth * (T(1) - fourth);
            carry_h[k] = T(0), carry_c[k] = cell * second;
        } else {
            const T candidate = total * (T(1) - second) * (T(1) - fourth * fourth);
            out[k] = candidate * third * first * (T(1) - first);
            out[d + k] = total * (h_before[k] - fourth) * second * (T(1) - second);
            out[2 * d + k] = candidate * first;
            out[3 * d + k] = candidate;
            carry_h[k] = total * second;
        }
    }
}

constexpr int64_t ROWS = 4, LANES = 32;  // sequences per thread of the tail; channels whose sums stay in registers

// out[m, :] += a[m, :] w, for R rows.
template <typename T, int R>
STRUCTNET_CLONES void product(const T* a, int64_t stride_a, const T* w, int64_t inner, int64_t columns, T* out,
                              int64_t stride_out) {
    for (int64_t j = 0; j < columns; j += LANES) {
        const int64_t width = std::min<int64_t>(LANES, columns - j);
        T sum[R][LANES];
        for (int m = 0; m < R; ++m)
            for (int64_t l = 0; l < width; ++l) sum[m][l] = out[m * stride_out + j + l];
        if (width == LANES)
            for (int64_t k = 0; k < inner; ++k)
                for (int m = 0; m < R; ++m)
                    for (int l = 0; l < LANES; ++l) sum[m][l] += a[m * stride_a + k] * w[k * columns + j + l];
        else
            for (int64_t k = 0; k < inner; ++k)
                for (int m = 0; m < R; ++m)
                    for (int64_t l = 0; l < width; ++l) sum[m][l] += a[m * stride_a + k] * w[k * columns + j + l];
        for (int m = 0; m < R; ++m)
            for (int64_t l = 0; l < width; ++l) out[m * stride_out + j + l] = sum[m][l];
    }
}

template <typename T>
void products(int64_t rows, const T* a, int64_t stride_a, const T* w, int64_t inner, int64_t columns, T* out, int64_t stride) {
    switch (rows) {
        case 1: return product<T, 1>(a, stride_a, w, inner, columns, out, stride);
        case 2: return product<T, 2>(a, stride_a, w, inner, columns, out, stride);
        case 3: return product<T, 3>(a, stride_a, w, inner, columns, out, stride);
        default: return product<T, 4>(a, stride_a, w, inner, columns, out, stride);
    }
}

// The tail: `sizes` never rise, so the sequences of a block stay together, and blocks need nothing from each other.
// h, c (rows): those of the step before, then one step after the other. gates: one step after the other.
template <typename T, bool LSTM>
void tail(const int64_t* sizes, int64_t steps, int64_t before, const T* w, int64_t d, T* gates, T* h, T* c) {
    const int64_t hidden = (LSTM ? 4 : 3) * d, most = sizes[0];
#pragma omp parallel for schedule(dynamic)
    for (int64_t first = 0; first < most; first += ROWS) {
        T *gate = gates + first * 4 * d, *last = h + first * d, *next = last + before * d;
        T *last_c = LSTM ? c + first * d : nullptr, *next_c = LSTM ? last_c + before * d : nullptr;
        for (int64_t t = 0; t < steps && sizes[t] > first; ++t) {
            const int64_t rows = std::min(ROWS, sizes[t] - first);
            products(rows, last, d, w, d, hidden, gate, 4 * d);
            for (int64_t m = 0; m < rows; ++m)
                step<T, LSTM>(gate + m * 4 * d, last + m * d, LSTM ? last_c + m * d : nullptr, d, next + m * d,
                              LSTM ? next_c + m * d : nullptr);
            gate += sizes[t] * 4 * d, last = next, next += sizes[t] * d;
            if (LSTM) last_c = next_c, next_c += sizes[t] * d;
        }
    }
}

// The same from its last step to its first. dh, dc, gates, out: rows of the tail; h, c as above; carries: one row a sequence.
template <typename T, bool LSTM>
void tail_back(const int64_t* sizes, int64_t steps, int64_t before, const T* w, int64_t d, const T* dh, const T* dc,
               const T* gates, const T* h, const T* c, T* carry_h, T* carry_c, T* out) {
    const int64_t hidden = (LSTM ? 4 : 3) * d, most = sizes[0];
    std::vector<int64_t> start(size_t(steps) + 1, 0);
    for (int64_t t = 0; t < steps; ++t) start[size_t(t) + 1] = start[size_t(t)] + sizes[t];
#pragma omp parallel for schedule(dynamic)
    for (int64_t first = 0; first < most; first += ROWS)
        for (int64_t t = steps - 1; t >= 0; --t) {
            const int64_t rows = std::min(ROWS, sizes[t] - first), at = start[size_t(t)] + first;
            if (rows <= 0) continue;
            const int64_t last = t ? before + start[size_t(t) - 1] + first : first, now = before + at;
            for (int64_t m = 0; m < rows; ++m)
                step_back<T, LSTM>(dh + (at + m) * d, LSTM ? dc + (at + m) * d : nullptr, gates + (at + m) * 4 * d,
                                   h + (last + m) * d, LSTM ? c + (last + m) * d : nullptr, LSTM ? c + (now + m) * d : nullptr,
                                   d, carry_h + (first + m) * d, LSTM ? carry_c + (first + m) * d : nullptr,
                                   out + (at + m) * 4 * d);
            products(rows, out + at * 4 * d, 4 * d, w, hidden, d, carry_h + first * d, d);
        }
}

template <typename T, bool LSTM>
void wide(T* gates, const T* h_before, const T* c_before, int64_t rows, int64_t d, T* h, T* c) {
#pragma omp parallel for schedule(static) if (rows * d > 16384)
    for (int64_t m = 0; m < rows; ++m)
        step<T, LSTM>(gates + m * 4 * d, h_before + m * d, LSTM ? c_before + m * d : nullptr, d, h + m * d,
                      LSTM ? c + m * d : nullptr);
}

template <typename T, bool LSTM>
void wide_back(const T* dh, const T* dc, const T* gates, const T* h_before, const T* c_before, const T* c, int64_t rows,
               int64_t d, T* carry_h, T* carry_c, T* out) {
#pragma omp parallel for schedule(static) if (rows * d > 16384)
    for (int64_t m = 0; m < rows; ++m)
        step_back<T, LSTM>(dh + m * d, LSTM ? dc + m * d : nullptr, gates + m * 4 * d, h_before + m * d,
                           LSTM ? c_before + m * d : nullptr, LSTM ? c + m * d : nullptr, d, carry_h + m * d,
                           LSTM ? carry_c + m * d : nullptr, out + m * 4 * d);
}

}  // namespace

// A null c says GRU.
#define FORMS(T, NAME)                                                                                                      \
    void structnet_rnn_step_##NAME(T* gates, const T* h_before, const T* c_before, int64_t rows, int64_t d, T* h, T* c) {  \
        (c ? wide<T, true> : wide<T, false>)(gates, h_before, c_before, rows, d, h, c);                                     \
    }                                                                                                                       \
    void structnet_rnn_step_back_##NAME(const T* dh, const T* dc, const T* gates, const T* h_before, const T* c_before,     \
                                        const T* c, int64_t rows, int64_t d, T* carry_h, T* carry_c, T* out) {              \
        (c ? wide_back<T, true> : wide_back<T, false>)(dh, dc, gates, h_before, c_before, c, rows, d, carry_h, carry_c,     \
                                                       out);                                                                \
    }                                                                                                                       \
    void structnet_rnn_tail_##NAME(const int64_t* sizes, int64_t steps, int64_t before, const T* w, int64_t d, T* gates,    \
                                   T* h, T* c) {                                                                            \
        (c ? tail<T, true> : tail<T, false>)(sizes, steps, before, w, d, gates, h, c);                                      \
    }                                                                                                                       \
    void structnet_rnn_tail_back_##NAME(const int64_t* sizes, int64_t steps, int64_t before, const T* w, int64_t d,         \
                                        const T* dh, const T* dc, const T* gates, const T* h, const T* c, T* carry_h,       \
                                        T* carry_c, T* out) {                                                               \
        (c ? tail_back<T, true> : tail_back<T, false>)(sizes, steps, before, w, d, dh, dc, gates, h, c, carry_h, carry_c,   \
                                                       out);                                                                \
    }

extern "C" {
void structnet_rnn_prepare(void* data, int64_t bytes) { structnet::prepare_output(data, bytes); }
FORMS(float, f32)
FORMS(double, f64)
}
