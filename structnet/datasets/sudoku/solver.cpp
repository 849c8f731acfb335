// Sudoku by bit masks: naked and hidden singles to a fixed point, then a guess at the cell with fewest candidates.
// The same search, in the same order, is written in solver.py.
#include <cstdint>
#include <vector>

namespace {

using Masks = std::vector<uint32_t>;  // bit d - 1 of a cell: digit d is still possible

struct Search {
    int n;
    uint32_t full;
    std::vector<std::vector<int>> units, units_of;
    int64_t limit, budget;
    int64_t count = 0, tried = 0, guesses = 0;
    Masks first;

    Search(int size, int box_rows, int64_t most, int64_t allowance)
        : n(size), full((1u << size) - 1), units(3 * size), units_of(size * size), limit(most), budget(allowance) {
        const int box_columns = n / box_rows;
        for (int cell = 0; cell < n * n; ++cell) {
            const int r = cell / n, c = cell % n, box = r / box_rows * (n / box_columns) + c / box_columns;
            for (int unit : {r, n + c, 2 * n + box}) units[unit].push_back(cell), units_of[cell].push_back(unit);
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
                for (int unit : units_of[cell])
                    for (int other : units[unit])
                        if (other != cell && (cells[other] & bit)) {
                            if (!(cells[other] &= ~bit)) return false;
                            changed = true;
                        }
            }
            for (const auto& unit : units) {
                uint32_t once = 0, twice = 0;
                for (int cell : unit) twice |= once & cells[cell], once |= cells[cell];
                if (once != full) return false;
                const uint32_t alone = once & ~twice;
                for (int cell : unit)
                    if (const uint32_t bit = cells[cell] & alone; bit && bit != cells[cell]) {
                        if (!single(bit)) return false;
                        cells[cell] = bit;
                        changed = true;
                    }
            }
        }
        return true;
    }

    // False once the budget is spent.
    bool run(Masks cells, std::vector<char> done) {
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
            Masks next = cells;
            next[best] = left & -left;
            if (!run(std::move(next), done)) return false;
        }
        return true;
    }
};

}  // namespace

// puzzles, solutions [boards, n * n]; counts (-1: budget spent), guesses [boards]. Solutions are zero where none was found.
extern "C" void structnet_sudoku_solve(const uint8_t* puzzles, int64_t boards, int64_t n, int64_t box_rows, int64_t limit,
                                       int64_t budget, uint8_t* solutions, int64_t* counts, int64_t* guesses) {
    const int64_t cells = n * n;
    Search search(int(n), int(box_rows), limit, budget);
    for (int64_t b = 0; b < boards; ++b) {
        Masks masks(cells, search.full);
        for (int64_t i = 0; i < cells; ++i)
            if (const int digit = puzzles[b * cells + i]) masks[i] = 1u << (digit - 1);
        search.count = search.tried = search.guesses = 0;
        const bool finished = search.run(masks, std::vector<char>(cells, 0));
        counts[b] = finished || search.count >= limit ? search.count : -1;
        guesses[b] = search.count ? search.guesses : search.tried;
        for (int64_t i = 0; i < cells; ++i)
            solutions[b * cells + i] = search.count ? uint8_t(__builtin_ctz(search.first[i]) + 1) : 0;
    }
}
