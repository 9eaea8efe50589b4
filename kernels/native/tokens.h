// Tokens of a (batch, dim, length) tensor, any strides, float32 or bfloat16, to and from float scratch of
// (tokens, Vec::width): a block of neighbouring channels beside each other, tokens in the order of the visit.
#pragma once

#include "vec.h"

namespace medssm::MEDSSM_ISA {

using bf16 = uint16_t;
constexpr int W = Vec::width;

// As Python packs it: the address of element 0 and the strides in elements.
struct Tensor3 {
    void* data;  // nullptr for an absent tensor
    int64_t batch, channel, token;
};

// Neighbouring channels that share a vector; the lanes from `lanes` on are padding.
struct Block {
    int64_t channel;
    int lanes;
};

// Block `index` of `dim` channels.
inline Block block_of(int64_t dim, int64_t index) {
    const int64_t left = dim - index * W;
    return {index * W, static_cast<int>(left < W ? left : W)};
}

// Where some tokens lie, in the order in which they are visited.
struct Places {
    const int32_t* at;
    int count;
    bool consecutive;  // at[i] == at[0] + i
};

// The places of tokens [first, first + count) of the visit, written to `at`; `visits` is nullptr for memory order.
inline Places find_places(int32_t* at, const int32_t* visits, int64_t first, int count) {
    bool consecutive = true;
    for (int i = 0; i < count; ++i) {
        at[i] = visits == nullptr ? static_cast<int32_t>(first + i) : visits[first + i];
        consecutive &= at[i] == at[0] + i;
    }
    return {at, count, consecutive};
}

inline void count_up(int32_t* out, int64_t count) {
    for (int64_t i = 0; i < count; ++i) out[i] = static_cast<int32_t>(i);
}

inline float to_float(float x) { return x; }
inline float to_float(bf16 x) {
    const uint32_t bits = static_cast<uint32_t>(x) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline Vec load_row(const float* p) { return load(p); }
inline Vec load_row(const bf16* p) { return load_bf16(p); }
inline Vec load_row(const float* p, int lanes) { return load(p, lanes); }
inline Vec load_row(const bf16* p, int lanes) {
    bf16 row[W] = {};
    std::memcpy(row, p, sizeof(bf16) * lanes);
    return load_bf16(row);
}

inline void store_row(float* p, Vec x) { store(p, x); }
inline void store_row(bf16* p, Vec x) { store_bf16(p, x); }
inline void store_row(float* p, Vec x, int lanes) { store(p, x, lanes); }
inline void store_row(bf16* p, Vec x, int lanes) {
    bf16 row[W];
    store_bf16(row, x);
    std::memcpy(p, row, sizeof(bf16) * lanes);
}

// Lanes along memory: a token's channels are one load.
template <typename T>
inline void load_channels_last(float* out, const T* base, int64_t token_stride, Places places, int lanes) {
    if (lanes == W) {
        for (int i = 0; i < places.count; ++i) store(out + i * W, load_row(base + places.at[i] * token_stride));
    } else {
        for (int i = 0; i < places.count; ++i) store(out + i * W, load_row(base + places.at[i] * token_stride, lanes));
    }
}

// Tokens along memory: W tokens of each channel are one load, then W x W tiles are transposed in registers.
template <typename T>
inline void load_channels_first(float* out, const T* base, int64_t channel_stride, Places places, int lanes) {
    for (int i = 0; i < places.count; i += W) {
        const int tokens = places.count - i < W ? places.count - i : W;
        Vec rows[W];
        for (int c = 0; c < W; ++c) {
            const T* p = base + c * channel_stride + places.at[i];
            rows[c] = c >= lanes ? zeros() : tokens == W ? load_row(p) : load_row(p, tokens);
        }
        transpose(rows);
        for (int t = 0; t < tokens; ++t) store(out + (i + t) * W, rows[t]);
    }
}

// Any strides, an element at a time.
template <typename T>
inline void load_strided(float* out, const T* base, const Tensor3& tensor, Places places, int lanes) {
    for (int i = 0; i < places.count; ++i) {
        const T* p = base + places.at[i] * tensor.token;
        for (int c = 0; c < lanes; ++c) out[i * W + c] = to_float(p[c * tensor.channel]);
        for (int c = lanes; c < W; ++c) out[i * W + c] = 0.0f;
    }
}

// out: (places.count, W); padding lanes become 0.
template <typename T>
inline void load_tokens(float* out, const Tensor3& tensor, int64_t batch, Block block, Places places) {
    const T* base = static_cast<const T*>(tensor.data) + batch * tensor.batch + block.channel * tensor.channel;
    if (tensor.channel == 1) {
        load_channels_last(out, base, tensor.token, places, block.lanes);
    } else if (tensor.token == 1 && places.consecutive) {
        load_channels_first(out, base, tensor.channel, places, block.lanes);
    } else {
        load_strided(out, base, tensor, places, block.lanes);
    }
}

// A block's tokens in the order of the visit, a row of W floats each.
struct Rows {
    const float* base;
    int64_t stride;
    const int32_t* at;

    const float* row(int i) const { return base + at[i] * stride; }
    Vec operator[](int i) const { return load(row(i)); }
};

// The tokens where they lie, if they lie as rows of floats; else a copy of them in `scratch`, (places.count, W).
// `counting` is 0, 1, 2, ...
template <typename T>
inline Rows find_rows(float* scratch, const Tensor3& tensor, int64_t batch, Block block, Places places,
                      const int32_t* counting) {
    if constexpr (sizeof(T) == sizeof(float)) {
        const float* base = static_cast<const float*>(tensor.data) + batch * tensor.batch + block.channel;
        if (tensor.channel == 1 && block.lanes == W) return {base, tensor.token, places.at};
    }
    load_tokens<T>(scratch, tensor, batch, block, places);
    return {scratch, W, counting};
}

// Results are always channels-last: (batch, length, dim) contiguous, each token at its own place.
template <typename T>
inline T* result_row(const Tensor3& tensor, int64_t batch, Block block, int32_t place) {
    return static_cast<T*>(tensor.data) + batch * tensor.batch + place * tensor.token + block.channel;
}

template <typename T>
inline void store_token(const Tensor3& tensor, int64_t batch, Block block, int32_t place, Vec x) {
    T* row = result_row<T>(tensor, batch, block, place);
    if (block.lanes == W) {
        store_row(row, x);
    } else {
        store_row(row, x, block.lanes);
    }
}

}  // namespace medssm::MEDSSM_ISA
