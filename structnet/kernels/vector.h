// Loops over channels in the widest registers of the machine at hand, without tying the library to it.
#pragma once
#include <cstdint>
#include <cstring>

// One clone per instruction set, chosen when the library is loaded. Lanes are channels, which never meet, and products are
// not contracted into fused ones: every clone gives the same bits.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define STRUCTNET_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define STRUCTNET_CLONES
#endif

namespace structnet {

template <typename T>
struct Float;

template <>
struct Float<float> {
    using Int = int32_t;
    static constexpr int BITS = 23, BIAS = 127, DEGREE = 7, TERMS = 5;
    static constexpr float ROUND = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
    static constexpr float LOG2_HIGH = 0.693359375f, LOG2_LOW = -2.12194440e-4f, LOWEST = -87.0f;
    static constexpr Int SPLIT = 0x3504f3;  // mantissa of the square root of 2
};

template <>
struct Float<double> {
    using Int = int64_t;
    static constexpr int BITS = 52, BIAS = 1023, DEGREE = 13, TERMS = 11;
    static constexpr double ROUND = 6755399441055744.0;
    static constexpr double LOG2_HIGH = 6.93145751953125e-1, LOG2_LOW = 1.42860682030941723212e-6, LOWEST = -708.0;
    static constexpr Int SPLIT = 0x6a09e667f3bcd;
};

constexpr double INVERSE_FACTORIAL[] = {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040,
                                        1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600,
                                        1.0 / 6227020800};

// exp(x) for x <= 0, to about one unit in the last place, in operations that every compiler vectorises:
// x = k log 2 + r with |r| <= log 2 / 2, exp(r) by its series, times 2^k. Below LOWEST it is 0; NaN stays NaN.
template <typename T>
inline T exp_negative(T x) {
    using F = Float<T>;
    T k = x * T(1.442695040888963407) + F::ROUND;
    typename F::Int scale;
    std::memcpy(&scale, &k, sizeof(T));
    k -= F::ROUND;
    const T r = (x - k * F::LOG2_HIGH) - k * F::LOG2_LOW;
    T series = T(INVERSE_FACTORIAL[F::DEGREE]);
    for (int i = F::DEGREE - 1; i >= 0; --i) series = series * r + T(INVERSE_FACTORIAL[i]);
    scale = (scale + F::BIAS) << F::BITS;
    T power;
    std::memcpy(&power, &scale, sizeof(T));
    const T value = series * power;
    return x < F::LOWEST ? T(0) : value;
}

// exp(x) - 1 for x <= 0 with the same reduction: 2^k (exp(r) - 1) + (2^k - 1), which keeps its relative precision near 0.
template <typename T>
inline T expm1_negative(T x) {
    using F = Float<T>;
    T k = x * T(1.442695040888963407) + F::ROUND;
    typename F::Int scale;
    std::memcpy(&scale, &k, sizeof(T));
    k -= F::ROUND;
    const T r = (x - k * F::LOG2_HIGH) - k * F::LOG2_LOW;
    T series = T(INVERSE_FACTORIAL[F::DEGREE]);
    for (int i = F::DEGREE - 1; i >= 1; --i) series = series * r + T(INVERSE_FACTORIAL[i]);
    scale = (scale + F::BIAS) << F::BITS;
    T power;
    std::memcpy(&power, &scale, sizeof(T));
    const T value = (series * r) * power + (power - T(1));
    return x < F::LOWEST ? T(-1) : value;
}

template <typename T>
inline T sigmoid(T x) {
    const T e = exp_negative(x < T(0) ? x : -x);
    return (x < T(0) ? e : T(1)) / (T(1) + e);
}

template <typename T>
inline T tanh_of(T x) {
    const T e = expm1_negative(T(2) * (x < T(0) ? x : -x));
    const T value = e / (e + T(2));
    return x < T(0) ? value : -value;
}

// log(x) for a finite x >= 1: x = 2^k m with m in [0.7, 1.42), log m = 2 atanh((m - 1) / (m + 1)) by its series. NaN stays NaN.
template <typename T>
inline T log_positive(T x) {
    using F = Float<T>;
    using Int = typename F::Int;
    Int bits, rounded;
    std::memcpy(&bits, &x, sizeof(T));
    const Int k = ((bits - F::SPLIT) >> F::BITS) - F::BIAS + 1;  // one more where the mantissa is above sqrt 2
    bits -= k << F::BITS;
    T m, power = F::ROUND;  // k as a number, by the same rounding constant: no conversion instruction needed
    std::memcpy(&m, &bits, sizeof(T));
    std::memcpy(&rounded, &power, sizeof(T));
    rounded += k;
    std::memcpy(&power, &rounded, sizeof(T));
    power -= F::ROUND;
    const T u = (m - T(1)) / (m + T(1)), square = u * u;
    T series = T(0);
    for (int i = F::TERMS; i >= 0; --i) series = series * square + T(1) / T(2 * i + 1);
    return x == x ? power * T(0.693147180559945309) + T(2) * u * series : x;
}

}  // namespace structnet
