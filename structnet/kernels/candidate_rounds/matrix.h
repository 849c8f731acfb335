// Small dense products in registers: rows of a board times a weight matrix that stays in the first-level cache.
#pragma once
#include <cstdint>

#include "../vector.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"
#endif
#define STRUCTNET_INLINE inline __attribute__((always_inline))

namespace structnet {

// One register of the widest kind; narrower machines split it.
typedef float Lanes __attribute__((vector_size(64)));
constexpr int64_t LANES = 16;

STRUCTNET_INLINE Lanes load(const float* from) {
    Lanes value;
    __builtin_memcpy(&value, from, 64);
    return value;
}

STRUCTNET_INLINE void store(float* to, Lanes value) {
    __builtin_memcpy(to, &value, 64);
}

STRUCTNET_INLINE float total(Lanes value) {
    float part[LANES];
    store(part, value);
    for (int64_t half = LANES / 2; half; half /= 2)
        for (int64_t i = 0; i < half; ++i) part[i] += part[i + half];
    return part[0];
}

// 1 / (1 + exp(-x)) by exp_negative of ../vector.h, on a whole register.
STRUCTNET_INLINE Lanes sigmoid(Lanes x) {
    typedef int32_t Bits __attribute__((vector_size(64)));
    using F = Float<float>;
    const Lanes low = x < 0 ? x : -x, y = low < F::LOWEST ? F::LOWEST + Lanes{} : low;
    Lanes k = y * 1.442695040888963407f + F::ROUND;
    const Bits scale = ((Bits)k + F::BIAS) << F::BITS;
    k -= F::ROUND;
    const Lanes r = (y - k * F::LOG2_HIGH) - k * F::LOG2_LOW;
    Lanes series = Lanes{} + float(INVERSE_FACTORIAL[F::DEGREE]);
#pragma GCC unroll 8
    for (int i = F::DEGREE - 1; i >= 0; --i) series = series * r + float(INVERSE_FACTORIAL[i]);
    const Lanes e = series * (Lanes)scale;
    return (x < 0 ? e : 1.0f + Lanes{}) / (1.0f + e);
}

// C[i, :] += sum over k of A(i, k) B[k, :], for R rows and V registers of columns. A is read at i * down + k * across, so
// the transposed product is the same tile with the strides exchanged.
template <int R, int V>
STRUCTNET_INLINE void tile(const float* a, int64_t down, int64_t across, const float* b, int64_t ldb, float* c, int64_t ldc,
                           int64_t inner) {
    Lanes sum[R][V];
#pragma GCC unroll 12
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j) sum[i][j] = load(c + i * ldc + j * LANES);
    for (int64_t k = 0; k < inner; ++k) {
        Lanes right[V];
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j) right[j] = load(b + k * ldb + j * LANES);
#pragma GCC unroll 12
        for (int i = 0; i < R; ++i) {
            const float left = a[i * down + k * across];
#pragma GCC unroll 4
            for (int j = 0; j < V; ++j) sum[i][j] += left * right[j];
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j) store(c + i * ldc + j * LANES, sum[i][j]);
}

template <int V>
STRUCTNET_INLINE void strip(int64_t rows, const float* a, int64_t down, int64_t across, const float* b, int64_t ldb, float* c, int64_t ldc,
                            int64_t inner) {
    constexpr int R = V == 4 ? 6 : 12;
    int64_t i = 0;
    for (; i + R <= rows; i += R) tile<R, V>(a + i * down, down, across, b, ldb, c + i * ldc, ldc, inner);
    for (; i + 3 <= rows; i += 3) tile<3, V>(a + i * down, down, across, b, ldb, c + i * ldc, ldc, inner);
    for (; i < rows; ++i) tile<1, V>(a + i * down, down, across, b, ldb, c + i * ldc, ldc, inner);
}

// C [rows, columns] += A B, or A^T B with the strides exchanged. Columns are a multiple of LANES. Not inlined: a dozen tiles
// for every instruction set are enough once.
STRUCTNET_CLONES static void product(int64_t rows, int64_t columns, int64_t inner, const float* a, int64_t down, int64_t across,
                                     const float* b, float* c) {
    int64_t left = columns / LANES;
    for (; left >= 4; left -= 4, b += 4 * LANES, c += 4 * LANES) strip<4>(rows, a, down, across, b, columns, c, columns, inner);
    for (; left >= 2; left -= 2, b += 2 * LANES, c += 2 * LANES) strip<2>(rows, a, down, across, b, columns, c, columns, inner);
    if (left) strip<1>(rows, a, down, across, b, columns, c, columns, inner);
}

}  // namespace structnet
