// The fusion of states, backward:
//   dh[r, c] = sum over the taps of weight * the sum of grad[i, j] with clamp(i + dy) = r, clamp(j + dx) = c
//   dweight  = sum over batch and tokens of grad[i, j] * h[clamp(i + dy), clamp(j + dx)]
//
// A token inside the grid gathers one gradient a tap, grad[r - dy, c - dx], or 0 from outside. What was clamped reaches
// only the border: the first and last token of a row gather sums of gradients along it, kept beside the row, and the
// first and last row gather sums of rows.
#include "fusion.h"

namespace medssm::MEDSSM_ISA {

namespace {

struct Arguments {
    Tensor3 dh;       // (batch, dim, length), channels-last: out
    float* dweights;  // (batch, dilations, dim, 3, 3): out, to be summed
    Tensor3 grad;     // (batch, dim, length)
    FusionInputs in;
};

// The last rows of the gradient between margins of zeros, each followed by what its first token and its last gather at
// every offset along the width.
struct GatheredRows {
    float* rows;    // (window, width + 2 * reach + 2 * offsets, W)
    float* summed;  // (offsets, width + 2 * reach + 2 * offsets, W): sums of rows, for a border row
    float* zero;    // a row of zeros
    int32_t* at;    // (width,)
    int64_t loaded;

    GatheredRows(Arena& arena, const FusionInputs& in)
        : rows(arena.floats(in.window() * floats(in))),
          summed(arena.floats(in.offsets * floats(in))),
          zero(arena.floats(floats(in))),
          at(arena.integers(in.width)),
          loaded(0) {}

    static int64_t floats(const FusionInputs& in) { return in.row_floats() + 2 * in.offsets * W; }
    static float* first_token(float* row, const FusionInputs& in) { return row + in.row_floats(); }
    static float* last_token(float* row, const FusionInputs& in) { return first_token(row, in) + in.offsets * W; }
    float* row(const FusionInputs& in, int64_t i) const { return rows + i % in.window() * floats(in); }

    // Rows up to the one that row i reaches.
    template <typename T>
    void load_until(const FusionInputs& in, const Tensor3& grad, int64_t batch, Block block, int64_t i) {
        for (; loaded <= in.clamp_row(i + in.reach); ++loaded) {
            float* out = row(in, loaded);
            float* cells = out + in.reach * W;
            load_grid_row<T>(cells, at, in, grad, batch, block, loaded);
            std::memset(out, 0, sizeof(float) * in.reach * W);
            std::memset(cells + in.width * W, 0, sizeof(float) * in.reach * W);
            sum_cells(first_token(out, in), cells, in, 0);
            sum_cells(last_token(out, in), cells, in, in.width - 1);
        }
    }

    // out (offsets, W): at each offset dx the sum of the cells j with clamp(j + dx) = c, the first or last of a row.
    static void sum_cells(float* out, const float* cells, const FusionInputs& in, int64_t c) {
        const int64_t middle = in.offsets / 2, outwards = c == 0 ? -1 : 1;
        Vec total = load(cells + c * W);
        for (int64_t o = 0; o < in.offsets; ++o) store(out + o * W, in.width == 1 ? total : zeros());
        store(out + middle * W, total);
        int64_t distance = 1;
        for (int64_t o = middle + outwards; o >= 0 && o < in.offsets; o += outwards) {
            for (; distance < in.width && distance <= outwards * in.offset[o]; ++distance) {
                total = total + load(cells + (c - outwards * distance) * W);
            }
            store(out + o * W, total);
        }
    }

    // out (offsets,): the row that row r gathers at every offset dy.
    void find(float** out, const FusionInputs& in, int64_t r) const {
        if (r == 0 || r == in.height - 1) return sum_rows(out, in, r);
        for (int64_t o = 0; o < in.offsets; ++o) {
            const int64_t i = r - in.offset[o];
            out[o] = i >= 0 && i < in.height ? row(in, i) : zero;
        }
    }

    // The same for the first or last row: the sum of the rows i with clamp(i + dy) = r.
    void sum_rows(float** out, const FusionInputs& in, int64_t r) const {
        const int64_t middle = in.offsets / 2, outwards = r == 0 ? -1 : 1;
        float* total = row(in, r);
        for (int64_t o = 0; o < in.offsets; ++o) out[o] = in.height == 1 ? total : zero;
        out[middle] = total;
        int64_t distance = 1;
        for (int64_t o = middle + outwards; o >= 0 && o < in.offsets; o += outwards) {
            for (; distance < in.height && distance <= outwards * in.offset[o]; ++distance) {
                const float* next = row(in, r - outwards * distance);
                float* sum = summed + o * floats(in);
                for (int64_t x = 0; x < floats(in); x += W) store(sum + x, load(total + x) + load(next + x));
                total = sum;
            }
            out[o] = total;
        }
    }
};

// One thread's arrays.
struct Arrays {
    RepeatedRows h;
    GatheredRows grad;
    float *taps, *dtaps;                                // (taps, W)
    const float **places, **first_token, **last_token;  // (taps,)
    float** gathered;                                   // (offsets,)

    Arrays(Arena& arena, const FusionInputs& in) : h(arena, in), grad(arena, in) {
        for (float** a : {&taps, &dtaps}) *a = arena.floats(in.taps * W);
        for (const float*** a : {&places, &first_token, &last_token}) *a = arena.pointers(in.taps);
        gathered = const_cast<float**>(arena.pointers(in.offsets));
    }
};

template <typename T>
void gather_row(const Arguments& a, const Arrays& s, int64_t batch, Block block, int64_t r) {
    const FusionInputs& in = a.in;
    s.grad.find(s.gathered, in, r);
    for (int64_t k = 0; k < in.taps; ++k) {
        float* row = s.gathered[in.tap[2 * k]];
        s.places[k] = row + (in.reach - in.dx(k)) * W;
        s.first_token[k] = GatheredRows::first_token(row, in) + in.tap[2 * k + 1] * W;
        s.last_token[k] = GatheredRows::last_token(row, in) + in.tap[2 * k + 1] * W;
    }
    const int64_t first = r * in.width, last = first + in.width - 1;
    weigh_row<T>(a.dh, in, batch, block, s.taps, s.first_token, first, 0, 1);
    weigh_row<T>(a.dh, in, batch, block, s.taps, s.places, first, 1, in.width - 1);
    if (last > first) weigh_row<T>(a.dh, in, batch, block, s.taps, s.last_token, last, 0, 1);
}

// dtaps[k] += the sum over a row of grad times h at tap k, for K taps from `first` on. Two sums a tap hide the latency.
template <int K>
void correlate(float* dtaps, const float* const* places, const float* grad, int64_t first, int64_t width) {
    Vec even[K], odd[K];
    unroll<K>([&](auto k) MEDSSM_INLINE {
        even[k] = load(dtaps + (first + k) * W);
        odd[k] = zeros();
    });
    int64_t j = 0;
    for (; j + 2 <= width; j += 2) {
        const Vec g = load(grad + j * W), next = load(grad + (j + 1) * W);
        unroll<K>([&](auto k) MEDSSM_INLINE {
            const float* cells = places[first + k] + j * W;
            even[k] = fma(g, load(cells), even[k]);
            odd[k] = fma(next, load(cells + W), odd[k]);
        });
    }
    if (j < width) {
        const Vec g = load(grad + j * W);
        unroll<K>([&](auto k) MEDSSM_INLINE { even[k] = fma(g, load(places[first + k] + j * W), even[k]); });
    }
    unroll<K>([&](auto k) MEDSSM_INLINE { store(dtaps + (first + k) * W, even[k] + odd[k]); });
}

void correlate_row(const Arguments& a, const Arrays& s, int64_t i) {
    constexpr int together = 5;
    const float* grad = s.grad.row(a.in, i) + a.in.reach * W;
    s.h.find_taps(s.places, a.in, i);
    int64_t k = 0;
    for (; k + together <= a.in.taps; k += together) correlate<together>(s.dtaps, s.places, grad, k, a.in.width);
    for (; k < a.in.taps; ++k) correlate<1>(s.dtaps, s.places, grad, k, a.in.width);
}

void store_dweights(const Arguments& a, const float* dtaps, int64_t batch, Block block) {
    for (int64_t k = 0; k < a.in.dilations; ++k) {
        for (int c = 0; c < block.lanes; ++c) {
            float* out = a.dweights + ((batch * a.in.dilations + k) * a.in.dim + block.channel + c) * 9;
            for (int i = 0; i < 9; ++i) out[i] = dtaps[a.in.tap_of[k * 9 + i] * W + c];
        }
    }
}

// One block of one batch element.
template <typename T>
void run_block(const Arguments& a, Arrays& s, int64_t batch, Block block) {
    s.h.loaded = s.grad.loaded = 0;
    std::memset(s.grad.zero, 0, sizeof(float) * GatheredRows::floats(a.in));
    std::memset(s.dtaps, 0, sizeof(float) * a.in.taps * W);
    for (int64_t i = 0; i < a.in.height; ++i) {
        s.h.load_until<T>(a.in, batch, block, i);
        s.grad.load_until<T>(a.in, a.grad, batch, block, i);
        gather_row<T>(a, s, batch, block, i);
        correlate_row(a, s, i);
    }
    store_dweights(a, s.dtaps, batch, block);
}

template <typename T>
void run(const Arguments& a) {
    share_pairs<Arrays>(a.in, [&](Arrays& s, int64_t batch, Block block) { run_block<T>(a, s, batch, block); });
}

}  // namespace

constexpr Kernel state_fusion_backward = kernel_of<Arguments, run<float>, run<bf16>>();

}  // namespace medssm::MEDSSM_ISA
