// Beam search over merges of neighbours, on integer ids: everything but the cell and the scorer, which the caller runs on
// all samples at once between two steps. Ids: leaves 0 .. N-1, then pairs in order of creation; a pair (left, right) is
// made once per sample, however many beams contain it. beams_plain.py holds the same procedure in plain Python.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace {

uint64_t mix(uint64_t z) {  // the finaliser of splitmix64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// Gumbel(0, 1) noise as a pure function of where it is used
double gumbel(uint64_t seed, int64_t sample, int64_t step, int64_t beam, int64_t place) {
    uint64_t z = seed;
    for (int64_t part : {sample, step, beam, place}) z = mix(z + 0x9E3779B97F4A7C15ull * uint64_t(part + 1));
    return -std::log(-std::log((double(z >> 11) + 0.5) * 0x1p-53));
}

struct Beam {
    double score = 0;             // sum of log p of the merges so far
    uint64_t content = 0;         // hash of the node list, whatever the order of merges that led to it
    int64_t merge = -1;           // its last merge
    int64_t start = 0;            // the list that it started as
    std::vector<int32_t> nodes, pairs;  // what is left of the sentence, and its neighbouring pairs
};

struct Merge {  // how a beam came to be
    int64_t before;  // the merge before it, -1 for none
    int64_t choice;  // the softmax that it was drawn from
    int32_t pair;
};

struct Candidate {
    double score, key;
    int beam, place;
    uint64_t content;
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

    void take(int32_t s, std::vector<Candidate>& chosen, const std::vector<int64_t>& choices);
    void advance(int32_t s);
};

uint64_t part(int32_t id) { return mix(uint64_t(id) + 0x9E3779B97F4A7C15ull); }

// the best `count` by key, best first, the earlier one where keys are equal
void keep_best(std::vector<Candidate>& from, size_t count) {
    std::stable_sort(from.begin(), from.end(), [](const Candidate& a, const Candidate& b) { return a.key > b.key; });
    if (from.size() > count) from.resize(count);
}

void Search::advance(int32_t s) {
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
            best.insert(best.begin() + at, {beam_b.score + (raw - normaliser), key, b, j, 0});
            if (int(best.size()) > beam) best.pop_back();
        }
        for (Candidate& c : best) {
            const int32_t id = beam_b.pairs[c.place];
            c.content = beam_b.content - part(left[id - leaves]) - part(right[id - leaves]) + part(id);
            c.key = between ? c.score + gumbel(between, s, step, b, c.place) : c.score;
            all.push_back(c);
        }
    }
    if (distinct) {
        keep_best(all, all.size());
        std::vector<Candidate> once;
        for (const Candidate& c : all)
            if (std::none_of(once.begin(), once.end(), [&](const Candidate& o) { return o.content == c.content; })) once.push_back(c);
        all.swap(once);
    }
    keep_best(all, beam);
    if (record)
        for (const Candidate& c : all)
            if (choices[c.beam] < 0) {
                choices[c.beam] = int64_t(choice_ptr.size()) - 1;
                choice_pairs.insert(choice_pairs.end(), beams[c.beam].pairs.begin(), beams[c.beam].pairs.end());
                choice_ptr.push_back(int64_t(choice_pairs.size()));
            }
    take(s, all, choices);
}

// Rewrite the beams of a sample: in each, one pair becomes a node and two new pairs appear beside it.
void Search::take(int32_t s, std::vector<Candidate>& chosen, const std::vector<int64_t>& choices) {
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
            merges.push_back({old.merge, choices[c.beam], id});
            now.merge = int64_t(merges.size()) - 1;
        }
    }
    samples[s].beams.swap(next);
}

}  // namespace

extern "C" {

// Sample s starts with the beams first[s] .. first[s + 1] - 1; beam b with the nodes ids[ptr[b]] .. and a score.
void* structnet_beams_new(int64_t samples, int64_t leaves, const int64_t* first, const int64_t* ptr, const int64_t* ids,
                          const double* score, int64_t beam, int64_t flags, uint64_t within, uint64_t between) {
    auto* it = new Search;
    it->leaves = it->rows = leaves;
    it->beam = int(beam), it->lazy = flags & 1, it->distinct = flags & 2, it->record = flags & 4;
    it->within = within, it->between = between;
    it->samples.resize(samples);
    for (int32_t s = 0; s < samples; ++s)
        for (int64_t b = first[s]; b < first[s + 1]; ++b) {
            Beam one;
            one.start = b, one.score = score[b];
            for (int64_t i = ptr[b]; i < ptr[b + 1]; ++i) one.nodes.push_back(int32_t(ids[i])), one.content += part(int32_t(ids[i]));
            const size_t before = it->left.size();
            for (size_t j = 0; j + 1 < one.nodes.size(); ++j) one.pairs.push_back(it->pair(s, one.nodes[j], one.nodes[j + 1]));
            for (size_t p = before; p < it->left.size() && it->lazy; ++p) it->wanted.push_back(int64_t(p));
            if (!one.nodes.empty()) it->samples[s].beams.push_back(std::move(one));
        }
    return it;
}

void structnet_beams_free(void* handle) { delete static_cast<Search*>(handle); }

// What the caller has to do now: compose so many rows, score so many pairs.
void structnet_beams_counts(void* handle, int64_t* counts) {
    auto& it = *static_cast<Search*>(handle);
    counts[0] = int64_t(it.compose.size() / 2), counts[1] = int64_t(it.wanted.size()), counts[2] = int64_t(it.left.size());
}

// Rows [2, composed] and [2, wanted] of that work.
void structnet_beams_work(void* handle, int64_t* compose, int64_t* wanted) {
    auto& it = *static_cast<Search*>(handle);
    const int64_t composed = int64_t(it.compose.size() / 2), scored = int64_t(it.wanted.size());
    for (int64_t i = 0; i < composed; ++i) compose[i] = it.compose[2 * i], compose[composed + i] = it.compose[2 * i + 1];
    for (int64_t i = 0; i < scored; ++i) {
        wanted[i] = it.row_of(it.left[it.wanted[i]]);
        wanted[scored + i] = it.row_of(it.right[it.wanted[i]]);
    }
    it.compose.clear(), it.wanted.clear();
}

// Scores of the newest pairs; then every sample that has a pair left merges one in each beam.
void structnet_beams_step(void* handle, int64_t scored, const double* scores) {
    auto& it = *static_cast<Search*>(handle);
    std::copy(scores, scores + scored, it.score.end() - scored);
    for (int32_t s = 0; s < int32_t(it.samples.size()); ++s)
        if (!it.samples[s].beams.empty() && !it.samples[s].beams[0].pairs.empty()) it.advance(s);
    ++it.step;
}

// Result sizes: beams, merges of all beams, choices, their members, pairs.
void structnet_beams_sizes(void* handle, int64_t* sizes) {
    auto& it = *static_cast<Search*>(handle);
    std::fill(sizes, sizes + 5, 0);
    std::vector<char> used(it.choice_ptr.size(), 0);
    for (const Sample& sample : it.samples)
        for (const Beam& beam : sample.beams) {
            ++sizes[0];
            for (int64_t m = beam.merge; m >= 0; m = it.merges[m].before) {
                const int64_t c = it.merges[m].choice;
                ++sizes[1];
                if (!used[c]) used[c] = 1, ++sizes[2], sizes[3] += it.choice_ptr[c + 1] - it.choice_ptr[c];
            }
        }
    sizes[4] = int64_t(it.left.size());
}

// Per sample: number of beams; per beam: root, start, score, number of merges; per merge, in order: pair and choice; per choice
// (only those on the way to a surviving beam): its members; per pair: children, score,
// row of its state (-1 for none), sample.
void structnet_beams_result(void* handle, int64_t* beams, int64_t* root, int64_t* start, double* score, int64_t* merges, int64_t* pair,
                            int64_t* choice, int64_t* choice_ptr, int64_t* member, int64_t* left, int64_t* right,
                            double* pair_score, int64_t* row, int64_t* sample_of) {
    auto& it = *static_cast<Search*>(handle);
    std::vector<int64_t> number(it.choice_ptr.size(), -1);
    int64_t made = 0, written = 0, at = 0, b = 0;
    choice_ptr[0] = 0;
    for (size_t s = 0; s < it.samples.size(); ++s) {
        beams[s] = int64_t(it.samples[s].beams.size());
        for (const Beam& beam : it.samples[s].beams) {
            root[b] = beam.nodes[0], start[b] = beam.start, score[b] = beam.score;
            const int64_t first = at;
            for (int64_t m = beam.merge; m >= 0; m = it.merges[m].before) {
                const Merge& merge = it.merges[m];
                if (number[merge.choice] < 0) {
                    number[merge.choice] = made++;
                    for (int64_t i = it.choice_ptr[merge.choice]; i < it.choice_ptr[merge.choice + 1]; ++i) member[written++] = it.choice_pairs[i];
                    choice_ptr[made] = written;
                }
                pair[at] = merge.pair, choice[at++] = number[merge.choice];
            }
            std::reverse(pair + first, pair + at), std::reverse(choice + first, choice + at);
            merges[b++] = at - first;
        }
    }
    for (size_t p = 0; p < it.left.size(); ++p)
        left[p] = it.left[p], right[p] = it.right[p], pair_score[p] = it.score[p], row[p] = it.row[p], sample_of[p] = it.sample_of[p];
}
}
