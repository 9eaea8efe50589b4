// How the recurrences share their work among threads.
#pragma once

#include "arena.h"
#include "tokens.h"

namespace medssm::MEDSSM_ISA {

// Forward: body(arrays, batch, blocks) for runs of blocks of one batch element, a thread's share of the (batch, block)
// pairs one after another; its Arrays have room for the longest run. Channels never meet in the forward pass, so that
// the result does not depend on the split.
template <typename Arrays, typename Inputs, typename Body>
void share_blocks(const Inputs& in, const Body& body) {
    const int64_t blocks = in.blocks();
    parallel(in.threads, [&](int thread, int threads) {
        const Range pairs = split(in.batch * blocks, thread, threads);
        const int64_t most = pairs.end - pairs.begin < blocks ? pairs.end - pairs.begin : blocks;
        const Arrays arrays = carve<Arrays>(in, most);
        for (int64_t pair = pairs.begin; pair < pairs.end;) {
            const int64_t batch = pair / blocks, first = pair % blocks;
            const int64_t end = first + pairs.end - pair < blocks ? first + pairs.end - pair : blocks;
            body(arrays, batch, Range{first, end});
            pair += end - first;
        }
    });
}

// Channels that are summed over, cut into slices of whole blocks.
struct Slices {
    int64_t count, dim;  // the slices, and the channels of each; the last may have fewer
    int64_t blocks;      // of all channels
};

// Backward: body(whole, slice, blocks) for every slice of every one of `wholes` sets of channels. The slices are the same
// for any number of threads, and so is every sum.
template <typename Body>
void share_slices(int64_t threads, int64_t wholes, const Slices& slices, const Body& body) {
    const int64_t per_slice = slices.dim / W;
    parallel(threads, [&](int thread, int count) {
        const Range tasks = split(wholes * slices.count, thread, count);
        for (int64_t task = tasks.begin; task < tasks.end; ++task) {
            const int64_t slice = task % slices.count, begin = slice * per_slice;
            const int64_t end = begin + per_slice < slices.blocks ? begin + per_slice : slices.blocks;
            body(task / slices.count, slice, Range{begin, end});
        }
    });
}

}  // namespace medssm::MEDSSM_ISA
