// What the kernels of recurrences over tokens share: parameters and coefficients of a block of channels, the step size,
// and fetching ahead.
#pragma once

#include "tokens.h"
#include "unroll.h"

namespace medssm::MEDSSM_ISA {

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

}  // namespace medssm::MEDSSM_ISA
