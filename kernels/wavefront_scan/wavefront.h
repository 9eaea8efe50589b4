// What the forward and backward scan over a grid share: the arguments, the cells of a row, and the load stage.
//
// Lanes are channels: one Vec holds W neighbouring channels of one cell. Cells are visited row by row, which the two
// dependences allow; the state to the left stays in registers, the states of the row above in memory.
// With top = exp(dt_top A_top), left = exp(dt_left A_left), and both halved where a cell has both neighbours:
//   h(i,j) = top h(i-1,j) + left h(i,j-1) + x_top B_top + x_left B_left,   x_top = w_top dt_top x, x_left alike
// The weight w is 1/2 where both axes act, 1 where one does alone, and 0 for the other then. The half of a decay is one
// less in the exponent of 2 and costs nothing.
#pragma once

#include "kernel.h"
#include "recurrence.h"
#include "shares.h"

namespace medssm::MEDSSM_ISA {

// One of the two axes.
struct GridAxis {
    Tensor2 A;        // (dim, state)
    Tensor1 dt_bias;  // (dim,); may be absent
    Tensor3 dt;       // (batch, dim, length)
    Tensor4 B;        // (batch, 1, state, length)
};

// Tensors start at the first cell visited; their strides along the cells are negative for a scan in reverse.
struct GridInputs {
    int64_t batch, dim, height, width, state;
    int64_t softplus;  // bool: the step is softplus(dt + dt_bias)
    int64_t is_bf16;   // bool: activations are bfloat16, else float32
    int64_t threads;
    GridAxis top, left;
    Tensor1 D;  // (dim,); may be absent
    Tensor3 x;  // (batch, dim, length)
    Tensor4 C;  // (batch, 1, state, length)

    int64_t blocks() const { return (dim + W - 1) / W; }
    Block block(int64_t index) const { return block_of(dim, index); }
};

// CHUNK_ROWS in _reference.py: rows between two checkpoints. 4 and 16 are no faster; with 16 the checkpoints take half
// the memory, and each thread twice.
constexpr int64_t chunk_rows = 8;

// The row of states above each chunk of rows but the first: (batch, chunks, width, state, dim).
inline int64_t checkpoint_at(const GridInputs& in, int64_t batch, int64_t chunk, int64_t column, int64_t channel) {
    const int64_t chunks = (in.height - 1) / chunk_rows;
    return ((batch * chunks + chunk) * in.width + column) * in.state * in.dim + channel;
}

// B or C of some cells: a row of `state` floats each.
struct Coefficients {
    const float* base;
    int64_t stride;

    const float* operator[](int64_t cell) const { return base + cell * stride; }
};

// Where they lie, if they lie as rows of floats; else a copy in `scratch`, (cells, state).
template <typename T>
Coefficients find_coefficients(float* scratch, const Tensor4& tensor, int64_t batch, int64_t states, Places places) {
    if constexpr (sizeof(T) == sizeof(float)) {
        const float* base = static_cast<const float*>(tensor.data) + batch * tensor.batch;
        if (tensor.state == 1) return {base + places.at[0] * tensor.token, tensor.token};
    }
    load_group<T>(scratch, tensor, batch, 0, states, places);
    return {scratch, states};
}

// What each axis adds, and the halves, for cells of one row: `count` cells from column `first` on.
struct Weights {
    bool has_top;
    int64_t first;

    float top(int64_t cell) const { return !has_top ? 0.0f : first + cell > 0 ? 0.5f : 1.0f; }
    float left(int64_t cell) const { return !has_top ? 1.0f : first + cell > 0 ? 0.5f : 0.0f; }
    float exponent(int64_t cell) const { return has_top && first + cell > 0 ? -1.0f : 0.0f; }  // log2 of the half
};

// The decays of an axis for state k of a cell.
MEDSSM_INLINE inline Vec decay(Vec step, const float* exponents, int k, Vec half) {
    return exp2(fma(step, load(exponents + k * W), half));
}

}  // namespace medssm::MEDSSM_ISA
