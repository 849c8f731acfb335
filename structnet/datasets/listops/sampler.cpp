// ListOps expressions, draw by draw. Draw i is a pure function of (seed, i): token t of it uses mix(key_i + t * STEP).
// sampler.py holds the same procedure in numpy; both give the same bits.
#include <cstdint>

namespace {

constexpr uint64_t GOLDEN = 0x9E3779B97F4A7C15ull, STEP = 0xD1B54A32D192ED03ull;
constexpr int MAX_DEPTH = 64;

inline uint64_t mix(uint64_t z) {  // the finaliser of splitmix64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

inline uint32_t scale(uint64_t bits, uint32_t size) { return uint32_t(((bits & 0xFFFFFFFFull) * size) >> 32); }

// One expression into `out`; returns its length, or 0 as soon as it must exceed `high`.
int64_t draw(uint64_t key, uint64_t threshold, int max_args, int max_depth, int64_t high, uint8_t* out, int* depth_out) {
    int left[MAX_DEPTH + 1];  // arguments still to come at each open bracket
    int depth = 0, deepest = 0;
    int64_t length = 0, owed = 1;  // owed: tokens that must still follow (one per argument, one per bracket)
    left[0] = 1;
    for (;;) {
        if (left[depth] == 0) {
            if (depth == 0) break;
            out[length++] = 14;
            --owed;
            --depth;
            continue;
        }
        --left[depth];
        const uint64_t bits = mix(key + uint64_t(length) * STEP);
        if (depth + 1 < max_depth && (bits >> 32) < threshold) {
            const int arity = 2 + int(scale(bits, uint32_t(max_args - 1)));
            out[length++] = uint8_t(10 + (mix(bits) >> 62));
            owed += arity;  // - 1 for this token, + 1 for its closing bracket
            left[++depth] = arity;
            if (depth > deepest) deepest = depth;
            if (length + owed > high) return 0;
        } else {
            out[length++] = uint8_t(scale(bits, 10));
            --owed;
        }
    }
    *depth_out = deepest;
    return length;
}

}  // namespace

extern "C" {

// Accepted expressions of the draws first .. first + count - 1, until `room` tokens or `rows` rows are used.
// Writes tokens, lengths and draw numbers; returns the number of rows; *next is the first draw not looked at.
int64_t structnet_listops(uint64_t seed, int64_t first, int64_t count, uint64_t threshold, int32_t max_args,
                          int32_t max_depth, int64_t low, int64_t high, int32_t depth_low, int32_t depth_high,
                          int64_t rows, int64_t room, uint8_t* tokens, int64_t* lengths, int64_t* next) {
    const uint64_t base = mix(seed + GOLDEN);
    int64_t found = 0, used = 0, i = first;
    for (; i < first + count && found < rows && used + high <= room; ++i) {
        int depth = 0;
        const int64_t n = draw(mix(base + uint64_t(i) * GOLDEN), threshold, max_args, max_depth, high, tokens + used, &depth);
        if (n < low || n == 0 || depth < depth_low || depth > depth_high) continue;
        lengths[found++] = n;
        used += n;
    }
    *next = i;
    return found;
}
}
