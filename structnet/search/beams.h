// Beam search over merges of neighbours, on integer ids: everything but the cell and the scorer, which the caller runs on
// all samples at once between two steps. Ids: leaves 0 .. N-1, then pairs in order of creation; a pair (left, right) is
// made once per sample, however many beams contain it. beams_plain.py holds the same procedure in plain Python.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace structnet {

inline uint64_t mix(uint64_t z) {  // the finaliser of splitmix64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// Gumbel(0, 1) noise as a pure function of where it is used
inline double gumbel(uint64_t seed, int64_t sample, int64_t step, int64_t beam, int64_t place) {
    uint64_t z = seed;
    for (int64_t part : {sample, step, beam, place}) z = mix(z + 0x9E3779B97F4A7C15ull * uint64_t(part + 1));
    return -std::log(-std::log((double(z >> 11) + 0.5) * 0x1p-53));
}

struct Beam {
    double score = 0;             // sum of log p of the merges so far
    uint64_t content = 0;         // hash of the node list, whatever the order of merges that led to it
    int64_t merge = -1;           // its last merge; -1 - start for none
    int64_t start = 0;            // the list that it started as
    std::vector<int32_t> nodes, pairs;  // what is left of the sentence, and its neighbouring pairs
};

struct Merge {  // how a beam came to be
    int64_t before;  // the merge before it; for the first one -1 - the list that the beam started as
    int64_t choice;  // the softmax that it was drawn from
    int32_t pair;
    int32_t others;  // so many merges right after this one lead to the same nodes, in other orders
};

struct Candidate {
    double score, key;
    int beam, place;
    uint64_t content;
    int group = -1;  // candidates that are the same beam in another order
};

struct Sample {
    std::vector<Beam> beams;
    std::unordered_map<uint64_t, int32_t> known;
};

struct Search {
    int64_t leaves;
    int beam;
    bool lazy;      // compose a pair only when it is merged
    bool distinct;  // beams with the same node list: keep the best
    bool marginal;  // ... as one, with the sum of their probabilities
    bool record;    // keep what the replay needs
    uint64_t within, between;  // seeds of the noise, 0 for none
    std::vector<Sample> samples;
    std::vector<int32_t> left, right, row;  // per pair: children (ids), row of its state or -1
    std::vector<double> score;              // per pair
    std::vector<int32_t> sample_of;         // per pair
    std::vector<Merge> merges;
    std::vector<int64_t> choice_ptr{0};
    std::vector<int32_t> choice_pairs;
    std::vector<int64_t> compose, wanted;  // work for the caller: rows left, right
    int64_t rows, step = 0;

    int64_t row_of(int32_t id) const { return id < leaves ? id : row[id - leaves]; }

    void ask_compose(int32_t id) {
        if (row[id - leaves] >= 0) return;
        compose.push_back(row_of(left[id - leaves]));
        compose.push_back(row_of(right[id - leaves]));
        row[id - leaves] = int32_t(rows++);
    }

    int32_t pair(int32_t s, int32_t l, int32_t r) {
        auto [at, fresh] = samples[s].known.try_emplace(uint64_t(uint32_t(l)) << 32 | uint32_t(r), int32_t(leaves + left.size()));
        if (fresh) {
            left.push_back(l), right.push_back(r), row.push_back(-1), score.push_back(0), sample_of.push_back(s);
            if (!lazy) ask_compose(at->second);
        }
        return at->second;
    }

    using Groups = std::vector<std::vector<Candidate>>;

    Groups merge_equal(std::vector<Candidate>& all);
    void take(int32_t s, std::vector<Candidate>& chosen, const Groups& groups, const std::vector<int64_t>& choices);
    void advance(int32_t s);
    std::vector<char> reached() const;
};

inline uint64_t part(int32_t id) { return mix(uint64_t(id) + 0x9E3779B97F4A7C15ull); }

// the best `count` by key, best first, the earlier one where keys are equal
inline void keep_best(std::vector<Candidate>& from, size_t count) {
    std::stable_sort(from.begin(), from.end(), [](const Candidate& a, const Candidate& b) { return a.key > b.key; });
    if (from.size() > count) from.resize(count);
}

inline void Search::advance(int32_t s) {
    std::vector<Beam>& beams = samples[s].beams;
    const int places = int(beams[0].pairs.size());
    std::vector<Candidate> all, best;
    std::vector<int64_t> choices(beams.size(), -1);
    for (int b = 0; b < int(beams.size()); ++b) {
        const Beam& beam_b = beams[b];
        double high = -INFINITY, total = 0;
        for (int32_t id : beam_b.pairs) high = std::max(high, score[id - leaves]);
        for (int32_t id : beam_b.pairs) total += std::exp(score[id - leaves] - high);
        const double normaliser = high + std::log(total);
        best.clear();
        for (int j = 0; j < places; ++j) {
            const double raw = score[beam_b.pairs[j] - leaves];
            const double key = within ? raw + gumbel(within, s, step, b, j) : raw;
            if (int(best.size()) == beam && key <= best.back().key) continue;
            size_t at = best.size();
            while (at > 0 && best[at - 1].key < key) --at;
            best.insert(best.begin() + at, {beam_b.score + (raw - normaliser), key, b, j, 0, -1});
            if (int(best.size()) > beam) best.pop_back();
        }
        for (Candidate& c : best) {
            const int32_t id = beam_b.pairs[c.place];
            c.content = beam_b.content - part(left[id - leaves]) - part(right[id - leaves]) + part(id);
            c.key = between ? c.score + gumbel(between, s, step, b, c.place) : c.score;
            all.push_back(c);
        }
    }
    Groups groups;
    if (distinct || marginal) groups = merge_equal(all);
    keep_best(all, beam);
    auto note = [&](const Candidate& c) {
        if (choices[c.beam] >= 0) return;
        choices[c.beam] = int64_t(choice_ptr.size()) - 1;
        choice_pairs.insert(choice_pairs.end(), beams[c.beam].pairs.begin(), beams[c.beam].pairs.end());
        choice_ptr.push_back(int64_t(choice_pairs.size()));
    };
    if (record)
        for (const Candidate& c : all) {
            note(c);
            if (c.group >= 0)
                for (const Candidate& other : groups[c.group]) note(other);
        }
    take(s, all, groups, choices);
}

// One candidate for each node list, the best; marginal: with the probability of all of them, which are then its group.
inline Search::Groups Search::merge_equal(std::vector<Candidate>& all) {
    keep_best(all, all.size());
    std::vector<Candidate> once;
    Groups groups;
    for (const Candidate& c : all) {
        auto same = std::find_if(once.begin(), once.end(), [&](const Candidate& o) { return o.content == c.content; });
        if (same == once.end()) {
            once.push_back(c);
            continue;
        }
        if (!marginal) continue;
        if (same->group < 0) same->group = int(groups.size()), groups.emplace_back();
        groups[same->group].push_back(c);
        const double high = std::max(same->score, c.score);
        const double sum = high + std::log(std::exp(same->score - high) + std::exp(c.score - high));
        same->key += sum - same->score, same->score = sum;
    }
    all.swap(once);
    return groups;
}

// Rewrite the beams of a sample: in each, one pair becomes a node and two new pairs appear beside it.
inline void Search::take(int32_t s, std::vector<Candidate>& chosen, const Groups& groups, const std::vector<int64_t>& choices) {
    std::vector<Beam> next(chosen.size());
    for (size_t i = 0; i < chosen.size(); ++i) {
        const Candidate& c = chosen[i];
        const Beam& old = samples[s].beams[c.beam];
        Beam& now = next[i];
        const int32_t id = old.pairs[c.place];
        if (lazy) ask_compose(id);
        now.score = c.score, now.content = c.content, now.start = old.start;
        now.nodes = old.nodes, now.pairs = old.pairs;
        now.nodes[c.place] = id;
        now.nodes.erase(now.nodes.begin() + c.place + 1);
        now.pairs.erase(now.pairs.begin() + c.place);
        const size_t before = left.size();
        if (c.place > 0) now.pairs[c.place - 1] = pair(s, now.nodes[c.place - 1], id);
        if (c.place + 1 < int(now.nodes.size())) now.pairs[c.place] = pair(s, id, now.nodes[c.place + 1]);
        for (size_t p = before; p < left.size() && lazy; ++p) wanted.push_back(int64_t(p));
        if (record) {
            now.merge = int64_t(merges.size());
            merges.push_back({old.merge, choices[c.beam], id, 0});
            if (c.group >= 0)
                for (const Candidate& other : groups[c.group]) {
                    const Beam& from = samples[s].beams[other.beam];
                    merges.push_back({from.merge, choices[other.beam], from.pairs[other.place], 0});
                    ++merges[now.merge].others;
                }
        }
    }
    samples[s].beams.swap(next);
}

// Merges on the way to a surviving beam, each marked at the first of those that lead to the same nodes.
inline std::vector<char> Search::reached() const {
    std::vector<char> on(merges.size(), 0);
    for (const Sample& sample : samples)
        for (const Beam& one : sample.beams)
            if (one.merge >= 0) on[one.merge] = 1;
    for (int64_t m = int64_t(merges.size()) - 1; m >= 0; --m)
        for (int64_t i = m; on[m] && i <= m + merges[m].others; ++i)
            if (merges[i].before >= 0) on[merges[i].before] = 1;
    return on;
}

}  // namespace structnet
