// The gates of an LSTM step with peepholes in one pass over memory, and their gradients from what went in. Rows of `gates`:
// i f g o, d channels each. See README.md for the maths.
#include <algorithm>
#include <vector>

#include "../vector.h"

namespace {

using structnet::sigmoid;
using structnet::tanh_of;

template <typename T>
STRUCTNET_CLONES void row(const T* __restrict gates, const T* __restrict c, const T* __restrict peep, int64_t d,
                          T* __restrict h, T* __restrict cell) {
    for (int64_t k = 0; k < d; ++k) {
        const T i = sigmoid(gates[k] + peep[k] * c[k]), f = sigmoid(gates[d + k] + peep[d + k] * c[k]);
        const T next = f * c[k] + i * tanh_of(gates[2 * d + k]);
        cell[k] = next;
        h[k] = sigmoid(gates[3 * d + k] + peep[2 * d + k] * next) * tanh_of(next);
    }
}

template <typename T>
STRUCTNET_CLONES void row_back(const T* __restrict dh, const T* __restrict dcell, const T* __restrict gates,
                               const T* __restrict c, const T* __restrict cell, const T* __restrict peep, int64_t d,
                               T* __restrict dgates, T* __restrict dc, T* __restrict dpeep) {
    for (int64_t k = 0; k < d; ++k) {
        const T i = sigmoid(gates[k] + peep[k] * c[k]), f = sigmoid(gates[d + k] + peep[d + k] * c[k]);
        const T g = tanh_of(gates[2 * d + k]), o = sigmoid(gates[3 * d + k] + peep[2 * d + k] * cell[k]);
        const T squashed = tanh_of(cell[k]);
        const T to_o = dh[k] * squashed * o * (T(1) - o);
        const T total = dcell[k] + dh[k] * o * (T(1) - squashed * squashed) + peep[2 * d + k] * to_o;
        const T to_i = total * g * i * (T(1) - i), to_f = total * c[k] * f * (T(1) - f);
        dgates[k] = to_i, dgates[d + k] = to_f, dgates[2 * d + k] = total * i * (T(1) - g * g), dgates[3 * d + k] = to_o;
        dc[k] = total * f + peep[k] * to_i + peep[d + k] * to_f;
        dpeep[k] += to_i * c[k], dpeep[d + k] += to_f * c[k], dpeep[2 * d + k] += to_o * cell[k];
    }
}

constexpr int64_t PIECE = 256;  // rows whose peephole gradients are summed together: the same with any number of threads

template <typename T>
void forward(const T* gates, const T* c, const T* peep, int64_t rows, int64_t d, T* h, T* cell) {
    const std::vector<T> none(peep ? 0 : size_t(3 * d), T(0));
    const T* weight = peep ? peep : none.data();
#pragma omp parallel for schedule(static) if (rows * d > 16384)
    for (int64_t m = 0; m < rows; ++m) row<T>(gates + m * 4 * d, c + m * d, weight, d, h + m * d, cell + m * d);
}

template <typename T>
void backward(const T* dh, const T* dcell, const T* gates, const T* c, const T* cell, const T* peep, int64_t rows, int64_t d,
              T* dgates, T* dc, T* dpeep) {
    const std::vector<T> none(peep ? 0 : size_t(3 * d), T(0));
    const T* weight = peep ? peep : none.data();
    const int64_t pieces = (rows + PIECE - 1) / PIECE;
    std::vector<T> sums(size_t(std::max<int64_t>(pieces, 1) * 3 * d), T(0));
#pragma omp parallel for schedule(static) if (rows * d > 16384)
    for (int64_t p = 0; p < pieces; ++p)
        for (int64_t m = p * PIECE; m < std::min(rows, (p + 1) * PIECE); ++m)
            row_back<T>(dh + m * d, dcell + m * d, gates + m * 4 * d, c + m * d, cell + m * d, weight, d, dgates + m * 4 * d,
                        dc + m * d, sums.data() + p * 3 * d);
    std::fill(dpeep, dpeep + 3 * d, T(0));
    for (int64_t p = 0; p < pieces; ++p)
        for (int64_t k = 0; k < 3 * d; ++k) dpeep[k] += sums[size_t(p * 3 * d + k)];
}

}  // namespace

#define STRUCTNET_LSTM_GATES(suffix, T)                                                                                   \
    extern "C" void structnet_lstm_gates_##suffix(const T* gates, const T* c, const T* peep, int64_t rows, int64_t d, T* h, \
                                                  T* cell) {                                                              \
        forward<T>(gates, c, peep, rows, d, h, cell);                                                                     \
    }                                                                                                                     \
    extern "C" void structnet_lstm_gates_backward_##suffix(const T* dh, const T* dcell, const T* gates, const T* c,        \
                                                           const T* cell, const T* peep, int64_t rows, int64_t d,         \
                                                           T* dgates, T* dc, T* dpeep) {                                  \
        backward<T>(dh, dcell, gates, c, cell, peep, rows, d, dgates, dc, dpeep);                                         \
    }

STRUCTNET_LSTM_GATES(f32, float)
STRUCTNET_LSTM_GATES(f64, double)
