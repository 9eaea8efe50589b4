// A grid of cells in flat order, cut into blocks of at most `columns` cells for the convolutions.
#pragma once

#include "product.h"
#include "threads.h"

namespace medssm::MEDSSM_ISA {

struct GridShape {
    int64_t depth, height, width;
    int64_t size() const { return depth * height * width; }
};

// Neighbouring cells (d, h, w), (d, h, w + 1), ... of one row, at `start` in their block.
struct Segment {
    int64_t d, h, w;
    int count, start;
};

struct Cells {
    int64_t first;  // the flat index of its first cell
    int size;       // its cells, at most `columns`
    int vectors;    // that hold them
    int segments;
    Segment segment[columns];
};

inline void lay_out(Cells& block, const GridShape& grid, int64_t first, int64_t last) {
    block.first = first;
    block.size = static_cast<int>(last - first);
    block.vectors = static_cast<int>(round_up(block.size, Vec::width) / Vec::width);
    block.segments = 0;
    while (first < last) {
        const int64_t row = first / grid.width, w = first % grid.width;
        const int64_t count = grid.width - w < last - first ? grid.width - w : last - first;
        block.segment[block.segments++] = {row / grid.height, row % grid.height, w, static_cast<int>(count),
                                           block.size - static_cast<int>(last - first)};
        first += count;
    }
}

// Calls body(sample, block) for every block, of at most `most_vectors`, of this thread's share of the cells. The shares
// are whole vectors, so that a coarse grid of few blocks still divides evenly.
template <typename Body>
void for_each_block(int64_t batch, const GridShape& grid, int most_vectors, int thread, int threads, const Body& body) {
    const int64_t per_sample = round_up(grid.size(), Vec::width) / Vec::width;
    const Range share = split(batch * per_sample, thread, threads);
    Cells block;
    for (int64_t at = share.begin; at < share.end; at += block.vectors) {
        const int64_t sample = at / per_sample, vector = at % per_sample;
        int64_t count = most_vectors;
        if (count > share.end - at) count = share.end - at;
        if (count > per_sample - vector) count = per_sample - vector;
        const int64_t last = (vector + count) * Vec::width;
        lay_out(block, grid, vector * Vec::width, last < grid.size() ? last : grid.size());
        body(sample, block);
    }
}

// The input of a convolution: tensors whose channels follow one another.
struct Source {
    const float* data;
    int64_t channels, batch_stride, channel_stride;
};

inline void channel_pointers(const float** out, const Source* sources, int64_t count, int64_t sample) {
    for (int64_t s = 0; s < count; ++s)
        for (int64_t c = 0; c < sources[s].channels; ++c)
            *out++ = sources[s].data + sample * sources[s].batch_stride + c * sources[s].channel_stride;
}

// panel (channels, columns) = the block's cells of every channel.
inline void copy_cells(float* panel, const float* const* channels, int64_t count, const Cells& block) {
    for (int64_t c = 0; c < count; ++c, panel += columns) {
        const float* from = channels[c] + block.first;
        for (int i = 0; i < columns; i += 16) __builtin_prefetch(from + columns + i);  // of the next block
        std::memcpy(panel, from, sizeof(float) * block.size);
    }
}

// Every cell's outputs, pairs (side, side, 2, stride) ordered z, y, x, to their voxels in out (depth, height, width);
// what lies outside is dropped.
template <int side>
void store_pairs(float* out, const float* pairs, int64_t stride, float bias, const GridShape& grid,
                 const Cells& block) {
    const Vec b = broadcast(bias);
    for (int s = 0; s < block.segments; ++s) {
        const Segment& at = block.segment[s];
        for (int zy = 0; zy < side * side; ++zy) {
            const int64_t z = side * at.d + zy / side, y = side * at.h + zy % side;
            if (z >= grid.depth || y >= grid.height) continue;
            float* to = out + (z * grid.height + y) * grid.width + 2 * at.w;
            const float* even = pairs + zy * 2 * stride + at.start;
            int64_t left = grid.width - 2 * at.w < 2 * at.count ? grid.width - 2 * at.w : 2 * at.count;
            for (; left > 0; left -= 2 * Vec::width, to += 2 * Vec::width, even += Vec::width) {
                Vec low, high;
                interleave(load(even) + b, load(even + stride) + b, low, high);
                if (left >= 2 * Vec::width) {
                    store(to, low);
                    store(to + Vec::width, high);
                    continue;
                }
                const int n = static_cast<int>(left);
                store(to, low, n < Vec::width ? n : Vec::width);
                if (n > Vec::width) store(to + Vec::width, high, n - Vec::width);
            }
        }
    }
}

}  // namespace medssm::MEDSSM_ISA
