// What the forward and backward scans of states share: the arguments and the blocks of channels.
//
// Lanes are channels, as in the selective scan. Loops: batch, chunk of tokens, group of Q blocks of channels, state,
// tokens. Blocks go in groups for the sake of memory, which then gives more of a row at a time. The recurrence needs no
// such help: only a multiply-add of each token waits for the token before, and exponentials of the next ones go on.
#pragma once

#include "kernel.h"
#include "recurrence.h"
#include "shares.h"

namespace medssm::MEDSSM_ISA {

constexpr int chunk_tokens = 64;

// States after every token, (batch, dim, state, length), any strides.
struct StatePath {
    void* data;
    int64_t batch, channel, state, token;

    // (batch, dim, length) of state k.
    template <typename T>
    Tensor3 of(int64_t k) const {
        return {static_cast<T*>(data) + k * state, batch, channel, token};
    }
};

struct StateInputs {
    int64_t batch, dim, length, state;
    int64_t softplus;  // bool: the step is softplus(dt + dt_bias)
    int64_t is_bf16;   // bool: activations are bfloat16, else float32
    int64_t threads;
    Tensor2 A;        // (dim, state)
    Tensor1 dt_bias;  // (dim,); may be absent
    Tensor3 u, dt;    // (batch, dim, length)
    Tensor4 B;        // (batch, 1, state, length)

    int64_t chunks() const { return (length + chunk_tokens - 1) / chunk_tokens; }
    int64_t blocks() const { return (dim + W - 1) / W; }
    Block block(int64_t index) const { return block_of(dim, index); }
};

}  // namespace medssm::MEDSSM_ISA
