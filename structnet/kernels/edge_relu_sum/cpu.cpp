// out_j = sum over edges i -> j of relu(source_i + target_j + edge): no row per edge is ever written. See README.md.
#include <cstring>

#include "../tasks.h"
#include "../vector.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

constexpr int64_t BLOCK = 256;  // channels whose sums are held at once

template <typename T, bool EDGE>
STRUCTNET_CLONES void forward(const T* __restrict source, const T* __restrict target, const T* __restrict edge,
                              const int64_t* __restrict sender, int64_t first, int64_t last, int64_t channels, int64_t width,
                              T* __restrict out) {
    T total[BLOCK] = {};
    for (int64_t e = first; e < last; ++e) {
        const T* __restrict from = source + sender[e] * channels;
        for (int64_t c = 0; c < width; ++c) {
            const T value = EDGE ? from[c] + target[c] + edge[e * channels + c] : from[c] + target[c];
            total[c] += value < T(0) ? T(0) : value;  // NaN passes
        }
    }
    std::memcpy(out, total, size_t(width) * sizeof(T));
}

// dtarget_j = sum of the open edges' g_j; dsource_i the same at the other end; dedge each on its own. The sums that decide
// what is open are made again.
template <typename T, bool EDGE>
STRUCTNET_CLONES void backward(const T* __restrict g, const T* __restrict source, const T* __restrict target,
                               const T* __restrict edge, const int64_t* __restrict sender, int64_t first, int64_t last,
                               int64_t channels, int64_t width, T* __restrict dsource, T* __restrict dtarget,
                               T* __restrict dedge) {
    T total[BLOCK] = {};
    for (int64_t e = first; e < last; ++e) {
        const T* __restrict from = source + sender[e] * channels;
        T* __restrict into = dsource + sender[e] * channels;
        for (int64_t c = 0; c < width; ++c) {
            const T value = EDGE ? from[c] + target[c] + edge[e * channels + c] : from[c] + target[c];
            const T open = value <= T(0) ? T(0) : g[c];
            total[c] += open;
            into[c] += open;
            if (EDGE) dedge[e * channels + c] = open;
        }
    }
    std::memcpy(dtarget, total, size_t(width) * sizeof(T));
}

template <typename T>
void run_forward(const T* source, const T* target, const T* edge, const int64_t* sender, const int64_t* ptr, int64_t targets,
                 int64_t channels, T* out) {
    structnet::prepare_output(out, targets * channels * int64_t(sizeof(T)));
#pragma omp parallel for schedule(static)
    for (int64_t j = 0; j < targets; ++j)
        for (int64_t c = 0; c < channels; c += BLOCK) {
            const int64_t width = std::min(BLOCK, channels - c), at = j * channels + c;
            if (edge)
                forward<T, true>(source + c, target + at, edge + c, sender, ptr[j], ptr[j + 1], channels, width, out + at);
            else
                forward<T, false>(source + c, target + at, edge, sender, ptr[j], ptr[j + 1], channels, width, out + at);
        }
}

// Senders are met in any order, so threads share out the channels: no two write the same number.
template <typename T>
void run_backward(const T* g, const T* source, const T* target, const T* edge, const int64_t* sender, const int64_t* ptr,
                  int64_t sources, int64_t targets, int64_t channels, T* dsource, T* dtarget, T* dedge) {
    std::memset(dsource, 0, size_t(sources * channels) * sizeof(T));
    int64_t threads = 1;
#ifdef _OPENMP
    threads = omp_get_max_threads();
#endif
    const int64_t block = std::min(BLOCK, ((channels + threads - 1) / threads + 15) / 16 * 16);
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < channels; c += block) {
        const int64_t width = std::min(block, channels - c);
        for (int64_t j = 0; j < targets; ++j) {
            const int64_t at = j * channels + c;
            if (edge)
                backward<T, true>(g + at, source + c, target + at, edge + c, sender, ptr[j], ptr[j + 1], channels, width,
                                  dsource + c, dtarget + at, dedge + c);
            else
                backward<T, false>(g + at, source + c, target + at, edge, sender, ptr[j], ptr[j + 1], channels, width,
                                   dsource + c, dtarget + at, dedge);
        }
    }
}

}  // namespace

#define FORMS(T, NAME)                                                                                                      \
    void structnet_edge_relu_sum_##NAME(const T* source, const T* target, const T* edge, const int64_t* sender,             \
                                        const int64_t* ptr, int64_t targets, int64_t channels, T* out) {                    \
        run_forward(source, target, edge, sender, ptr, targets, channels, out);                                             \
    }                                                                                                                       \
    void structnet_edge_relu_sum_backward_##NAME(const T* g, const T* source, const T* target, const T* edge,               \
                                                 const int64_t* sender, const int64_t* ptr, int64_t sources,                \
                                                 int64_t targets, int64_t channels, T* dsource, T* dtarget, T* dedge) {     \
        run_backward(g, source, target, edge, sender, ptr, sources, targets, channels, dsource, dtarget, dedge);            \
    }

extern "C" {
FORMS(float, f32)
FORMS(double, f64)
}
