// Canonical form of a Sudoku with its solution: the least image under the symmetry group. canonical.py says the same slowly.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

namespace {

constexpr int MOST = 9;  // digits: the arrangements of columns are listed

struct Image {
    uint8_t solution[MOST * MOST], puzzle[MOST * MOST];
};

struct Canon {
    int n, box_rows, box_columns;
    std::vector<std::vector<int>> columns;  // every arrangement that keeps stacks together

    Canon(int size, int rows) : n(size), box_rows(rows), box_columns(size / rows) {
        std::vector<int> stacks(n / box_columns);
        std::iota(stacks.begin(), stacks.end(), 0);
        do {
            std::vector<int> order(n);
            extend(stacks, 0, order);
        } while (std::next_permutation(stacks.begin(), stacks.end()));
    }

    void extend(const std::vector<int>& stacks, size_t at, std::vector<int>& order) {
        if (at == stacks.size()) {
            columns.push_back(order);
            return;
        }
        std::vector<int> within(box_columns);
        std::iota(within.begin(), within.end(), 0);
        do {
            for (int i = 0; i < box_columns; ++i) order[at * box_columns + i] = stacks[at] * box_columns + within[i];
            extend(stacks, at + 1, order);
        } while (std::next_permutation(within.begin(), within.end()));
    }

    // Images with row `top` first and columns in this order: digits are named by the first row, the other rows follow by
    // their first digit, bands by that of their first row. Kept in `best` if it is less.
    void compare(const uint8_t* grid, const uint8_t* puzzle, int top, const std::vector<int>& order, Image& best) const {
        uint8_t name[MOST + 1] = {0};
        for (int i = 0; i < n; ++i) name[grid[top * n + order[i]]] = uint8_t(i + 1);
        const auto first = [&](int row) { return name[grid[row * n + order[0]]]; };
        const int band = top / box_rows;
        int rows[32], second = -1;  // 32: std::sort looks at the first 16 of an array
        for (int r = band * box_rows; r < (band + 1) * box_rows; ++r)
            if (r != top && (second < 0 || first(r) < first(second))) second = r;
        int sign = 0;
        for (int i = 0; i < n && !sign && second >= 0; ++i)
            sign = int(name[grid[second * n + order[i]]]) - int(best.solution[n + i]);
        if (sign > 0) return;  // nearly always
        int bands[32], count = 0;
        for (int b = 0; b < n / box_rows; ++b) bands[b] = b;
        const auto least = [&](int b) {
            int least_name = MOST + 1;
            for (int r = b * box_rows; r < (b + 1) * box_rows; ++r) least_name = std::min(least_name, int(first(r)));
            return least_name;
        };
        std::sort(bands, bands + n / box_rows, [&](int a, int b) { return least(a) < least(b); });  // the top row's is 1
        for (int b = 0; b < n / box_rows; ++b) {
            for (int r = 0; r < box_rows; ++r) rows[count + r] = bands[b] * box_rows + r;
            std::sort(rows + count, rows + count + box_rows, [&](int a, int c) { return first(a) < first(c); });
            count += box_rows;
        }
        Image image{};
        for (int r = 0; r < n; ++r)
            for (int i = 0; i < n; ++i) {
                image.solution[r * n + i] = name[grid[rows[r] * n + order[i]]];
                image.puzzle[r * n + i] = name[puzzle[rows[r] * n + order[i]]];
            }
        sign = std::memcmp(image.solution, best.solution, n * n);
        if (sign < 0 || (sign == 0 && std::memcmp(image.puzzle, best.puzzle, n * n) < 0)) best = image;
    }

    Image least(const uint8_t* solution, const uint8_t* puzzle) const {
        Image best;
        std::memset(&best, 255, sizeof(best));
        uint8_t turned[2][MOST * MOST];
        for (int r = 0; r < n; ++r)
            for (int c = 0; c < n; ++c) turned[0][c * n + r] = solution[r * n + c], turned[1][c * n + r] = puzzle[r * n + c];
        for (int top = 0; top < n; ++top)
            for (const auto& order : columns) {
                compare(solution, puzzle, top, order, best);
                if (box_rows == box_columns) compare(turned[0], turned[1], top, order, best);
            }
        return best;
    }
};

}  // namespace

// solutions, puzzles [boards, n * n], replaced by their canonical forms.
extern "C" void structnet_sudoku_canonical(int64_t boards, int64_t n, int64_t box_rows, uint8_t* solutions, uint8_t* puzzles) {
    const Canon canon{int(n), int(box_rows)};
    const int64_t cells = n * n;
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t b = 0; b < boards; ++b) {
        const Image image = canon.least(solutions + b * cells, puzzles + b * cells);
        std::memcpy(solutions + b * cells, image.solution, cells);
        std::memcpy(puzzles + b * cells, image.puzzle, cells);
    }
}
