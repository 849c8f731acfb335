// How the rows of ragged segments are shared out among threads. The result of a kernel never depends on it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>
#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(_OPENMP)
#include <omp.h>
#endif

namespace structnet {

struct Task {
    int64_t first, last;      // segments first .. last - 1
    int32_t begin, end;       // channels begin .. end - 1
};

// Whole segments in runs of about `grain` rows; a segment much longer than that is split by channels instead, so that
// one giant segment leaves no core idle. `block` channels at least (a cache line or more), and no more pieces than threads:
// whole rows are read faster than parts of them.
inline std::vector<Task> share_out(const int64_t* ptr, int64_t segments, int32_t channels, int64_t grain = 8192,
                                   int32_t block = 16) {
#if defined(_OPENMP)
    const int32_t threads = omp_get_max_threads();
#else
    const int32_t threads = 1;
#endif
    block *= (channels + threads * block - 1) / (threads * block);
    std::vector<Task> tasks;
    int64_t first = 0;
    for (int64_t s = 0; s < segments; ++s) {
        const int64_t rows = ptr[s + 1] - ptr[s];
        if (rows > 2 * grain && channels > block) {
            if (first < s) tasks.push_back({first, s, 0, channels});
            for (int32_t c = 0; c < channels; c += block) tasks.push_back({s, s + 1, c, std::min(c + block, channels)});
            first = s + 1;
        } else if (ptr[s + 1] - ptr[first] >= grain) {
            tasks.push_back({first, s + 1, 0, channels});
            first = s + 1;
        }
    }
    if (first < segments) tasks.push_back({first, segments, 0, channels});
    return tasks;
}

// A fresh output of many megabytes costs more in page faults than in arithmetic: have its pages mapped in few calls, a third
// cheaper (Linux 5.14; before, an error that changes nothing). Huge pages are left to whoever runs the process: they save
// more, or cost several times as much where a virtual machine hands free memory back to its host. See docs/kernels.md.
inline void prepare_output(void* data, int64_t bytes) {
#if defined(__linux__)
    if (bytes < (int64_t(4) << 20)) return;
    const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE)), piece = uintptr_t(4) << 20;
    const uintptr_t start = (reinterpret_cast<uintptr_t>(data) + page - 1) / page * page;
    const uintptr_t stop = (reinterpret_cast<uintptr_t>(data) + uintptr_t(bytes)) / page * page;
    unsigned char mapped = 0;  // an output whose last page is there has been written before
    if (mincore(reinterpret_cast<void*>(stop - page), page, &mapped) || (mapped & 1)) return;
    constexpr int POPULATE_WRITE = 23;
#pragma omp parallel for schedule(static)
    for (uintptr_t at = start; at < stop; at += piece)
        madvise(reinterpret_cast<void*>(at), std::min(piece, stop - at), POPULATE_WRITE);
#else
    (void)data, (void)bytes;
#endif
}

// Whether rows of a large output should go around the caches: an ordinary store first reads the line that it overwrites.
inline bool worth_streaming(const void* data, int64_t bytes, int64_t row_bytes) {
#if defined(__SSE2__)
    return bytes >= (int64_t(32) << 20) && row_bytes % 16 == 0 && reinterpret_cast<uintptr_t>(data) % 16 == 0;
#else
    return (void)data, (void)bytes, (void)row_bytes, false;
#endif
}

// Writes a row around the caches; both ends on 16 bytes. `finish_streaming` before other threads may read.
template <typename T>
inline void stream(const T* row, int64_t count, T* out) {
#if defined(__SSE2__)
    const auto* from = reinterpret_cast<const __m128i*>(row);
    auto* to = reinterpret_cast<__m128i*>(out);
    for (int64_t i = 0; i < count * int64_t(sizeof(T)) / 16; ++i) _mm_stream_si128(to + i, _mm_loadu_si128(from + i));
#else
    std::copy(row, row + count, out);
#endif
}

inline void finish_streaming() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

template <typename T>
inline void prefetch(const T* data, int64_t count) {
#if defined(__GNUC__)
    for (int64_t i = 0; i < count; i += int64_t(64 / sizeof(T))) __builtin_prefetch(data + i);
#else
    (void)data, (void)count;
#endif
}

}  // namespace structnet
