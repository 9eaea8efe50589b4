// What the scan's forward and backward share: the arguments, the blocks of channels, and the load stage.
//
// Lanes are channels: one Vec holds W neighbouring channels of one token, and a sweep over a chunk of tokens keeps the
// states of those channels in registers. Loops: batch, chunk of tokens, block of channels, states, tokens; with the
// chunk outside the blocks, B, C and the places of its tokens stay in L1.
#pragma once

#include "kernel.h"
#include "recurrence.h"
#include "shares.h"

namespace medssm::MEDSSM_ISA {

constexpr int chunk_tokens = 64;  // CHUNK in _reference.py; 32 and 128 are within 6 % of it, 16 is up to 17 % slower

struct ScanInputs {
    int64_t batch, dim, length, state, groups;
    int64_t softplus;  // bool: the step is softplus(dt + dt_bias)
    int64_t is_bf16;   // bool: activations are bfloat16, else float32
    int64_t threads;
    const int32_t* visits;  // (length,), nullptr for memory order
    Tensor2 A;              // (dim, state)
    Tensor1 D, dt_bias;     // (dim,); may be absent
    Tensor3 u, dt, z;       // (batch, dim, length); z may be absent
    Tensor4 B, C;

    int64_t chunks() const { return (length + chunk_tokens - 1) / chunk_tokens; }
    int64_t group_dim() const { return dim / groups; }

    // Channels of one group share B and C, which are then scalars to a vector of channels. Groups smaller than a
    // vector are put side by side in it, whole, and B and C become vectors.
    bool is_per_lane() const { return group_dim() < W && groups > 1; }
    int64_t blocks_per_group() const { return is_per_lane() ? 1 : (group_dim() + W - 1) / W; }
    int64_t lane_groups() const { return is_per_lane() ? W / group_dim() : 1; }
    // Groups that are treated as one: their blocks lie beside each other.
    int64_t units() const { return (groups + lane_groups() - 1) / lane_groups(); }
    int64_t blocks() const { return units() * blocks_per_group(); }

    Block block(int64_t index) const {
        const int64_t unit = index / blocks_per_group(), within = index % blocks_per_group();
        const int64_t first = unit * lane_groups() * group_dim(), width = lane_groups() * group_dim();
        const int64_t end = first + width < dim ? first + width : dim;
        const int64_t channel = first + within * W;
        return {channel, static_cast<int>(end - channel < W ? end - channel : W)};
    }
    int64_t group_of(int64_t channel) const { return channel / group_dim(); }
};

// out: (tokens, state, W): B or C of every channel of a block, where its lanes are of several groups.
template <typename T>
inline void load_lanes(float* out, const ScanInputs& in, const Tensor4& tensor, int64_t batch, Block block,
                       Places places) {
    for (int c = 0; c < W; ++c) {
        const int64_t group = in.group_of(block.channel + (c < block.lanes ? c : 0));
        const T* base = static_cast<const T*>(tensor.data) + batch * tensor.batch + group * tensor.group;
        for (int i = 0; i < places.count; ++i) {
            const T* row = base + places.at[i] * tensor.token;
            for (int64_t k = 0; k < in.state; ++k) {
                out[(i * in.state + k) * W + c] = c < block.lanes ? to_float(row[k * tensor.state]) : 0.0f;
            }
        }
    }
}

// B or C of state k of one token: a scalar for all channels, or a value for each.
template <bool per_lane>
MEDSSM_INLINE inline Vec coefficient(const float* token, int k) {
    if constexpr (per_lane) {
        return load(token + k * W);
    } else {
        return broadcast(token[k]);
    }
}

}  // namespace medssm::MEDSSM_ISA
