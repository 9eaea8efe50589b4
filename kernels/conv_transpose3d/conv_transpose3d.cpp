// Transposed convolution with kernel and stride 2: the eight voxels of a block depend on one input voxel only, so it is
// one matrix product, (outputs * 8, channels) by (channels, voxels), whose rows are written interleaved.
#include "cells.h"
#include "kernel.h"

namespace medssm::MEDSSM_ISA {

namespace {

struct Arguments {
    float* y;            // (batch, outputs, 2 depth, 2 height, 2 width)
    const Source* x;     // (batch, channels, depth, height, width)
    const float* weights;  // (outputs * 8 / rows, channels, rows), by pack_matrix
    const float* bias;   // (outputs,) or null
    int64_t batch, channels, outputs, depth, height, width, threads;
};

void convolve(const Arguments& a) {
    const GridShape from{a.depth, a.height, a.width}, to{2 * a.depth, 2 * a.height, 2 * a.width};
    parallel(a.threads, [&](int thread, int threads) {
        const int64_t floats = (a.channels + 8) * columns + Vec::width;
        float* panel = static_cast<float*>(thread_scratch(floats * sizeof(float) + a.channels * sizeof(float*)));
        float* pairs = panel + a.channels * columns;
        const float** channels = reinterpret_cast<const float**>(panel + floats);
        for_each_block(a.batch, from, vectors, thread, threads, [&](int64_t sample, const Cells& block) {
            channel_pointers(channels, a.x, 1, sample);
            copy_cells(panel, channels, a.channels, block);
            for (int64_t k = 0; k < a.outputs; ++k) {
                for (int r = 0; r < 8; r += rows)
                    multiply(pairs + r * columns, a.weights + (8 * k + r) * a.channels, panel, a.channels,
                             columns, block.vectors);
                store_pairs<2>(a.y + (sample * a.outputs + k) * to.size(), pairs, columns, a.bias ? a.bias[k] : 0.0f, to,
                               block);
            }
        });
    });
}

}  // namespace

constexpr Kernel conv_transpose3d = kernel_of<Arguments, convolve>();

}  // namespace medssm::MEDSSM_ISA
