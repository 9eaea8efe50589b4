// The gradient of the scan over a grid. With a the decays (halves included) and g the gradient of h:
//   g(i,j) = C(i,j) dy(i,j) + a_top(i+1,j) g(i+1,j) + a_left(i,j+1) g(i,j+1)
//   dC = sum over channels of dy h,  dB = sum over channels of x_axis g,  dx_axis = g . B,  x_axis = w step x
//   e = a g h(neighbour),  dA = sum over cells of step e,  dstep = e . A + w x dx_axis
//   dx = D dy + w_top step_top dx_top + w_left step_left dx_left
// Chunks of rows go from the last to the first. From the row of states above it a chunk's decays and states are
// computed again, a few states of all its cells at a time, then g is carried back through it. So memory is that of the
// checkpoints and, for each thread, of a few states of one chunk.
#include "wavefront.h"

namespace medssm::MEDSSM_ISA {

namespace {

// Sums over channels: (slices, batch, length, state), to be added up; starts at the first cell visited.
struct Sums {
    float* data;
    int64_t slice, batch, token;
};

struct GradientAxis {
    Tensor3 dt;      // (batch, dim, length), channels-last: out
    float* dA;       // (batch, dim, state): out, to be summed over the batch
    float* dt_bias;  // (batch, dim): out, the same; or nullptr
    Sums B;          // out
};

struct Arguments {
    GradientAxis top, left;
    Tensor3 dx;                // (batch, dim, length), channels-last: out
    float* dD;                 // (batch, dim): out, to be summed over the batch; or nullptr
    Sums C;                    // out
    const float* checkpoints;  // (batch, chunks, width, state, dim)
    int64_t slices, slice_dim; // a task computes one slice of the channels, of one batch element
    Tensor3 dy;                // (batch, dim, length)
    GridInputs in;
};

constexpr int quad = 4;  // states that are swept together, and whose sums over channels are folded together

// What a sweep reads and writes for each cell of a block, (W,) each, beside each other.
enum Row { step_top, step_left, x_top, x_left, dy, dx_top, dx_left, e_top, e_left, row_count };

// One thread's arrays for a slice of `blocks` blocks.
struct Arrays {
    int32_t *at, *counting;                 // (cells,)
    float *B_top, *B_left, *C;              // (cells, state), where they are not read in place
    float *dt_top, *dt_left, *x, *dy;       // (cells, W), where they are not read in place
    float* rows;                            // (cells, row_count, W)
    float* half;                            // (cells,): log2 of what a cell's decays are scaled by
    float* states;                          // (width + cells, quad, W): of the row above the chunk, and of its cells
    float* decays;                          // (cells, quad, 2, W): of both axes
    float* carried;                         // (blocks, width, state, W): what the row above gets
    float *exponents_top, *exponents_left;  // (blocks, state, W): A * log2(e)
    float *dA_top, *dA_left;                // (blocks, state, W)
    float *dD, *bias_top, *bias_left;       // (blocks, W)

    Arrays(Arena& arena, const GridInputs& in, int64_t blocks) {
        const int64_t cells = chunk_rows * in.width;
        for (int32_t** a : {&at, &counting}) *a = arena.integers(cells);
        for (float** a : {&B_top, &B_left, &C}) *a = arena.floats(cells * in.state);
        for (float** a : {&dt_top, &dt_left, &x, &dy}) *a = arena.floats(cells * W);
        rows = arena.floats(cells * row_count * W);
        half = arena.floats(cells);
        states = arena.floats((in.width + cells) * quad * W);
        decays = arena.floats(cells * quad * 2 * W);
        carried = arena.floats(blocks * in.width * in.state * W);
        for (float** a : {&exponents_top, &exponents_left, &dA_top, &dA_left}) *a = arena.floats(blocks * in.state * W);
        for (float** a : {&dD, &bias_top, &bias_left}) *a = arena.floats(blocks * W);
    }
};

// A chunk of rows of one batch element: what the stages below work on.
struct Stage {
    const Arguments& a;
    const Arrays& s;
    int64_t batch, slice, chunk;
    int64_t first_row;
    int rows;
    Places places;
    Coefficients B_top, B_left, C;

    // Sums over channels for the cells of the chunk.
    float* sums(const Sums& sums) const {
        return sums.data + slice * sums.slice + batch * sums.batch + places.at[0] * sums.token;
    }
};

// The states k0 ... k0 + S - 1 above the chunk, zeros at the top of the grid.
template <int S>
void enter_chunk(const Stage& g, Block block, int64_t k0) {
    const GridInputs& in = g.a.in;
    for (int64_t j = 0; j < in.width; ++j) {
        unroll<S>([&](auto k) MEDSSM_INLINE {
            Vec h = zeros();
            if (g.chunk > 0) {
                const int64_t at = checkpoint_at(in, g.batch, g.chunk - 1, j, block.channel);
                h = load(g.a.checkpoints + at + (k0 + k) * in.dim, block.lanes);
            }
            store(g.s.states + (j * S + k) * W, h);
        });
    }
}

// Decays and states of S states of all cells.
template <int S>
void recompute(const Stage& g, int64_t index, int64_t k0) {
    const int64_t width = g.a.in.width, exponents = (index * g.a.in.state + k0) * W;
    const float *exponents_top = g.s.exponents_top + exponents, *exponents_left = g.s.exponents_left + exponents;
    const float *above = g.s.states, *row = g.s.rows;
    float *states = g.s.states + width * S * W, *decays = g.s.decays;
    Vec h[S];
    int64_t cell = 0;
    for (int i = 0; i < g.rows; ++i) {
        unroll<S>([&](auto k) MEDSSM_INLINE { h[k] = zeros(); });
        for (int64_t j = 0; j < width; ++j, ++cell) {
            const float *B_top = g.B_top[cell] + k0, *B_left = g.B_left[cell] + k0;
            const Vec by_top = load(row + step_top * W), by_left = load(row + step_left * W);
            const Vec in_top = load(row + x_top * W), in_left = load(row + x_left * W);
            const Vec half = broadcast(g.s.half[cell]);
            unroll<S>([&](auto k) MEDSSM_INLINE {
                const Vec top = decay(by_top, exponents_top, k, half), left = decay(by_left, exponents_left, k, half);
                const Vec enters = fma(top, load(above + k * W), in_left * broadcast(B_left[k]));
                h[k] = fma(left, h[k], fma(in_top, broadcast(B_top[k]), enters));
                store(states + k * W, h[k]);
                store(decays + k * 2 * W, top);
                store(decays + k * 2 * W + W, left);
            });
            row += row_count * W, above += S * W, states += S * W, decays += S * 2 * W;
        }
    }
}

template <int S>
MEDSSM_INLINE inline void add_sums(float* out, const Vec (&x)[S]) {
    if constexpr (S == quad) {
        float sums[quad];
        store_quad_sum(sums, fold(x[0], x[1], x[2], x[3]));
        for (int k = 0; k < quad; ++k) out[k] += sums[k];
    } else {
        for (int k = 0; k < S; ++k) out[k] += sum(x[k]);
    }
}

// Carries g back through the chunk for S states, and adds up what each cell and each channel gets.
template <int S>
void carry_back(const Stage& g, int64_t index, int64_t k0) {
    const int64_t state = g.a.in.state, width = g.a.in.width, exponents = (index * state + k0) * W;
    const float *exponents_top = g.s.exponents_top + exponents, *exponents_left = g.s.exponents_left + exponents;
    float *dA_top_sum = g.s.dA_top + exponents, *dA_left_sum = g.s.dA_left + exponents;
    float *dB_top_sum = g.sums(g.a.top.B) + k0, *dB_left_sum = g.sums(g.a.left.B) + k0, *dC_sum = g.sums(g.a.C) + k0;
    Vec dA_top[S], dA_left[S];
    unroll<S>([&](auto k) MEDSSM_INLINE { dA_top[k] = dA_left[k] = zeros(); });
    for (int64_t i = g.rows - 1; i >= 0; --i) {
        Vec from_right[S], h[S];
        const int64_t last = i * width + width - 1;
        unroll<S>([&](auto k) MEDSSM_INLINE {
            from_right[k] = zeros();
            h[k] = load(g.s.states + ((last + width) * S + k) * W);
        });
        for (int64_t j = width - 1; j >= 0; --j) {
            const int64_t cell = i * width + j;
            const float *B_top = g.B_top[cell] + k0, *B_left = g.B_left[cell] + k0, *C = g.C[cell] + k0;
            const float* above = g.s.states + cell * S * W;
            const float* beside = g.s.states + (cell + width - 1) * S * W;
            const float* decays = g.s.decays + cell * S * 2 * W;
            float* carried = g.s.carried + ((index * width + j) * state + k0) * W;
            float* row = g.s.rows + cell * row_count * W;
            const Vec by_top = load(row + step_top * W), by_left = load(row + step_left * W);
            const Vec in_top = load(row + x_top * W), in_left = load(row + x_left * W), out = load(row + dy * W);
            Vec through_top = k0 == 0 ? zeros() : load(row + dx_top * W);
            Vec through_left = k0 == 0 ? zeros() : load(row + dx_left * W);
            Vec slope_top = k0 == 0 ? zeros() : load(row + e_top * W);
            Vec slope_left = k0 == 0 ? zeros() : load(row + e_left * W);
            Vec dB_top[S], dB_left[S], dC[S];
            unroll<S>([&](auto k) MEDSSM_INLINE {
                const Vec dh = fma(broadcast(C[k]), out, load(carried + k * W) + from_right[k]);
                const Vec to_top = dh * load(decays + k * 2 * W);
                dC[k] = out * h[k];
                h[k] = j > 0 ? load(beside + k * W) : zeros();
                from_right[k] = dh * load(decays + k * 2 * W + W);
                store(carried + k * W, to_top);
                dB_top[k] = in_top * dh;
                dB_left[k] = in_left * dh;
                through_top = fma(dh, broadcast(B_top[k]), through_top);
                through_left = fma(dh, broadcast(B_left[k]), through_left);
                const Vec e_top_k = to_top * load(above + k * W), e_left_k = from_right[k] * h[k];
                slope_top = fma(e_top_k, load(exponents_top + k * W), slope_top);
                slope_left = fma(e_left_k, load(exponents_left + k * W), slope_left);
                dA_top[k] = fma(by_top, e_top_k, dA_top[k]);
                dA_left[k] = fma(by_left, e_left_k, dA_left[k]);
            });
            store(row + dx_top * W, through_top);
            store(row + dx_left * W, through_left);
            store(row + e_top * W, slope_top);
            store(row + e_left * W, slope_left);
            add_sums<S>(dB_top_sum + cell * g.a.top.B.token, dB_top);
            add_sums<S>(dB_left_sum + cell * g.a.left.B.token, dB_left);
            add_sums<S>(dC_sum + cell * g.a.C.token, dC);
        }
    }
    unroll<S>([&](auto k) MEDSSM_INLINE {
        store(dA_top_sum + k * W, load(dA_top_sum + k * W) + dA_top[k]);
        store(dA_left_sum + k * W, load(dA_left_sum + k * W) + dA_left[k]);
    });
}

template <int S>
void sweep(const Stage& g, Block block, int64_t index, int64_t k0) {
    enter_chunk<S>(g, block, k0);
    recompute<S>(g, index, k0);
    carry_back<S>(g, index, k0);
}

// The cells of one block, where they lie or copied.
struct BlockRows {
    Rows x, dt_top, dt_left;
};

Weights weights_of(const Stage& g, int row) { return {g.first_row + row > 0, 0}; }

// The steps of both axes, what they let in, and the gradient of the output.
template <typename T>
BlockRows enter_block(const Stage& g, Block block) {
    const GridInputs& in = g.a.in;
    const auto find = [&](float* out, const Tensor3& tensor) {
        return find_rows<T>(out, tensor, g.batch, block, g.places, g.s.counting);
    };
    const BlockRows r{find(g.s.x, in.x), find(g.s.dt_top, in.top.dt), find(g.s.dt_left, in.left.dt)};
    const Rows grad_y = find(g.s.dy, g.a.dy);
    const Vec bias_top = load_channels(in.top.dt_bias, block), bias_left = load_channels(in.left.dt_bias, block);
    for (int t = 0; t < g.places.count; ++t) {
        const Weights weights = weights_of(g, static_cast<int>(t / in.width));
        const int64_t j = t % in.width;
        float* row = g.s.rows + t * row_count * W;
        const Vec top = step_size(r.dt_top[t], bias_top, in.softplus);
        const Vec left = step_size(r.dt_left[t], bias_left, in.softplus);
        store(row + step_top * W, top);
        store(row + step_left * W, left);
        store(row + x_top * W, broadcast(weights.top(j)) * top * r.x[t]);
        store(row + x_left * W, broadcast(weights.left(j)) * left * r.x[t]);
        store(row + dy * W, grad_y[t]);
        g.s.half[t] = weights.exponent(j);
    }
    return r;
}

// Stores the gradients of x and of both dt for a block, and adds to those of D and of both biases.
template <typename T>
void leave_block(const Stage& g, const BlockRows& r, Block block, int64_t index) {
    const GridInputs& in = g.a.in;
    const Vec bias_top = load_channels(in.top.dt_bias, block), bias_left = load_channels(in.left.dt_bias, block);
    const Vec D = load_channels(in.D, block), ln2 = broadcast(ln_2);
    Vec dD = zeros(), dbias_top = zeros(), dbias_left = zeros();
    for (int t = 0; t < g.places.count; ++t) {
        const Weights weights = weights_of(g, static_cast<int>(t / in.width));
        const int64_t j = t % in.width;
        const float* row = g.s.rows + t * row_count * W;
        const Vec x = r.x[t], grad_y = load(row + dy * W);
        const Vec top = broadcast(weights.top(j)) * load(row + dx_top * W);
        const Vec left = broadcast(weights.left(j)) * load(row + dx_left * W);
        const Vec dx = fma(load(row + step_top * W), top, load(row + step_left * W) * left);
        Vec dt_top = fma(load(row + e_top * W), ln2, x * top), dt_left = fma(load(row + e_left * W), ln2, x * left);
        if (in.softplus) {
            dt_top = dt_top * sigmoid(r.dt_top[t] + bias_top);
            dt_left = dt_left * sigmoid(r.dt_left[t] + bias_left);
        }
        const int32_t place = g.places.at[t];
        store_token<T>(g.a.dx, g.batch, block, place, fma(D, grad_y, dx));
        store_token<T>(g.a.top.dt, g.batch, block, place, dt_top);
        store_token<T>(g.a.left.dt, g.batch, block, place, dt_left);
        dD = fma(x, grad_y, dD);
        dbias_top = dbias_top + dt_top;
        dbias_left = dbias_left + dt_left;
    }
    const auto add = [&](float* sums, Vec x) { store(sums + index * W, load(sums + index * W) + x); };
    add(g.s.dD, dD);
    add(g.s.bias_top, dbias_top);
    add(g.s.bias_left, dbias_left);
}

void clear_sums(const Stage& g) {
    const int64_t state = g.a.in.state;
    for (const Sums* sums : {&g.a.top.B, &g.a.left.B, &g.a.C}) {
        for (int t = 0; t < g.places.count; ++t) {
            std::memset(g.sums(*sums) + t * sums->token, 0, sizeof(float) * state);
        }
    }
}

// One chunk of the blocks of a slice.
template <typename T>
void run_chunk(const Arguments& a, const Arrays& s, int64_t batch, int64_t slice, int64_t chunk, Range blocks) {
    const GridInputs& in = a.in;
    const int64_t first_row = chunk * chunk_rows, left = in.height - first_row;
    const int rows = static_cast<int>(left < chunk_rows ? left : chunk_rows);
    const Places places = find_places(s.at, nullptr, first_row * in.width, static_cast<int>(rows * in.width));
    const Stage stage{a, s, batch, slice, chunk, first_row, rows, places,
                      find_coefficients<T>(s.B_top, in.top.B, batch, in.state, places),
                      find_coefficients<T>(s.B_left, in.left.B, batch, in.state, places),
                      find_coefficients<T>(s.C, in.C, batch, in.state, places)};
    clear_sums(stage);
    for (int64_t i = blocks.begin; i < blocks.end; ++i) {
        const Block block = in.block(i);
        const BlockRows r = enter_block<T>(stage, block);
        int64_t k = 0;
        for (; k + quad <= in.state; k += quad) sweep<quad>(stage, block, i - blocks.begin, k);
        for (; k < in.state; ++k) sweep<1>(stage, block, i - blocks.begin, k);
        leave_block<T>(stage, r, block, i - blocks.begin);
    }
}

void store_parameters(const Arguments& a, const Arrays& s, int64_t batch, Block block, int64_t index) {
    const int64_t dim = a.in.dim, state = a.in.state, at = batch * dim + block.channel;
    store_states(a.top.dA + batch * dim * state, s.dA_top + index * state * W, state, block);
    store_states(a.left.dA + batch * dim * state, s.dA_left + index * state * W, state, block);
    if (a.dD != nullptr) store(a.dD + at, load(s.dD + index * W), block.lanes);
    if (a.top.dt_bias != nullptr) store(a.top.dt_bias + at, load(s.bias_top + index * W), block.lanes);
    if (a.left.dt_bias != nullptr) store(a.left.dt_bias + at, load(s.bias_left + index * W), block.lanes);
}

// Blocks [range.begin, range.end) of one batch element over the whole grid.
template <typename T>
void run_slice(const Arguments& a, int64_t batch, int64_t slice, Range range) {
    const GridInputs& in = a.in;
    const int64_t count = range.end - range.begin, states = in.state * W;
    const Arrays s = carve<Arrays>(in, count);
    count_up(s.counting, chunk_rows * in.width);
    for (int64_t i = 0; i < count; ++i) {
        const Block block = in.block(range.begin + i);
        load_states(s.exponents_top + i * states, in.top.A, in.state, block, log2_e);
        load_states(s.exponents_left + i * states, in.left.A, in.state, block, log2_e);
    }
    std::memset(s.carried, 0, sizeof(float) * count * in.width * states);
    for (float* sums : {s.dA_top, s.dA_left}) std::memset(sums, 0, sizeof(float) * count * states);
    for (float* sums : {s.dD, s.bias_top, s.bias_left}) std::memset(sums, 0, sizeof(float) * count * W);

    const int64_t chunks = (in.height + chunk_rows - 1) / chunk_rows;
    for (int64_t chunk = chunks - 1; chunk >= 0; --chunk) run_chunk<T>(a, s, batch, slice, chunk, range);
    for (int64_t i = 0; i < count; ++i) store_parameters(a, s, batch, in.block(range.begin + i), i);
}

template <typename T>
void run(const Arguments& a) {
    share_slices(a.in.threads, a.in.batch, {a.slices, a.slice_dim, a.in.blocks()},
                 [&](int64_t batch, int64_t slice, Range blocks) { run_slice<T>(a, batch, slice, blocks); });
}

}  // namespace

constexpr Kernel wavefront_scan_backward = kernel_of<Arguments, run<float>, run<bf16>>();

}  // namespace medssm::MEDSSM_ISA
