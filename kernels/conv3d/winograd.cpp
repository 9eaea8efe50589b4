// 3x3x3 convolution by Winograd's minimal filtering F(2, 3) along each axis (Lavin & Gray 2015, arXiv:1509.09308).
//
// A tile is 2x2x2 outputs, made from 4x4x4 inputs. With the one-dimensional transforms
//     input   B'd = (d0 - d2, d1 + d2, d2 - d1, d1 - d3)
//     weight  G g = (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2)
//     output  A'm = (m0 + m1 + m2, m1 - m2 - m3)
// along each axis, the 64 transformed entries ("points") are independent products over the channels: 64 multiplications
// for 8 outputs, where the definition takes 216. A block of tiles at a time keeps all of it in the second-level cache.
#include "cells.h"

namespace medssm {
namespace MEDSSM_ISA {

namespace {

constexpr int points = 64;
constexpr int64_t outputs_at_once = 32;  // 24 to 64 are alike; all of them no longer fit the cache

struct Arguments {
    float* y;               // (batch, outputs, depth, height, width)
    const Source* sources;  // together (batch, channels, depth, height, width)
    int64_t source_count;
    const float* weights;  // (points, outputs / rows, channels, rows), by conv3d_winograd_pack
    const float* bias;     // (outputs,) or null
    int64_t batch, channels, outputs, depth, height, width, threads;
};

struct PackArguments {
    float* packed;        // (points, outputs / rows, channels, rows), outputs filled up with zeros
    const float* weight;  // (outputs, channels, 3, 3, 3)
    int64_t outputs, channels, threads;
};

// One point's panel is 16 floats longer than its content: a multiple of 4 KiB between points would alias in L1.
int64_t panel_stride(int64_t rows_of_panel) { return rows_of_panel * columns + 16; }

void transform_input(const Vec (&d)[4], Vec (&v)[4]) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
}

void transform_weight(const double* g, int stride, double* u, int out_stride) {
    const double g0 = g[0], g1 = g[stride], g2 = g[2 * stride];
    u[0] = g0;
    u[out_stride] = 0.5 * (g0 + g1 + g2);
    u[2 * out_stride] = 0.5 * (g0 - g1 + g2);
    u[3 * out_stride] = g2;
}

void transform_weights(const float* weight, double (&u)[points]) {
    double g[27], x[36], xy[48];
    for (int i = 0; i < 27; ++i) g[i] = weight[i];
    for (int i = 0; i < 9; ++i) transform_weight(g + 3 * i, 1, x + 4 * i, 1);                              // (3, 3, 4)
    for (int i = 0; i < 12; ++i) transform_weight(x + i / 4 * 12 + i % 4, 4, xy + i / 4 * 16 + i % 4, 4);  // (3, 4, 4)
    for (int i = 0; i < 16; ++i) transform_weight(xy + i, 16, u + i, 16);                                  // (4, 4, 4)
}

// The 16 rows of inputs that a row of tiles reads, transformed along z and y, and split into even and odd columns.
// Entry 0 is the tile before the segment; entry 1 its first tile.
struct Rows {
    static constexpr int length = columns + 3 * Vec::width;
    float even[16][length], odd[16][length];
};

// Transforms along z and y commute with picking columns, so they come first: on raw rows they are half the work.
void transform_rows(Rows& rows_out, const float* x, const float* zeros, const GridShape& grid, const Segment& at) {
    const float* row[4][4];
    for (int z = 0; z < 4; ++z)
        for (int y = 0; y < 4; ++y) {
            const int64_t d = 2 * at.d - 1 + z, h = 2 * at.h - 1 + y;
            const bool inside = d >= 0 && d < grid.depth && h >= 0 && h < grid.height;
            row[z][y] = inside ? x + (d * grid.height + h) * grid.width : zeros;
        }
    static const int first_row[4] = {0, 1, 2, 1}, second_row[4] = {2, 2, 1, 3};
    const int64_t last = at.w + at.count;
    int64_t tile = at.w > 0 ? at.w - 1 : 0;
    for (int i = 0; i < 16 && at.w == 0; ++i) rows_out.odd[i][0] = 0.0f;
    for (; tile <= last && 2 * tile < grid.width; tile += Vec::width) {
        const int64_t column = 2 * tile, to = tile - at.w + 1, left = grid.width - column;
        const int low = static_cast<int>(left < Vec::width ? left : Vec::width);
        const int high = static_cast<int>(left < 2 * Vec::width ? left - low : Vec::width);
        for (int z = 0; z < 4; ++z) {
            Vec a[4], b[4], ta[4], tb[4];
            for (int y = 0; y < 4; ++y) {
                const float* p = row[first_row[z]][y] + column;
                const float* q = row[second_row[z]][y] + column;
                Vec p0, p1, q0, q1;
                if (high == Vec::width) {
                    p0 = load(p), p1 = load(p + Vec::width), q0 = load(q), q1 = load(q + Vec::width);
                } else {
                    p0 = load(p, low), p1 = load(p + low, high), q0 = load(q, low), q1 = load(q + low, high);
                }
                a[y] = z == 1 ? p0 + q0 : p0 - q0;
                b[y] = z == 1 ? p1 + q1 : p1 - q1;
            }
            transform_input(a, ta);
            transform_input(b, tb);
            for (int y = 0; y < 4; ++y) {
                Vec even, odd;
                deinterleave(ta[y], tb[y], even, odd);
                store(rows_out.even[4 * z + y] + to, even);
                store(rows_out.odd[4 * z + y] + to, odd);
            }
        }
    }
    for (int i = 0; i < 16 && tile <= last; ++i) rows_out.even[i][tile - at.w + 1] = 0.0f;
}

// panels (points, stride), at one channel's row = the transformed tiles of a block.
void gather(float* panels, int64_t stride, const float* x, const float* zeros, const GridShape& grid,
            const Cells& block) {
    alignas(64) Rows r;
    for (int s = 0; s < block.segments; ++s) {
        const Segment& at = block.segment[s];
        transform_rows(r, x, zeros, grid, at);
        for (int i = 0; i < 16; ++i) {
            float* to = panels + 4 * i * stride + at.start;
            for (int j = 0; j < at.count; j += Vec::width) {
                const Vec d[4] = {load(r.odd[i] + j), load(r.even[i] + j + 1), load(r.odd[i] + j + 1),
                                  load(r.even[i] + j + 2)};
                Vec v[4];
                transform_input(d, v);
                const int n = at.count - j < Vec::width ? at.count - j : Vec::width;
                for (int x_point = 0; x_point < 4; ++x_point) {
                    if (n == Vec::width) store(to + x_point * stride + j, v[x_point]);
                    else store(to + x_point * stride + j, v[x_point], n);
                }
            }
        }
    }
}

// y (depth, height, width) of one output channel from its row of products (points, stride).
void scatter(float* y, const float* products, int64_t stride, float bias, const GridShape& grid, const Cells& block) {
    alignas(64) float pairs[8 * columns + Vec::width];
    for (int n = 0; n < block.vectors; ++n) {
        Vec sums[4][2];
        for (int x = 0; x < 4; ++x) {
            Vec along_z[2][4];
            for (int yy = 0; yy < 4; ++yy) {
                const float* m = products + (4 * yy + x) * stride + n * Vec::width;
                const Vec m1 = load(m + 16 * stride), m2 = load(m + 32 * stride);
                along_z[0][yy] = load(m) + (m1 + m2);
                along_z[1][yy] = (m1 - m2) - load(m + 48 * stride);
            }
            for (int z = 0; z < 2; ++z) {
                const Vec* m = along_z[z];
                const Vec along_y[2] = {m[0] + (m[1] + m[2]), (m[1] - m[2]) - m[3]};
                for (int yy = 0; yy < 2; ++yy) {
                    Vec* sum = sums[2 * z + yy];
                    if (x == 0) sum[0] = along_y[yy];
                    if (x == 1) sum[0] = sum[0] + along_y[yy], sum[1] = along_y[yy];
                    if (x == 2) sum[0] = sum[0] + along_y[yy], sum[1] = sum[1] - along_y[yy];
                    if (x == 3) sum[1] = sum[1] - along_y[yy];
                }
            }
        }
        for (int zy = 0; zy < 4; ++zy)
            for (int x = 0; x < 2; ++x) store(pairs + (2 * zy + x) * columns + n * Vec::width, sums[zy][x]);
    }
    store_pairs(y, pairs, bias, grid, block);
}

}  // namespace

void conv3d_winograd_pack(const void* arguments) {
    const PackArguments& a = *static_cast<const PackArguments*>(arguments);
    const int64_t filled = round_up(a.outputs, rows);
    parallel(a.threads, [&](int thread, int threads) {
        const Range share = split(filled / rows, thread, threads);
        for (int64_t k = share.begin * rows; k < share.end * rows; ++k)
            for (int64_t c = 0; c < a.channels; ++c) {
                double u[points] = {};
                if (k < a.outputs) transform_weights(a.weight + (k * a.channels + c) * 27, u);
                float* to = a.packed + (k / rows * a.channels + c) * rows + k % rows;
                for (int e = 0; e < points; ++e) to[e * filled * a.channels] = static_cast<float>(u[e]);
            }
    });
}

void conv3d_winograd(const void* arguments) {
    const Arguments& a = *static_cast<const Arguments*>(arguments);
    const GridShape grid{a.depth, a.height, a.width};
    const GridShape tiles{(a.depth + 1) / 2, (a.height + 1) / 2, (a.width + 1) / 2};
    const int64_t filled = round_up(a.outputs, rows), at_once = filled < outputs_at_once ? filled : outputs_at_once;
    const int64_t in_stride = panel_stride(a.channels), out_stride = panel_stride(at_once);
    const int64_t zero_row = round_up(a.width, 16);
    parallel(a.threads, [&](int thread, int threads) {
        const int64_t floats = points * (in_stride + out_stride) + zero_row;
        float* panels = static_cast<float*>(thread_scratch(floats * sizeof(float) + a.channels * sizeof(float*)));
        float* products = panels + points * in_stride;
        float* zeros = products + points * out_stride;
        const float** channels = reinterpret_cast<const float**>(zeros + zero_row);
        std::memset(zeros, 0, zero_row * sizeof(float));
        for_each_block(a.batch, tiles, thread, threads, [&](int64_t sample, const Cells& block) {
            channel_pointers(channels, a.sources, a.source_count, sample);
            for (int64_t c = 0; c < a.channels; ++c)
                gather(panels + c * columns, in_stride, channels[c], zeros, grid, block);
            for (int64_t first = 0; first < a.outputs; first += at_once) {
                const int64_t last = first + at_once < filled ? first + at_once : filled;
                for (int e = 0; e < points; ++e)
                    for (int64_t k = first; k < last; k += rows)
                        multiply(products + e * out_stride + (k - first) * columns,
                                 a.weights + (e * filled + k) * a.channels, panels + e * in_stride, a.channels,
                                 block.vectors);
                for (int64_t k = first; k < last && k < a.outputs; ++k)
                    scatter(a.y + (sample * a.outputs + k) * grid.size(), products + (k - first) * columns, out_stride,
                            a.bias ? a.bias[k] : 0.0f, grid, block);
            }
        });
    });
}

}  // namespace MEDSSM_ISA
}  // namespace medssm
