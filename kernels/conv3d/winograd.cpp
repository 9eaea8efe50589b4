// 3x3x3 convolution by minimal filtering (Winograd 1980; Lavin & Gray 2015, arXiv:1509.09308).
//
// A tile is side x side x 2 outputs, side 2 or 4, made from (side + 2) x (side + 2) x 4 inputs. Transformed along each
// axis its entries ("points") are independent products over the channels: 64 for 8 outputs, or 144 for 32, where the
// definition takes 27 for each. Tiles of 4 multiply 1.8 times less and read their inputs less often; tiles of 2 fit small
// grids and have smaller weights. Beside float64 tiles of 4 err by 1.5e-6 to 3.2e-6 of the largest output, as a plain sum
// in float32 does; tiles of 2 by 3e-7 to 8e-7.
#include "axis_transforms.h"
#include "cells.h"
#include "kernel.h"

namespace medssm::MEDSSM_ISA {

namespace {

constexpr int64_t outputs_at_once = 32;      // 24 to 64 are alike; all of them no longer fit the cache
constexpr int64_t bytes_of_panels = 700000;  // of a block's transformed inputs, for a second-level cache of 1 MiB

template <int side>
constexpr int points = (side + 2) * (side + 2) * 4;

struct Arguments {
    float* y;               // (batch, outputs, depth, height, width)
    const Source* sources;  // together (batch, channels, depth, height, width)
    int64_t source_count;
    const float* weights;  // (points, outputs / rows, channels, rows), by conv3d_winograd_pack
    const float* bias;     // (outputs,) or null
    int64_t batch, channels, outputs, depth, height, width, side, threads;
};

struct PackArguments {
    float* packed;        // (points, outputs / rows, channels, rows), outputs filled up with zeros
    const float* weight;  // (outputs, channels, 3, 3, 3)
    int64_t outputs, channels, side, threads;
};

// The rows of inputs that a row of tiles reads, transformed along z and y, and split into even and odd columns. Entry 0
// is the tile before the segment; entry 1 its first tile.
template <int side>
struct Rows {
    static constexpr int count = side + 2, length = columns + 3 * Vec::width;
    float even[count * count][length], odd[count * count][length];
};

// Two vectors of each input row of a tile: columns [column, column + 2 * Vec::width), 0 from `left` on.
template <int side>
struct Strip {
    Vec half[2][side + 2][side + 2];  // (half, z, y)
};

// Transforms along z and y commute with picking columns, so they come first: on raw rows they are half the work.
template <int side>
void transform_strip(Strip<side>& strip, const float* const (&row)[side + 2][side + 2], int64_t column, int64_t left) {
    constexpr int n = side + 2;
    const int low = static_cast<int>(left < Vec::width ? left : Vec::width);
    const int high = static_cast<int>(left < 2 * Vec::width ? left - low : Vec::width);
    for (int half = 0; half < 2; ++half) {
        const int lanes = half ? high : low;
        for (int y = 0; y < n; ++y) {
            Vec d[n], v[n];
            for (int z = 0; z < n; ++z) {
                const float* p = row[z][y] + column + half * low;
                d[z] = lanes == Vec::width ? load(p) : load(p, lanes);
            }
            transform_input(d, v);
            for (int z = 0; z < n; ++z) strip.half[half][z][y] = v[z];
        }
        for (int z = 0; z < n; ++z) {
            Vec v[n];
            transform_input(strip.half[half][z], v);
            for (int y = 0; y < n; ++y) strip.half[half][z][y] = v[y];
        }
    }
}

template <int side>
void transform_rows(Rows<side>& out, const float* x, const float* zeros, const GridShape& grid, const Segment& at) {
    constexpr int n = side + 2;
    const float* row[n][n];
    for (int z = 0; z < n; ++z)
        for (int y = 0; y < n; ++y) {
            const int64_t d = side * at.d - 1 + z, h = side * at.h - 1 + y;
            const bool inside = d >= 0 && d < grid.depth && h >= 0 && h < grid.height;
            row[z][y] = inside ? x + (d * grid.height + h) * grid.width : zeros;
        }
    for (int i = 0; i < n * n && at.w == 0; ++i) out.odd[i][0] = 0.0f;
    const int64_t last = at.w + at.count;
    int64_t tile = at.w > 0 ? at.w - 1 : 0;
    for (; tile <= last && 2 * tile < grid.width; tile += Vec::width) {
        Strip<side> strip;
        transform_strip<side>(strip, row, 2 * tile, grid.width - 2 * tile);
        for (int i = 0; i < n * n; ++i) {
            Vec even, odd;
            deinterleave(strip.half[0][i / n][i % n], strip.half[1][i / n][i % n], even, odd);
            store(out.even[i] + tile - at.w + 1, even);
            store(out.odd[i] + tile - at.w + 1, odd);
        }
    }
    for (int i = 0; i < n * n && tile <= last; ++i) out.even[i][tile - at.w + 1] = 0.0f;
}

// panels (points, stride), at one channel's row = the transformed tiles of a block.
template <int side>
void gather(float* panels, int64_t stride, const float* x, const float* zeros, const GridShape& grid,
            const Cells& block) {
    alignas(64) Rows<side> r;
    for (int s = 0; s < block.segments; ++s) {
        const Segment& at = block.segment[s];
        transform_rows<side>(r, x, zeros, grid, at);
        for (int i = 0; i < Rows<side>::count * Rows<side>::count; ++i) {
            float* to = panels + 4 * i * stride + at.start;
            for (int j = 0; j < at.count; j += Vec::width) {
                const Vec d[4] = {load(r.odd[i] + j), load(r.even[i] + j + 1), load(r.odd[i] + j + 1),
                                  load(r.even[i] + j + 2)};
                Vec v[4];
                transform_input(d, v);
                const int lanes = at.count - j < Vec::width ? at.count - j : Vec::width;
                for (int point = 0; point < 4; ++point) {
                    if (lanes == Vec::width) store(to + point * stride + j, v[point]);
                    else store(to + point * stride + j, v[point], lanes);
                }
            }
        }
    }
}

// y (depth, height, width) of one output channel from its row of products (points, stride).
template <int side>
void scatter(float* y, const float* products, int64_t stride, float bias, const GridShape& grid, const Cells& block) {
    constexpr int n = side + 2;
    alignas(64) float pairs[(2 * side * side + 1) * columns];
    for (int vector = 0; vector < block.vectors; ++vector) {
        Vec along_x[2][n][n];  // (x, y, z)
        for (int z = 0; z < n; ++z)
            for (int yy = 0; yy < n; ++yy) {
                const float* m = products + (z * n + yy) * 4 * stride + vector * Vec::width;
                const Vec d[4] = {load(m), load(m + stride), load(m + 2 * stride), load(m + 3 * stride)};
                Vec out[2];
                transform_output(d, out);
                for (int x = 0; x < 2; ++x) along_x[x][yy][z] = out[x];
            }
        for (int x = 0; x < 2; ++x) {
            Vec along_z[side][n];  // (z, y)
            for (int yy = 0; yy < n; ++yy) {
                Vec out[side];
                transform_output(along_x[x][yy], out);
                for (int z = 0; z < side; ++z) along_z[z][yy] = out[z];
            }
            for (int z = 0; z < side; ++z) {
                Vec out[side];
                transform_output(along_z[z], out);
                for (int yy = 0; yy < side; ++yy)
                    store(pairs + (2 * (z * side + yy) + x) * columns + vector * Vec::width, out[yy]);
            }
        }
    }
    store_pairs<side>(y, pairs, columns, bias, grid, block);
}

template <int side>
void pack(const PackArguments& a) {
    const int64_t filled = round_up(a.outputs, rows);
    parallel(a.threads, [&](int thread, int threads) {
        const Range share = split(filled / rows, thread, threads);
        for (int64_t k = share.begin * rows; k < share.end * rows; ++k)
            for (int64_t c = 0; c < a.channels; ++c) {
                double u[points<side>] = {};
                if (k < a.outputs) transform_weights<side>(a.weight + (k * a.channels + c) * 27, u);
                float* to = a.packed + (k / rows * a.channels + c) * rows + k % rows;
                for (int e = 0; e < points<side>; ++e) to[e * filled * a.channels] = static_cast<float>(u[e]);
            }
    });
}

template <int side>
int vectors_that_fit(int64_t channels) {
    const int64_t fit = bytes_of_panels / (points<side> * channels * Vec::width * static_cast<int64_t>(sizeof(float)));
    return fit < 1 ? 1 : fit > vectors ? vectors : static_cast<int>(fit);
}

template <int side>
void convolve(const Arguments& a) {
    const GridShape grid{a.depth, a.height, a.width};
    const GridShape tiles{(a.depth + side - 1) / side, (a.height + side - 1) / side, (a.width + 1) / 2};
    const int most_vectors = side == 2 ? vectors : vectors_that_fit<side>(a.channels);
    const int64_t stride = most_vectors * Vec::width;
    const int64_t filled = round_up(a.outputs, rows), at_once = filled < outputs_at_once ? filled : outputs_at_once;
    // One point's panel is 16 floats longer than its content: a multiple of 4 KiB between points would alias in L1.
    const int64_t in_stride = a.channels * stride + 16, out_stride = at_once * stride + 16;
    const int64_t zero_row = round_up(a.width, 16);
    parallel(a.threads, [&](int thread, int threads) {
        const int64_t floats = points<side> * (in_stride + out_stride) + zero_row;
        float* panels = static_cast<float*>(thread_scratch(floats * sizeof(float) + a.channels * sizeof(float*)));
        float* products = panels + points<side> * in_stride;
        float* zeros = products + points<side> * out_stride;
        const float** channels = reinterpret_cast<const float**>(zeros + zero_row);
        std::memset(zeros, 0, zero_row * sizeof(float));
        for_each_block(a.batch, tiles, most_vectors, thread, threads, [&](int64_t sample, const Cells& block) {
            channel_pointers(channels, a.sources, a.source_count, sample);
            for (int64_t c = 0; c < a.channels; ++c)
                gather<side>(panels + c * stride, in_stride, channels[c], zeros, grid, block);
            for (int64_t first = 0; first < a.outputs; first += at_once) {
                const int64_t last = first + at_once < filled ? first + at_once : filled;
                for (int e = 0; e < points<side>; ++e)
                    for (int64_t k = first; k < last; k += rows)
                        multiply(products + e * out_stride + (k - first) * stride,
                                 a.weights + (e * filled + k) * a.channels, panels + e * in_stride, a.channels, stride,
                                 block.vectors);
                for (int64_t k = first; k < last && k < a.outputs; ++k)
                    scatter<side>(a.y + (sample * a.outputs + k) * grid.size(), products + (k - first) * stride,
                                  out_stride, a.bias ? a.bias[k] : 0.0f, grid, block);
            }
        });
    });
}

void pack_for_tiles(const PackArguments& a) { a.side == 4 ? pack<4>(a) : pack<2>(a); }
void convolve_by_tiles(const Arguments& a) { a.side == 4 ? convolve<4>(a) : convolve<2>(a); }

}  // namespace

constexpr Kernel conv3d_winograd_pack = kernel_of<PackArguments, pack_for_tiles>();
constexpr Kernel conv3d_winograd = kernel_of<Arguments, convolve_by_tiles>();

}  // namespace medssm::MEDSSM_ISA
