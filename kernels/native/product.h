// The matrix product under every convolution: a few rows of packed weights by a panel of neighbouring cells.
#pragma once

#include "vec.h"

namespace medssm::MEDSSM_ISA {

// The accumulators of `rows` x `vectors` stay in registers: 24 of 32, or 12 of 16.
#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int rows = 8;
#else
constexpr int rows = 4;
#endif
constexpr int vectors = 3;
constexpr int columns = vectors * Vec::width;

inline int64_t round_up(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

// out (rows, stride) = weights (depth, rows) transposed, times panel (depth, stride); the first N vectors of each row.
template <int N>
inline void multiply_vectors(float* out, const float* weights, const float* panel, int64_t depth, int64_t stride) {
    Vec sum[rows][N];
    for (int r = 0; r < rows; ++r)
        for (int n = 0; n < N; ++n) sum[r][n] = broadcast(0.0f);
    for (int64_t k = 0; k < depth; ++k) {
        Vec x[N];
        for (int n = 0; n < N; ++n) x[n] = load(panel + k * stride + n * Vec::width);
        for (int r = 0; r < rows; ++r) {
            const Vec w = broadcast(weights[k * rows + r]);
            for (int n = 0; n < N; ++n) sum[r][n] = fma(w, x[n], sum[r][n]);
        }
    }
    for (int r = 0; r < rows; ++r)
        for (int n = 0; n < N; ++n) store(out + r * stride + n * Vec::width, sum[r][n]);
}

inline void multiply(float* out, const float* weights, const float* panel, int64_t depth, int64_t stride,
                     int used_vectors) {
    if (used_vectors == 3) return multiply_vectors<3>(out, weights, panel, depth, stride);
    if (used_vectors == 2) return multiply_vectors<2>(out, weights, panel, depth, stride);
    multiply_vectors<1>(out, weights, panel, depth, stride);
}

}  // namespace medssm::MEDSSM_ISA
