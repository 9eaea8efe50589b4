// What the forward and backward fusion of states share: the arguments, rows of the grid in scratch, and the sum of taps.
//
// Lanes are channels: one Vec holds W neighbouring channels of one token. The rows of the grid that one output row looks
// at are kept in scratch, W floats a token, with a margin on either side as wide as the largest dilation, so that the
// taps of a token are loads at fixed distances, at the border too.
#pragma once

#include "arena.h"
#include "kernel.h"
#include "tokens.h"
#include "unroll.h"

namespace medssm::MEDSSM_ISA {

struct FusionInputs {
    int64_t batch, dim, height, width;
    int64_t is_bf16;  // bool: of the tokens, else float32
    int64_t threads;
    int64_t dilations, reach;  // the number of them, and the largest
    int64_t offsets, taps;
    const int32_t* offset;  // (offsets,): every distance of a tap along an axis, ascending
    const int32_t* tap;     // (taps, 2): its offsets along height and width, by their number
    const int32_t* tap_of;  // (dilations, 9): the tap of each weight
    const float* weights;   // (dilations, dim, 3, 3), contiguous
    Tensor3 h;              // (batch, dim, length)

    int64_t blocks() const { return (dim + W - 1) / W; }
    Block block(int64_t index) const { return block_of(dim, index); }
    int64_t clamp_row(int64_t i) const { return i < 0 ? 0 : i < height ? i : height - 1; }
    int64_t dy(int64_t k) const { return offset[tap[2 * k]]; }
    int64_t dx(int64_t k) const { return offset[tap[2 * k + 1]]; }
    // The floats of a row with its margins, and the rows that one output row looks at.
    int64_t row_floats() const { return (width + 2 * reach) * W; }
    int64_t window() const { return height < 2 * reach + 1 ? height : 2 * reach + 1; }
};

// taps (taps, W) += the weights of a block's channels.
inline void load_taps(float* taps, const FusionInputs& in, Block block) {
    std::memset(taps, 0, sizeof(float) * in.taps * W);
    for (int64_t k = 0; k < in.dilations; ++k) {
        for (int c = 0; c < block.lanes; ++c) {
            const float* weight = in.weights + (k * in.dim + block.channel + c) * 9;
            for (int i = 0; i < 9; ++i) taps[in.tap_of[k * 9 + i] * W + c] += weight[i];
        }
    }
}

// Tokens of row i of the grid to `cells` (width, W); `at` is room for width places.
template <typename T>
void load_grid_row(float* cells, int32_t* at, const FusionInputs& in, const Tensor3& tensor, int64_t batch, Block block,
                   int64_t i) {
    load_tokens<T>(cells, tensor, batch, block, find_places(at, nullptr, i * in.width, static_cast<int>(in.width)));
}

// The last rows of h, each with its border tokens repeated into the margins.
struct RepeatedRows {
    float* rows;  // (window, width + 2 * reach, W)
    int32_t* at;  // (width,)
    int64_t loaded;

    RepeatedRows(Arena& arena, const FusionInputs& in)
        : rows(arena.floats(in.window() * in.row_floats())), at(arena.integers(in.width)), loaded(0) {}

    float* row(const FusionInputs& in, int64_t i) const { return rows + i % in.window() * in.row_floats(); }

    // Rows up to the one that row i reaches.
    template <typename T>
    void load_until(const FusionInputs& in, int64_t batch, Block block, int64_t i) {
        for (; loaded <= in.clamp_row(i + in.reach); ++loaded) {
            float* out = row(in, loaded);
            float* cells = out + in.reach * W;
            load_grid_row<T>(cells, at, in, in.h, batch, block, loaded);
            const Vec first = load(cells), last = load(cells + (in.width - 1) * W);
            for (int64_t j = 0; j < in.reach; ++j) {
                store(out + j * W, first);
                store(cells + (in.width + j) * W, last);
            }
        }
    }

    // The place of every tap of the first token of row i.
    void find_taps(const float** places, const FusionInputs& in, int64_t i) const {
        for (int64_t k = 0; k < in.taps; ++k) {
            places[k] = row(in, in.clamp_row(i + in.dy(k))) + (in.reach + in.dx(k)) * W;
        }
    }
};

// Q neighbouring tokens: out[q] = the sum of taps[k] times what lies q tokens after places[k] + first.
template <int Q>
MEDSSM_INLINE inline void weigh(Vec (&out)[Q], const float* taps, const float* const* places, int64_t count,
                                int64_t first) {
    unroll<Q>([&](auto q) MEDSSM_INLINE { out[q] = zeros(); });
    for (int64_t k = 0; k < count; ++k) {
        const Vec weight = load(taps + k * W);
        const float* cells = places[k] + first * W;
        unroll<Q>([&](auto q) MEDSSM_INLINE { out[q] = fma(weight, load(cells + q * W), out[q]); });
    }
}

// Q tokens from `first` on of a row of the grid, whose first token has the index `row`, stored to `out`.
template <typename T, int Q>
void weigh_tokens(const Tensor3& out, const FusionInputs& in, int64_t batch, Block block, const float* taps,
                  const float* const* places, int64_t row, int64_t first) {
    Vec sums[Q];
    weigh<Q>(sums, taps, places, in.taps, first);
    for (int q = 0; q < Q; ++q) store_token<T>(out, batch, block, static_cast<int32_t>(row + first + q), sums[q]);
}

// Tokens [first, end), Q at a time to hide the latency of their sums; those left over all together.
template <typename T, int Q = 8>
void weigh_row(const Tensor3& out, const FusionInputs& in, int64_t batch, Block block, const float* taps,
               const float* const* places, int64_t row, int64_t first, int64_t end) {
    for (; first + Q <= end; first += Q) weigh_tokens<T, Q>(out, in, batch, block, taps, places, row, first);
    if constexpr (Q > 1) {
        if (first < end) weigh_row<T, Q - 1>(out, in, batch, block, taps, places, row, first, end);
    }
}

// Calls body(arrays, batch, block) for every block of every batch element, shared among threads: all batch elements of a
// block together, so that its taps are loaded once.
template <typename Arrays, typename Body>
void share_pairs(const FusionInputs& in, const Body& body) {
    parallel(in.threads, [&](int thread, int threads) {
        Arrays arrays = carve<Arrays>(in);
        int64_t loaded = -1;
        const Range pairs = split(in.blocks() * in.batch, thread, threads);
        for (int64_t pair = pairs.begin; pair < pairs.end; ++pair) {
            const int64_t index = pair / in.batch;
            const Block block = in.block(index);
            if (index != loaded) load_taps(arrays.taps, in, block);
            loaded = index;
            body(arrays, pair % in.batch, block);
        }
    });
}

}  // namespace medssm::MEDSSM_ISA
