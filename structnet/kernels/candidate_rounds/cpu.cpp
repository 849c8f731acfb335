// Rounds of the candidate network, board by board: what a round needs of one board fits the second-level cache.
// README.md has the equations. Float32; width and hidden are multiples of a register (LANES).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2", "fp-contract=fast")  // fused products: no other form of this op gives the same last bit anyway
#endif
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../vector.h"
#include "matrix.h"
#if defined(_OPENMP)
#include <omp.h>
#else
static int omp_get_num_threads() { return 1; }
static int omp_get_thread_num() { return 0; }
#endif

namespace {

using namespace structnet;

// Kinds of units (cell, line, box, intersection) and of input; units of a candidate.
constexpr int64_t KINDS = 4, INPUTS = 3, UNITS = 6;

struct Sizes {
    int64_t n, box_rows, width, hidden;
    int64_t cells() const { return n * n; }
    int64_t box_columns() const { return n / box_rows; }
    int64_t units() const { return (4 + box_rows + box_columns()) * cells(); }
    int64_t boxed(int64_t r, int64_t c) const { return r / box_rows * box_rows + c / box_columns(); }
};

// Weights, or their gradients. Rows of a matrix are its inputs.
struct Weights {
    float *input, *own, *gather, *gather_bias, *spread, *update, *update_bias, *scale, *shift, *readout;

    Weights(float* at, const Sizes& s) {
        const int64_t w = s.width, h = s.hidden;
        float** parts[] = {&input, &own, &gather, &gather_bias, &spread, &update, &update_bias, &scale, &shift, &readout};
        const int64_t counts[] = {INPUTS * h, w * h, KINDS * w * w, KINDS * w, KINDS * w * h, h * 2 * w, 2 * w, w, w, w + 1};
        for (int i = 0; i < 10; ++i) *parts[i] = at, at += counts[i];
    }

    static int64_t count(const Sizes& s) {
        Weights at(nullptr, s);
        return (at.readout - at.input) + s.width + 1;
    }
};

STRUCTNET_INLINE void add(float* to, const float* from, int64_t count) {
    for (int64_t i = 0; i < count; i += LANES) store(to + i, load(to + i) + load(from + i));
}

STRUCTNET_INLINE void relu(float* x, int64_t count) {
    for (int64_t i = 0; i < count; i += LANES) {
        const Lanes v = load(x + i);
        store(x + i, v > 0 ? v : Lanes{});
    }
}

STRUCTNET_INLINE void mask(float* grad, const float* value, int64_t count) {
    for (int64_t i = 0; i < count; i += LANES) store(grad + i, load(value + i) > 0 ? load(grad + i) : Lanes{});
}

STRUCTNET_INLINE void transpose(const float* from, int64_t rows, int64_t columns, float* to) {
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
}

// What a round of one board needs, in rows of units and of candidates. A unit row is one of six families: cells (row,
// column), rows (row, digit), columns (column, digit), boxes (box, digit), n * n each, and the intersections of boxes with
// rows (row, box column, digit) and with columns (column, box row, digit).
struct Round {
    const Sizes s;
    const Weights w;
    std::vector<float> sums, gathered, spread;              // units: width, width, hidden
    std::vector<float> z, gates, normed, inverse;           // candidates of one row of cells: hidden, 2 width, width, 1
    std::vector<float> dspread, dgathered, dsums, dz, dgates;
    std::vector<float> update_t, own_t, gather_t, spread_t;  // transposed weights, for the way back
    const int64_t units, strip_rows;

    Round(const Sizes& sizes, float* weights, bool back)
        : s(sizes), w(weights, sizes), units(s.units()), strip_rows(s.cells()) {
        const int64_t wd = s.width, h = s.hidden;
        sums.resize(units * wd), gathered.resize(units * wd), spread.resize(units * h);
        z.resize(strip_rows * h), gates.resize(strip_rows * 2 * wd), normed.resize(strip_rows * wd), inverse.resize(strip_rows);
        if (!back) return;
        dspread.resize(units * h), dgathered.resize(units * wd), dsums.resize(units * wd);
        dz.resize(strip_rows * h), dgates.resize(strip_rows * 2 * wd);
        update_t.resize(h * 2 * wd), own_t.resize(wd * h), gather_t.resize(KINDS * wd * wd), spread_t.resize(KINDS * wd * h);
        transpose(w.update, h, 2 * wd, update_t.data());
        transpose(w.own, wd, h, own_t.data());
        for (int64_t k = 0; k < KINDS; ++k) {
            transpose(w.gather + k * wd * wd, wd, wd, gather_t.data() + k * wd * wd);
            transpose(w.spread + k * wd * h, wd, h, spread_t.data() + k * wd * h);
        }
    }

    // The unit rows of a candidate.
    STRUCTNET_INLINE void rows_of(int64_t r, int64_t c, int64_t d, int64_t out[UNITS]) const {
        const int64_t n = s.n, cells = s.cells();
        out[0] = r * n + c, out[1] = cells + r * n + d, out[2] = 2 * cells + c * n + d, out[3] = 3 * cells + s.boxed(r, c) * n + d;
        out[4] = 4 * cells + (r * s.box_rows + c / s.box_columns()) * n + d;
        out[5] = (4 + s.box_rows) * cells + (c * s.box_columns() + r / s.box_rows) * n + d;
    }

    // Unit rows of a kind are neighbours: where they start, and where those of the next kind do.
    STRUCTNET_INLINE int64_t first(int64_t kind) const {
        const int64_t cells = s.cells(), starts[] = {0, cells, 3 * cells, 4 * cells, units};
        return starts[kind];
    }

    STRUCTNET_INLINE void unit_sums(const float* state) {
        std::memset(sums.data(), 0, sums.size() * sizeof(float));
        int64_t at[UNITS];
        for (int64_t r = 0; r < s.n; ++r)
            for (int64_t c = 0; c < s.n; ++c)
                for (int64_t d = 0; d < s.n; ++d, state += s.width) {
                    rows_of(r, c, d, at);
                    for (int64_t u : at) add(&sums[u * s.width], state, s.width);
                }
    }

    STRUCTNET_INLINE void unit_messages() {
        const int64_t wd = s.width, h = s.hidden;
        std::memset(spread.data(), 0, spread.size() * sizeof(float));
        for (int64_t k = 0; k < KINDS; ++k) {
            const int64_t from = first(k), rows = first(k + 1) - from;
            float* q = &gathered[from * wd];
            for (int64_t i = 0; i < rows; ++i) std::memcpy(q + i * wd, w.gather_bias + k * wd, wd * sizeof(float));
            product(rows, wd, wd, &sums[from * wd], wd, int64_t(1), w.gather + k * wd * wd, q);
            relu(q, rows * wd);
            product(rows, h, wd, q, wd, int64_t(1), w.spread + k * wd * h, &spread[from * h]);
        }
    }

    STRUCTNET_INLINE int64_t kind(const int64_t* puzzle, int64_t r, int64_t c, int64_t d) const {
        const int64_t digit = puzzle[r * s.n + c];
        return digit == 0 ? 0 : digit == d + 1 ? 1 : 2;
    }

    // Hidden layer, gates and normed state of the candidates in row r; normed state without scale and shift.
    STRUCTNET_INLINE void strip_forward(const float* state, const int64_t* puzzle, int64_t r) {
        const int64_t n = s.n, wd = s.width, h = s.hidden;
        int64_t at[UNITS];
        float* row = z.data();
        for (int64_t c = 0; c < n; ++c)
            for (int64_t d = 0; d < n; ++d, row += h) {
                rows_of(r, c, d, at);
                const float* given = w.input + kind(puzzle, r, c, d) * h;
                for (int64_t i = 0; i < h; i += LANES) {
                    Lanes sum = load(given + i);
                    for (int64_t u : at) sum += load(&spread[u * h + i]);
                    store(row + i, sum);
                }
            }
        product(strip_rows, h, wd, state, wd, int64_t(1), w.own, z.data());
        relu(z.data(), strip_rows * h);
        for (int64_t i = 0; i < strip_rows; ++i) std::memcpy(&gates[i * 2 * wd], w.update_bias, 2 * wd * sizeof(float));
        product(strip_rows, 2 * wd, h, z.data(), h, int64_t(1), w.update, gates.data());
        for (int64_t i = 0; i < strip_rows; ++i) norm_row(state + i * wd, &gates[i * 2 * wd], &normed[i * wd], &inverse[i]);
    }

    STRUCTNET_INLINE void norm_row(const float* state, float* gate, float* out, float* scale_out) const {
        const int64_t wd = s.width;
        for (int64_t i = 0; i < wd; i += LANES) store(gate + i, sigmoid(load(gate + i)));
        Lanes sum{};
        for (int64_t i = 0; i < wd; i += LANES) {
            const Lanes v = load(state + i) + load(gate + i) * load(gate + wd + i);
            store(out + i, v);
            sum += v;
        }
        const float mean = total(sum) / float(wd);
        Lanes square{};
        for (int64_t i = 0; i < wd; i += LANES) {
            const Lanes v = load(out + i) - mean;
            square += v * v;
        }
        const float scale = 1.0f / std::sqrt(total(square) / float(wd) + 1e-5f);
        for (int64_t i = 0; i < wd; i += LANES) store(out + i, (load(out + i) - mean) * scale);
        *scale_out = scale;
    }

    STRUCTNET_INLINE void forward(const float* state, const int64_t* puzzle, float* next, float* logits) {
        const int64_t wd = s.width;
        unit_sums(state);
        unit_messages();
        for (int64_t r = 0; r < s.n; ++r) {
            strip_forward(state + r * strip_rows * wd, puzzle, r);
            float* out = next + r * strip_rows * wd;
            for (int64_t i = 0; i < strip_rows; ++i) {
                Lanes sum{};
                for (int64_t j = 0; j < wd; j += LANES) {
                    const Lanes v = load(&normed[i * wd + j]) * load(w.scale + j) + load(w.shift + j);
                    store(out + i * wd + j, v);
                    sum += v * load(w.readout + j);
                }
                if (logits) logits[r * strip_rows + i] = total(sum) + w.readout[wd];
            }
        }
    }

    // `grad`: gradient of the state after the round on entry, of the state before it on return.
    STRUCTNET_INLINE void backward(const float* state, const int64_t* puzzle, const float* dlogits, float* grad, Weights& dw) {
        const int64_t wd = s.width, h = s.hidden, n = s.n;
        unit_sums(state);
        unit_messages();
        std::memset(dspread.data(), 0, dspread.size() * sizeof(float));
        for (int64_t r = 0; r < n; ++r) {
            const float* rows = state + r * strip_rows * wd;
            float* drows = grad + r * strip_rows * wd;
            strip_forward(rows, puzzle, r);
            for (int64_t i = 0; i < strip_rows; ++i) row_back(i, dlogits[r * strip_rows + i], drows + i * wd, dw);
            product(h, 2 * wd, strip_rows, z.data(), int64_t(1), h, dgates.data(), dw.update);
            std::memset(dz.data(), 0, dz.size() * sizeof(float));
            product(strip_rows, h, 2 * wd, dgates.data(), 2 * wd, int64_t(1), update_t.data(), dz.data());
            mask(dz.data(), z.data(), strip_rows * h);
            product(wd, h, strip_rows, rows, int64_t(1), wd, dz.data(), dw.own);
            product(strip_rows, wd, h, dz.data(), h, int64_t(1), own_t.data(), drows);
            scatter_strip(puzzle, r, dw);
        }
        units_back(dw);
        int64_t at[UNITS];
        for (int64_t r = 0; r < n; ++r)
            for (int64_t c = 0; c < n; ++c)
                for (int64_t d = 0; d < n; ++d, grad += wd) {
                    rows_of(r, c, d, at);
                    for (int64_t u : at) add(grad, &dsums[u * wd], wd);
                }
    }

    // Readout, norm and gate of candidate i of the strip: fills dgates, leaves the direct share in grad.
    STRUCTNET_INLINE void row_back(int64_t i, float dlogit, float* grad, Weights& dw) {
        const int64_t wd = s.width;
        const float *x = &normed[i * wd], *gate = &gates[i * 2 * wd], *change = gate + wd;
        float* dgate = &dgates[i * 2 * wd];
        Lanes sum{}, along{};
        for (int64_t j = 0; j < wd; j += LANES) {
            const Lanes v = load(x + j), scale = load(w.scale + j), g = load(grad + j) + dlogit * load(w.readout + j);
            store(dw.readout + j, load(dw.readout + j) + dlogit * (v * scale + load(w.shift + j)));
            store(dw.scale + j, load(dw.scale + j) + g * v);
            store(dw.shift + j, load(dw.shift + j) + g);
            store(grad + j, g * scale);
            sum += g * scale;
            along += g * scale * v;
        }
        dw.readout[wd] += dlogit;
        const float mean = total(sum) / float(wd), slope = total(along) / float(wd), scale = inverse[i];
        for (int64_t j = 0; j < wd; j += LANES) {
            const Lanes g = scale * (load(grad + j) - mean - slope * load(x + j)), open = load(gate + j);
            const Lanes dg = g * load(change + j) * open * (1.0f - open), dc = g * open;
            store(grad + j, g);
            store(dgate + j, dg);
            store(dgate + wd + j, dc);
            store(dw.update_bias + j, load(dw.update_bias + j) + dg);
            store(dw.update_bias + wd + j, load(dw.update_bias + wd + j) + dc);
        }
    }

    STRUCTNET_INLINE void scatter_strip(const int64_t* puzzle, int64_t r, Weights& dw) {
        const int64_t h = s.hidden;
        int64_t at[UNITS];
        const float* row = dz.data();
        for (int64_t c = 0; c < s.n; ++c)
            for (int64_t d = 0; d < s.n; ++d, row += h) {
                rows_of(r, c, d, at);
                for (int64_t u : at) add(&dspread[u * h], row, h);
                add(dw.input + kind(puzzle, r, c, d) * h, row, h);
            }
    }

    STRUCTNET_INLINE void units_back(Weights& dw) {
        const int64_t wd = s.width, h = s.hidden;
        std::memset(dgathered.data(), 0, dgathered.size() * sizeof(float));
        std::memset(dsums.data(), 0, dsums.size() * sizeof(float));
        for (int64_t k = 0; k < KINDS; ++k) {
            const int64_t from = first(k), rows = first(k + 1) - from;
            float *q = &gathered[from * wd], *dq = &dgathered[from * wd], *dp = &dspread[from * h];
            product(wd, h, rows, q, int64_t(1), wd, dp, dw.spread + k * wd * h);
            product(rows, wd, h, dp, h, int64_t(1), &spread_t[k * wd * h], dq);
            mask(dq, q, rows * wd);
            for (int64_t i = 0; i < rows; ++i) add(dw.gather_bias + k * wd, dq + i * wd, wd);
            product(wd, wd, rows, &sums[from * wd], int64_t(1), wd, dq, dw.gather + k * wd * wd);
            product(rows, wd, wd, dq, wd, int64_t(1), &gather_t[k * wd * wd], &dsums[from * wd]);
        }
    }
};

// The clones are of these two, below the threads: code of a parallel region is not cloned.

// States of one board: rounds + 1 of them with the start in place if all are kept, else two to take turns.
STRUCTNET_CLONES void board_forward(Round& round, int64_t rounds, int64_t kept, bool all, const int64_t* puzzle, float* states,
                                    float* logits, int64_t stride) {
    const int64_t size = round.s.n * round.strip_rows * round.s.width;
    for (int64_t t = 0; t < rounds; ++t) {
        float *from = states + (all ? t : t % 2) * size, *to = states + (all ? t + 1 : (t + 1) % 2) * size;
        const int64_t keep = t - (rounds - kept);
        round.forward(from, puzzle, to, keep < 0 ? nullptr : logits + keep * stride);
    }
}

STRUCTNET_CLONES void board_backward(Round& round, int64_t rounds, const int64_t* puzzle, const float* states,
                                     const float* dlogits, int64_t stride, float* grad, Weights& dw) {
    const int64_t size = round.s.n * round.strip_rows * round.s.width;
    for (int64_t t = rounds - 1; t >= 0; --t) round.backward(states + t * size, puzzle, dlogits + t * stride, grad, dw);
}

}  // namespace

extern "C" void structnet_candidate_rounds(int64_t n, int64_t box_rows, int64_t width, int64_t hidden, int64_t boards,
                                           int64_t rounds, const int64_t* puzzles, float* weights, float* states,
                                           int64_t kept, int32_t all, float* logits) {
    const Sizes s{n, box_rows, width, hidden};
    const int64_t candidates = n * n * n, size = candidates * width * (all ? rounds + 1 : 2);
#pragma omp parallel
    {
        Round round(s, weights, false);
#pragma omp for schedule(static)
        for (int64_t b = 0; b < boards; ++b)
            board_forward(round, rounds, kept, all, puzzles + b * s.cells(), states + b * size, logits + b * candidates,
                          boards * candidates);
    }
}

// grad [boards, candidates, width]: of the last state on entry, of the start on return. dweights is added to.
extern "C" void structnet_candidate_rounds_backward(int64_t n, int64_t box_rows, int64_t width, int64_t hidden, int64_t boards,
                                                    int64_t rounds, const int64_t* puzzles, float* weights, const float* states,
                                                    const float* dlogits, float* grad, float* dweights) {
    const Sizes s{n, box_rows, width, hidden};
    const int64_t candidates = n * n * n, size = candidates * width, count = Weights::count(s);
    std::vector<float> parts;  // one per thread, added in their order: the same number of threads gives the same bits
#pragma omp parallel
    {
#pragma omp single
        parts.resize(omp_get_num_threads() * count);
        Round round(s, weights, true);
        Weights dw(parts.data() + omp_get_thread_num() * count, s);
#pragma omp for schedule(static)
        for (int64_t b = 0; b < boards; ++b)
            board_backward(round, rounds, puzzles + b * s.cells(), states + b * (rounds + 1) * size, dlogits + b * candidates,
                           boards * candidates, grad + b * size, dw);
    }
    for (size_t i = 0; i < parts.size(); ++i) dweights[i % count] += parts[i];
}
