// Sudoku by bit masks: naked and hidden singles to a fixed point, then a guess at the cell with fewest candidates.
// The same search, in the same order, is written in solver.py.
#include <cstdint>
#include <deque>
#include <vector>

namespace {

using Masks = std::vector<uint32_t>;  // bit d - 1 of a cell: digit d is still possible

struct Search {
    int n;
    uint32_t full;
    std::vector<int> units, units_of;  // n cells of each unit; 3 units of each cell
    int64_t limit, budget;
    int64_t count = 0, tried = 0, guesses = 0;
    Masks first;

    Search(int size, int box_rows, int64_t most, int64_t allowance)
        : n(size), full((1u << size) - 1), units(3 * size * size), units_of(3 * size * size), limit(most), budget(allowance) {
        const int box_columns = n / box_rows;
        for (int cell = 0; cell < n * n; ++cell) {
            const int r = cell / n, c = cell % n, box = r / box_rows * (n / box_columns) + c / box_columns;
            const int of[] = {r, n + c, 2 * n + box};
            const int place[] = {c, r, r % box_rows * box_columns + c % box_columns};
            for (int i = 0; i < 3; ++i) units[of[i] * n + place[i]] = cell, units_of[3 * cell + i] = of[i];
        }
    }

    static bool single(uint32_t mask) { return (mask & (mask - 1)) == 0; }

    // To the fixed point of both rules; false at a contradiction. `done`: singles whose units know of them.
    bool propagate(Masks& cells, std::vector<char>& done) const {
        for (bool changed = true; changed;) {
            changed = false;
            for (int cell = 0; cell < n * n; ++cell) {
                if (done[cell] || !single(cells[cell])) continue;
                const uint32_t bit = cells[cell];
                done[cell] = 1;
                for (int i = 0; i < 3; ++i) {
                    const int* unit = &units[units_of[3 * cell + i] * n];
                    for (int j = 0; j < n; ++j)
                        if (unit[j] != cell && (cells[unit[j]] & bit)) {
                            if (!(cells[unit[j]] &= ~bit)) return false;
                            changed = true;
                        }
                }
            }
            for (const int* unit = units.data(); unit != units.data() + 3 * n * n; unit += n) {
                uint32_t once = 0, twice = 0, open = 0;
                for (int j = 0; j < n; ++j) {
                    const uint32_t mask = cells[unit[j]];
                    twice |= once & mask, once |= mask, open |= single(mask) ? 0 : mask;
                }
                if (once != full) return false;
                const uint32_t alone = once & ~twice & open;
                if (!alone) continue;
                for (int j = 0; j < n; ++j) {
                    uint32_t& mask = cells[unit[j]];
                    if (const uint32_t bit = mask & alone; bit && bit != mask) {
                        if (!single(bit)) return false;
                        mask = bit;
                        changed = true;
                    }
                }
            }
        }
        return true;
    }

    // Cells and done marks of this many guesses deep; one store for all boards.
    struct Level {
        Masks cells;
        std::vector<char> done;
    };
    std::deque<Level> levels;

    Level& level(int depth) {
        while (int(levels.size()) <= depth) levels.push_back({Masks(n * n), std::vector<char>(n * n)});
        return levels[depth];
    }

    // False once the budget is spent.
    bool run(int depth) {
        auto& [cells, done] = level(depth);
        if (!propagate(cells, done)) return true;
        int best = -1, fewest = n + 1;
        for (int cell = 0; cell < n * n; ++cell) {
            const int open = __builtin_popcount(cells[cell]);
            if (open > 1 && open < fewest) best = cell, fewest = open;
        }
        if (best < 0) {
            if (count++ == 0) first = cells, guesses = tried;
            return true;
        }
        for (uint32_t left = cells[best]; left && count < limit; left &= left - 1) {
            if (++tried > budget) return false;
            Level& next = level(depth + 1);
            next.cells = cells, next.done = done;
            next.cells[best] = left & -left;
            if (!run(depth + 1)) return false;
        }
        return true;
    }
};

}  // namespace

// puzzles, solutions [boards, n * n]; counts (-1: budget spent), guesses [boards]. Solutions are zero where none was found.
extern "C" void structnet_sudoku_solve(const uint8_t* puzzles, int64_t boards, int64_t n, int64_t box_rows, int64_t limit,
                                       int64_t budget, uint8_t* solutions, int64_t* counts, int64_t* guesses) {
    const int64_t cells = n * n;
#pragma omp parallel
    {
        Search search(int(n), int(box_rows), limit, budget);
#pragma omp for schedule(dynamic, 16)
        for (int64_t b = 0; b < boards; ++b) {
            auto& [masks, done] = search.level(0);
            done.assign(cells, 0);
            for (int64_t i = 0; i < cells; ++i) {
                const int digit = puzzles[b * cells + i];
                masks[i] = digit ? 1u << (digit - 1) : search.full;
            }
            search.count = search.tried = search.guesses = 0;
            const bool finished = search.run(0);
            counts[b] = finished || search.count >= limit ? search.count : -1;
            guesses[b] = search.count ? search.guesses : search.tried;
            for (int64_t i = 0; i < cells; ++i)
                solutions[b * cells + i] = search.count ? uint8_t(__builtin_ctz(search.first[i]) + 1) : 0;
        }
    }
}
