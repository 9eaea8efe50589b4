// What the forward and backward of the short causal convolution share.
//
// A task is a chunk of visited tokens of one batch element with all channels, a vector of them at a time; the tokens
// before (and in the backward pass after) the chunk that its taps reach are read again.
#pragma once

#include "arena.h"
#include "kernel.h"
#include "tokens.h"
#include "unroll.h"

namespace medssm::MEDSSM_ISA {

constexpr int chunk_tokens = 64;

struct ConvInputs {
    int64_t batch, dim, length, width;
    int64_t silu;     // bool: y = silu(convolution)
    int64_t is_bf16;  // bool: x and y are bfloat16, else float32
    int64_t threads;
    const int32_t* visits;  // (length,), nullptr for memory order
    const float* weight;    // (dim, width)
    const float* bias;      // (dim,) or nullptr
    Tensor3 x;              // (batch, dim, length)

    int64_t chunks() const { return (length + chunk_tokens - 1) / chunk_tokens; }
    int64_t blocks() const { return (dim + W - 1) / W; }
    Block block(int64_t index) const { return block_of(dim, index); }
};

// Tokens [first, first + count) of the visit, of which only [begin, end) exist.
struct Window {
    int64_t first;
    int count, begin, end;
};

// The chunk with `before` tokens in front of it and `after` behind it.
inline Window chunk_window(const ConvInputs& in, int64_t chunk, int before, int after) {
    const int64_t start = chunk * chunk_tokens, left = in.length - start;
    const int64_t first = start - before;
    const int tokens = static_cast<int>(left < chunk_tokens ? left : chunk_tokens);
    const int count = before + tokens + after;
    const int begin = first < 0 ? static_cast<int>(-first) : 0;
    const int end = static_cast<int>(in.length - first < count ? in.length - first : count);
    return {first, count, begin, end};
}

// out: (window.count, W): a block's tokens; 0 where there are none.
template <typename T>
inline void load_window(float* out, const Tensor3& tensor, int64_t batch, Block block, const Window& window,
                        Places places) {
    std::memset(out, 0, sizeof(float) * window.begin * W);
    load_tokens<T>(out + window.begin * W, tensor, batch, block, places);
    std::memset(out + window.end * W, 0, sizeof(float) * (window.count - window.end) * W);
}

// out: (width, W): the taps of a block's channels.
inline void load_taps(float* out, const ConvInputs& in, Block block) {
    std::memset(out, 0, sizeof(float) * in.width * W);
    for (int c = 0; c < block.lanes; ++c) {
        for (int64_t k = 0; k < in.width; ++k) out[k * W + c] = in.weight[(block.channel + c) * in.width + k];
    }
}

// bias + sum_k taps[k] * rows[k] for one token, whose first tap reads rows[0]; the width is a constant for 2 to 4 taps.
template <int width>
MEDSSM_INLINE inline Vec convolve(const float* rows, const float* taps, Vec bias, int64_t any_width) {
    Vec sum = bias;
    if constexpr (width > 0) {
        unroll<width>([&](auto k) MEDSSM_INLINE { sum = fma(load(taps + k * W), load(rows + k * W), sum); });
    } else {
        for (int64_t k = 0; k < any_width; ++k) sum = fma(load(taps + k * W), load(rows + k * W), sum);
    }
    return sum;
}

// Calls body(width) with the width as a constant for 2 to 4 taps, with 0 for any other number.
template <typename Body>
void with_width(const ConvInputs& in, const Body& body) {
    switch (in.width) {
        case 2: return body(Index<2>{});
        case 3: return body(Index<3>{});
        case 4: return body(Index<4>{});
        default: return body(Index<0>{});
    }
}

// Calls body(arrays) on every thread of a team, once it has all blocks' taps.
template <typename Arrays, typename Body>
void with_taps(const ConvInputs& in, const Body& body) {
    parallel(in.threads, [&](int thread, int threads) {
        const Arrays arrays = carve<Arrays>(in);
        for (int64_t i = 0; i < in.blocks(); ++i) load_taps(arrays.taps + i * in.width * W, in, in.block(i));
        body(arrays, thread, threads);
    });
}

inline Vec load_bias(const ConvInputs& in, Block block) {
    return in.bias == nullptr ? zeros() : load(in.bias + block.channel, block.lanes);
}

}  // namespace medssm::MEDSSM_ISA
