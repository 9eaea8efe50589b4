// Convolution by its definition, as one matrix product per block of voxels: 1x1x1 kernels, and 3x3x3 kernels with so few
// input channels that the transforms of Winograd's method cost more than they save.
#include "cells.h"
#include "kernel.h"

namespace medssm::MEDSSM_ISA {

namespace {

struct Arguments {
    float* y;               // (batch, outputs, depth, height, width)
    const Source* sources;  // together (batch, channels, depth, height, width)
    int64_t source_count;
    const float* weights;  // (outputs / rows, channels * taps, rows), by pack_matrix
    const float* bias;     // (outputs,) or null
    int64_t batch, channels, outputs, depth, height, width, taps, threads;  // taps: 27 or 1
};

// panel (27, columns) = what each tap of a 3x3x3 kernel sees at the block's voxels of one channel.
void copy_neighbours(float* panel, const float* x, const GridShape& grid, const Cells& block) {
    alignas(64) float row[columns + 2 * Vec::width];
    for (int s = 0; s < block.segments; ++s) {
        const Segment& at = block.segment[s];
        const int before = at.w > 0, after = at.w + at.count < grid.width;
        for (int zy = 0; zy < 9; ++zy) {
            const int64_t d = at.d + zy / 3 - 1, h = at.h + zy % 3 - 1;
            std::memset(row, 0, sizeof(float) * (at.count + 2));
            if (d >= 0 && d < grid.depth && h >= 0 && h < grid.height) {
                const float* from = x + (d * grid.height + h) * grid.width + at.w;
                std::memcpy(row + 1 - before, from - before, sizeof(float) * (at.count + before + after));
            }
            for (int tap = 0; tap < 3; ++tap)
                std::memcpy(panel + (3 * zy + tap) * columns + at.start, row + tap, sizeof(float) * at.count);
        }
    }
}

// y (voxels) of one output channel at the block = its row of products + bias.
void store_row(float* y, const float* products, float bias, const Cells& block) {
    const Vec b = broadcast(bias);
    for (int i = 0; i < block.size; i += Vec::width) {
        const int n = block.size - i < Vec::width ? block.size - i : Vec::width;
        store(y + block.first + i, load(products + i) + b, n);
    }
}

void convolve(const Arguments& a) {
    const GridShape grid{a.depth, a.height, a.width};
    const int64_t depth = a.channels * a.taps;
    parallel(a.threads, [&](int thread, int threads) {
        const int64_t floats = (depth + rows) * columns;
        float* panel = static_cast<float*>(thread_scratch(floats * sizeof(float) + a.channels * sizeof(float*)));
        float* products = panel + depth * columns;
        const float** channels = reinterpret_cast<const float**>(products + rows * columns);
        for_each_block(a.batch, grid, vectors, thread, threads, [&](int64_t sample, const Cells& block) {
            channel_pointers(channels, a.sources, a.source_count, sample);
            if (a.taps == 1) copy_cells(panel, channels, a.channels, block);
            for (int64_t c = 0; c < a.channels && a.taps != 1; ++c)
                copy_neighbours(panel + c * a.taps * columns, channels[c], grid, block);
            for (int64_t first = 0; first < a.outputs; first += rows) {
                multiply(products, a.weights + first * depth, panel, depth, columns, block.vectors);
                for (int64_t k = first; k < first + rows && k < a.outputs; ++k)
                    store_row(a.y + (sample * a.outputs + k) * grid.size(), products + (k - first) * columns,
                              a.bias ? a.bias[k] : 0.0f, block);
            }
        });
    });
}

}  // namespace

constexpr Kernel conv3d_direct = kernel_of<Arguments, convolve>();

}  // namespace medssm::MEDSSM_ISA
