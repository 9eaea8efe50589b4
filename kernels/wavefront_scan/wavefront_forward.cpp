// The scan over a grid, forward (wavefront.h has the equation):  y(i,j) = C(i,j) . h(i,j) + D x(i,j)
#include "wavefront.h"

namespace medssm::MEDSSM_ISA {

namespace {

struct Arguments {
    Tensor3 y;           // (batch, dim, length), channels-last: out
    float* checkpoints;  // (batch, chunks, width, state, dim): out, or nullptr
    GridInputs in;
};

constexpr int segment_cells = 64;  // cells of a row that are loaded, swept and stored together

// One thread's arrays.
struct Arrays {
    int32_t *at, *counting;                // (cells,)
    float *B_top, *B_left, *C;             // (cells, state), where they are not read in place
    float *dt_top, *dt_left, *x;           // (cells, W), where they are not read in place
    float *step_top, *step_left;           // (cells, W)
    float *x_top, *x_left, *y;             // (cells, W)
    float* half;                           // (cells,): log2 of what a cell's decays are scaled by
    float* row;                            // (width, state, W): the states of the row above, then of this one
    float* beside;                         // (state, W): the state to the left of the segment
    float *exponents_top, *exponents_left; // (state, W): A * log2(e)

    Arrays(Arena& arena, const GridInputs& in) {
        for (int32_t** a : {&at, &counting}) *a = arena.integers(segment_cells);
        for (float** a : {&B_top, &B_left, &C}) *a = arena.floats(segment_cells * in.state);
        for (float** a : {&dt_top, &dt_left, &x, &step_top, &step_left, &x_top, &x_left, &y}) {
            *a = arena.floats(segment_cells * W);
        }
        half = arena.floats(segment_cells);
        row = arena.floats(in.width * in.state * W);
        for (float** a : {&beside, &exponents_top, &exponents_left}) *a = arena.floats(in.state * W);
    }
};

// The cells of one row that are swept together.
struct Segment {
    int64_t column;
    Places places;
    Coefficients B_top, B_left, C;
};

// S states of the cells of a segment, from state k0 on; y += C . h. Without a row above only `left` acts.
template <int S, bool has_top>
void sweep(const Arrays& s, const Segment& segment, const Upcoming& upcoming, int64_t k0, int64_t state) {
    const float *exponents_top = s.exponents_top + k0 * W, *exponents_left = s.exponents_left + k0 * W;
    float* h_row = s.row + (segment.column * state + k0) * W;
    Vec h[S];
    unroll<S>([&](auto k) MEDSSM_INLINE { h[k] = load(s.beside + (k0 + k) * W); });
    for (int t = 0; t < segment.places.count; ++t) {
        if (k0 == 0) upcoming.fetch(t);
        const float *B_top = segment.B_top[t] + k0, *B_left = segment.B_left[t] + k0, *C = segment.C[t] + k0;
        const Vec step_top = load(s.step_top + t * W), step_left = load(s.step_left + t * W);
        const Vec x_top = load(s.x_top + t * W), x_left = load(s.x_left + t * W), half = broadcast(s.half[t]);
        Vec y[2] = {k0 == 0 ? zeros() : load(s.y + t * W), zeros()};
        unroll<S>([&](auto k) MEDSSM_INLINE {
            Vec enters = x_left * broadcast(B_left[k]);
            if constexpr (has_top) {
                const Vec top = decay(step_top, exponents_top, k, half);
                enters = fma(x_top, broadcast(B_top[k]), fma(top, load(h_row + k * W), enters));
            }
            h[k] = fma(decay(step_left, exponents_left, k, half), h[k], enters);
            store(h_row + k * W, h[k]);
            y[k % 2] = fma(broadcast(C[k]), h[k], y[k % 2]);
        });
        store(s.y + t * W, y[0] + y[1]);
        h_row += state * W;
    }
    unroll<S>([&](auto k) MEDSSM_INLINE { store(s.beside + (k0 + k) * W, h[k]); });
}

// All states of a segment, as many at a time as the registers hold.
template <bool has_top>
void sweep_states(const Arrays& s, const Segment& segment, const Upcoming& upcoming, int64_t state) {
    int64_t k = 0;
    if constexpr (state_registers >= 16) {
        for (; k + 16 <= state; k += 16) sweep<16, has_top>(s, segment, upcoming, k, state);
    }
    for (; k + 8 <= state; k += 8) sweep<8, has_top>(s, segment, upcoming, k, state);
    for (; k + 4 <= state; k += 4) sweep<4, has_top>(s, segment, upcoming, k, state);
    for (; k < state; ++k) sweep<1, has_top>(s, segment, upcoming, k, state);
}

// The steps of both axes, and what they let in.
template <typename T>
Rows enter(const Arguments& a, const Arrays& s, int64_t batch, Block block, Places places, Weights weights) {
    const GridInputs& in = a.in;
    const Rows x = find_rows<T>(s.x, in.x, batch, block, places, s.counting);
    const Rows dt_top = find_rows<T>(s.dt_top, in.top.dt, batch, block, places, s.counting);
    const Rows dt_left = find_rows<T>(s.dt_left, in.left.dt, batch, block, places, s.counting);
    const Vec bias_top = load_channels(in.top.dt_bias, block), bias_left = load_channels(in.left.dt_bias, block);
    for (int t = 0; t < places.count; ++t) {
        const Vec top = step_size(dt_top[t], bias_top, in.softplus);
        const Vec left = step_size(dt_left[t], bias_left, in.softplus);
        store(s.step_top + t * W, top);
        store(s.step_left + t * W, left);
        store(s.x_top + t * W, broadcast(weights.top(t)) * top * x[t]);
        store(s.x_left + t * W, broadcast(weights.left(t)) * left * x[t]);
        s.half[t] = weights.exponent(t);
    }
    return x;
}

// `count` cells of row `i` from `column` on, for one block.
template <typename T>
void run_segment(const Arguments& a, const Arrays& s, int64_t batch, Block block, int64_t i, Range columns) {
    const GridInputs& in = a.in;
    const int count = static_cast<int>(columns.end - columns.begin);
    const Places places = find_places(s.at, nullptr, i * in.width + columns.begin, count);
    const Rows x = enter<T>(a, s, batch, block, places, {i > 0, columns.begin});
    const Segment segment{columns.begin, places,
                          find_coefficients<T>(s.B_top, in.top.B, batch, in.state, places),
                          find_coefficients<T>(s.B_left, in.left.B, batch, in.state, places),
                          find_coefficients<T>(s.C, in.C, batch, in.state, places)};
    Upcoming upcoming{places.at};
    upcoming.add<T>(a.y, batch, block.channel);
    for (const Tensor3* tensor : {&in.x, &in.top.dt, &in.left.dt}) {
        Tensor3 next = *tensor;
        next.data = const_cast<T*>(static_cast<const T*>(next.data) + count * next.token);
        upcoming.add<T>(next, batch, block.channel);
    }
    if (i > 0) {
        sweep_states<true>(s, segment, upcoming, in.state);
    } else {
        sweep_states<false>(s, segment, upcoming, in.state);
    }
    const Vec D = load_channels(in.D, block);
    for (int t = 0; t < count; ++t) {
        store_token<T>(a.y, batch, block, places.at[t], fma(D, x[t], load(s.y + t * W)));
    }
}

void store_checkpoint(const Arguments& a, const Arrays& s, int64_t batch, int64_t chunk, Block block) {
    const GridInputs& in = a.in;
    for (int64_t j = 0; j < in.width; ++j) {
        float* out = a.checkpoints + checkpoint_at(in, batch, chunk, j, block.channel);
        const float* states = s.row + j * in.state * W;
        for (int64_t k = 0; k < in.state; ++k) store(out + k * in.dim, load(states + k * W), block.lanes);
    }
}

template <typename T>
void run_block(const Arguments& a, const Arrays& s, int64_t batch, Block block) {
    const GridInputs& in = a.in;
    load_states(s.exponents_top, in.top.A, in.state, block, log2_e);
    load_states(s.exponents_left, in.left.A, in.state, block, log2_e);
    const int segments = static_cast<int>((in.width + segment_cells - 1) / segment_cells);
    for (int64_t i = 0; i < in.height; ++i) {
        if (a.checkpoints != nullptr && i > 0 && i % chunk_rows == 0) {
            store_checkpoint(a, s, batch, i / chunk_rows - 1, block);
        }
        std::memset(s.beside, 0, sizeof(float) * in.state * W);
        for (int n = 0; n < segments; ++n) run_segment<T>(a, s, batch, block, i, split(in.width, n, segments));
    }
}

// Each thread takes a run of the (batch, block) pairs. Channels never meet in the forward pass, so that the result does
// not depend on the split.
template <typename T>
void run(const Arguments& a) {
    const int64_t blocks = a.in.blocks();
    parallel(a.in.threads, [&](int thread, int threads) {
        const Range pairs = split(a.in.batch * blocks, thread, threads);
        const Arrays arrays = carve<Arrays>(a.in);
        count_up(arrays.counting, segment_cells);
        for (int64_t pair = pairs.begin; pair < pairs.end; ++pair) {
            run_block<T>(a, arrays, pair / blocks, a.in.block(pair % blocks));
        }
    });
}

}  // namespace

constexpr Kernel wavefront_scan_forward = kernel_of<Arguments, run<float>, run<bf16>>();

}  // namespace medssm::MEDSSM_ISA
