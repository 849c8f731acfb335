// The C interface of beams.h: a handle, work for the caller and its scores in turn, the result.
#include "beams.h"

using structnet::Beam;
using structnet::Merge;
using structnet::Sample;
using structnet::Search;
using structnet::part;

extern "C" {

// Sample s starts with the beams first[s] .. first[s + 1] - 1; beam b with the nodes ids[ptr[b]] .. and a score.
void* structnet_beams_new(int64_t samples, int64_t leaves, const int64_t* first, const int64_t* ptr, const int64_t* ids,
                          const double* score, int64_t beam, int64_t flags, uint64_t within, uint64_t between) {
    auto* it = new Search;
    it->leaves = it->rows = leaves;
    it->beam = int(beam), it->lazy = flags & 1, it->distinct = flags & 2, it->record = flags & 4, it->marginal = flags & 8;
    it->within = within, it->between = between;
    it->samples.resize(samples);
    for (int32_t s = 0; s < samples; ++s)
        for (int64_t b = first[s]; b < first[s + 1]; ++b) {
            Beam one;
            one.start = b, one.score = score[b], one.merge = -1 - b;
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

// Result sizes: beams, merges of all beams, choices, their members, pairs; for marginal beams also states, and the arcs
// that lead to them.
void structnet_beams_sizes(void* handle, int64_t* sizes) {
    auto& it = *static_cast<Search*>(handle);
    std::fill(sizes, sizes + 7, 0);
    std::vector<char> used(it.choice_ptr.size(), 0);
    const std::vector<char> on = it.reached();
    for (int64_t m = 0; m < int64_t(on.size()); ++m)
        if (on[m]) {
            ++sizes[5], sizes[6] += 1 + it.merges[m].others;
            for (int64_t i = m; i <= m + it.merges[m].others; ++i) used[it.merges[i].choice] = 1;
        }
    for (size_t c = 0; c + 1 < it.choice_ptr.size(); ++c)
        if (used[c]) ++sizes[2], sizes[3] += it.choice_ptr[c + 1] - it.choice_ptr[c];
    for (const Sample& sample : it.samples)
        for (const Beam& beam : sample.beams) {
            ++sizes[0];
            for (int64_t m = beam.merge; m >= 0; m = it.merges[m].before) ++sizes[1];
        }
    sizes[4] = int64_t(it.left.size());
}

// Per sample: number of beams; per beam: root, start, score, state, number of merges; per merge, in order: pair and
// choice; per choice (only those on the way to a surviving beam): its members; per pair: children, score, row of its state
// (-1 for none), sample; per state: how many arcs; per arc: the state before it, pair, choice. State numbers below zero
// are -1 - the list that a beam started as.
void structnet_beams_result(void* handle, int64_t* beams, int64_t* root, int64_t* start, int64_t* state, double* score,
                            int64_t* merges, int64_t* pair, int64_t* choice, int64_t* choice_ptr, int64_t* member,
                            int64_t* left, int64_t* right, double* pair_score, int64_t* row, int64_t* sample_of,
                            int64_t* arcs, int64_t* tail, int64_t* arc_pair, int64_t* arc_choice) {
    auto& it = *static_cast<Search*>(handle);
    const std::vector<char> on = it.reached();
    std::vector<int64_t> number(it.choice_ptr.size(), -1), state_of(on.size(), -1);
    int64_t states = 0, made = 0, written = 0, at = 0, b = 0, a = 0;
    for (size_t m = 0; m < on.size(); ++m)
        if (on[m]) {
            state_of[m] = states++;
            for (size_t i = m; i <= m + it.merges[m].others; ++i) number[it.merges[i].choice] = 0;
        }
    choice_ptr[0] = 0;
    for (size_t c = 0; c + 1 < it.choice_ptr.size(); ++c)
        if (number[c] >= 0) {
            number[c] = made++;
            for (int64_t i = it.choice_ptr[c]; i < it.choice_ptr[c + 1]; ++i) member[written++] = it.choice_pairs[i];
            choice_ptr[made] = written;
        }
    auto state_number = [&](int64_t merge) { return merge < 0 ? merge : state_of[merge]; };
    for (size_t m = 0; m < on.size(); ++m)
        if (on[m]) {
            *arcs++ = 1 + it.merges[m].others;
            for (size_t i = m; i <= m + it.merges[m].others; ++i, ++a) {
                tail[a] = state_number(it.merges[i].before);
                arc_pair[a] = it.merges[i].pair, arc_choice[a] = number[it.merges[i].choice];
            }
        }
    for (size_t s = 0; s < it.samples.size(); ++s) {
        beams[s] = int64_t(it.samples[s].beams.size());
        for (const Beam& beam : it.samples[s].beams) {
            root[b] = beam.nodes[0], start[b] = beam.start, score[b] = beam.score, state[b] = state_number(beam.merge);
            const int64_t first = at;
            for (int64_t m = beam.merge; m >= 0; m = it.merges[m].before) {
                pair[at] = it.merges[m].pair, choice[at++] = number[it.merges[m].choice];
            }
            std::reverse(pair + first, pair + at), std::reverse(choice + first, choice + at);
            merges[b++] = at - first;
        }
    }
    for (size_t p = 0; p < it.left.size(); ++p)
        left[p] = it.left[p], right[p] = it.right[p], pair_score[p] = it.score[p], row[p] = it.row[p], sample_of[p] = it.sample_of[p];
}
}
