// What the scan's forward and backward share: the arguments, the blocks of channels, and the load stage.
//
// Lanes are channels: one Vec holds W neighbouring channels of one token, and a sweep over a chunk of tokens keeps the
// states of those channels in registers. Loops: batch, chunk of tokens, block of channels, states, tokens; with the
// chunk outside the blocks, B, C and the places of its tokens stay in L1.
#pragma once

#include "arena.h"
#include "tokens.h"
#include "unroll.h"

namespace medssm {
namespace MEDSSM_ISA {

constexpr int chunk_tokens = 64;  // CHUNK in _reference.py; 32 and 128 are within 6 % of it, 16 is up to 17 % slower
constexpr float ln_2 = 0.693147180559945309f;

// (batch, groups, state, length), any strides.
struct Tensor4 {
    const void* data;
    int64_t batch, group, state, token;
};

// (dim, state) and (dim,) of float32, any strides; data is nullptr for an absent tensor.
struct Tensor2 {
    const float* data;
    int64_t channel, state;
};
struct Tensor1 {
    const float* data;
    int64_t channel;
};

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

// out: (states, W): a (dim, state) tensor for a block, times `factor`; 0 in padding lanes.
inline void load_states(float* out, const Tensor2& tensor, int64_t states, Block block, float factor) {
    std::memset(out, 0, sizeof(float) * states * W);
    for (int c = 0; c < block.lanes; ++c) {
        const float* row = tensor.data + (block.channel + c) * tensor.channel;
        for (int64_t k = 0; k < states; ++k) out[k * W + c] = factor * row[k * tensor.state];
    }
}

inline void store_states(float* array, const float* in, int64_t states, Block block) {
    for (int c = 0; c < block.lanes; ++c) {
        for (int64_t k = 0; k < states; ++k) array[(block.channel + c) * states + k] = in[k * W + c];
    }
}

// A value for each channel of the block; 0 where the tensor is absent and in padding lanes.
inline Vec load_channels(const Tensor1& tensor, Block block) {
    float lanes[W] = {};
    if (tensor.data == nullptr) return zeros();
    for (int c = 0; c < block.lanes; ++c) lanes[c] = tensor.data[(block.channel + c) * tensor.channel];
    return load(lanes);
}

// out: (tokens, state): B or C of one group, at the tokens' places.
template <typename T>
inline void load_group(float* out, const Tensor4& tensor, int64_t batch, int64_t group, int64_t states, Places places) {
    const T* base = static_cast<const T*>(tensor.data) + batch * tensor.batch + group * tensor.group;
    if (tensor.state == 1) {
        for (int i = 0; i < places.count; ++i) {
            const T* row = base + places.at[i] * tensor.token;
            for (int64_t k = 0; k < states; ++k) out[i * states + k] = to_float(row[k]);
        }
        return;
    }
    for (int64_t k = 0; k < states; ++k) {
        const T* row = base + k * tensor.state;
        for (int i = 0; i < places.count; ++i) out[i * states + k] = to_float(row[places.at[i] * tensor.token]);
    }
}

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

// The step size of a token.
MEDSSM_INLINE inline Vec step_size(Vec dt, Vec bias, bool with_softplus) {
    return with_softplus ? softplus(dt + bias) : dt + bias;
}

// Rows of tensors that are about to be read or written, fetched into the cache during a sweep, a token at a time: no
// hardware foresees rows that lie a whole token apart. Takes the forward pass from 276-313 to 226-233 ps a state update.
struct Upcoming {
    const int32_t* at;
    const char* base[6];
    int64_t stride[6];
    int count = 0;

    explicit Upcoming(const int32_t* at) : at(at) {}

    // The rows of a block from `channel` on; nothing for an absent tensor or one that is not channels-last.
    template <typename T>
    void add(const Tensor3& tensor, int64_t batch, int64_t channel) {
        if (tensor.data == nullptr || tensor.channel != 1) return;
        base[count] = static_cast<const char*>(tensor.data) + (batch * tensor.batch + channel) * sizeof(T);
        stride[count++] = tensor.token * sizeof(T);
    }

    MEDSSM_INLINE void fetch(int t) const {
        for (int i = 0; i < count; ++i) __builtin_prefetch(base[i] + at[t] * stride[i]);
    }
};

}  // namespace MEDSSM_ISA
}  // namespace medssm
