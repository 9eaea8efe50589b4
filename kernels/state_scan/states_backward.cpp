// The scan of states, backward, from the states it gave: chunks in reverse, dh carried from token to token,
//   dh[t] = grad[t] + exp(delta[t+1] A) dh[t+1]
//   dx = sum_k dh_k B_k,   dB_k = sum over the channels of dh_k x,   with x = delta u
//   e_k = dh_k exp(delta A_k) h_k[t-1],   dA_k += e_k delta
//   du = dx delta,   ddelta = sum_k e_k A_k + dx u
#include "states.h"

namespace medssm::MEDSSM_ISA {

namespace {

struct Arguments {
    Tensor3 du, ddt;       // (batch, dim, length), channels-last: out
    float *dA, *ddt_bias;  // (batch, dim, state), (batch, dim): out, to be summed; ddt_bias may be nullptr
    float* dB;             // (slices, batch, length, state): out, to be summed
    int64_t slices, slice_dim;
    StatePath grad_h, h;
    StateInputs in;
};

// Blocks of channels swept together: 1.5 ns a state update where tensors exceed the cache, against 1.9 with 1, 3.1 with 4.
constexpr int side_by_side = 2;

// One task's arrays for a slice of `blocks` blocks.
struct Arrays {
    int32_t *at, *before, *counting;  // (tokens,): places, those of the tokens before, 0, 1, 2, ...
    float* B;                         // (tokens, state)
    float *dt, *u, *grad, *h;         // (side_by_side, tokens, W), where they are not read in place
    float *delta, *slope, *dx, *e;    // (side_by_side, tokens, W): what several states share
    float* dB;                        // (tokens, state, W): sums over the blocks
    float *dh, *dA, *exponent;        // (blocks, state, W)
    float* ddt_bias;                  // (blocks, W)

    Arrays(Arena& arena, const StateInputs& in, int64_t blocks) {
        for (int32_t** a : {&at, &before, &counting}) *a = arena.integers(chunk_tokens);
        B = arena.floats(chunk_tokens * in.state);
        for (float** a : {&dt, &u, &grad, &h, &delta, &slope, &dx, &e}) *a = arena.floats(side_by_side * chunk_tokens * W);
        dB = arena.floats(chunk_tokens * in.state * W);
        for (float** a : {&dh, &dA, &exponent}) *a = arena.floats(blocks * in.state * W);
        ddt_bias = arena.floats(blocks * W);
    }
};

// One chunk of one slice.
struct Stage {
    const Arguments& a;
    const Arrays& s;
    int64_t batch, first;  // the chunk's first token
    Places places, before;
};

// The tokens of Q neighbouring blocks; `at` is their place in the slice.
template <int Q>
struct Group {
    Block blocks[Q];
    Rows u[Q], dt[Q], grad[Q], h[Q];
    Vec bias[Q];
    int64_t at;
};

// The step of a token and its derivative by dt.
using Step = Softplus;
MEDSSM_INLINE inline Step find_step(Vec dt, bool with_softplus) {
    return with_softplus ? softplus_and_slope(dt) : Step{dt, broadcast(1.0f)};
}
MEDSSM_INLINE inline Step load_step(const Arrays& s, int64_t row) { return {load(s.delta + row), load(s.slope + row)}; }
MEDSSM_INLINE inline void store_step(const Arrays& s, int64_t row, Step step) {
    store(s.delta + row, step.value);
    store(s.slope + row, step.slope);
}

// State k of Q blocks back through a chunk. The first state works out the steps; the last, knowing dx and the sum of
// e A, the gradients of u and dt.
template <typename T, int Q, bool first, bool last>
void sweep(const Stage& g, const Group<Q>& group, int64_t k) {
    const Arrays& s = g.s;
    const StateInputs& in = g.a.in;
    const bool with_softplus = in.softplus;
    const int64_t states = in.state * W, own = group.at * states + k * W;
    Vec dh[Q], dA[Q], exponent[Q], ddt_bias[Q];
    unroll<Q>([&](auto q) MEDSSM_INLINE {
        dh[q] = load(s.dh + own + q * states);
        dA[q] = load(s.dA + own + q * states);
        exponent[q] = load(s.exponent + own + q * states);
        ddt_bias[q] = load(s.ddt_bias + (group.at + q) * W);
    });
    for (int t = g.places.count - 1; t >= 0; --t) {
        const Vec B_t = broadcast(s.B[t * in.state + k]);
        float* dB_row = s.dB + (t * in.state + k) * W;
        Vec dB = load(dB_row);
        unroll<Q>([&](auto q) MEDSSM_INLINE {
            const int64_t row = (q * chunk_tokens + t) * W;
            const Step step = first ? find_step(group.dt[q][t] + group.bias[q], with_softplus) : load_step(s, row);
            const Vec delta = step.value, u = group.u[q][t];
            const Vec h_before = g.first + t == 0 ? zeros() : group.h[q][t];
            dh[q] = dh[q] + group.grad[q][t];
            dB = fma(dh[q], delta * u, dB);
            const Vec dx = first ? dh[q] * B_t : fma(dh[q], B_t, load(s.dx + row));
            dh[q] = dh[q] * exp2(delta * exponent[q]);
            const Vec e = dh[q] * h_before;
            const Vec e_A = first ? e * exponent[q] : fma(e, exponent[q], load(s.e + row));
            dA[q] = fma(delta, e, dA[q]);
            if constexpr (first && !last) store_step(s, row, step);
            if constexpr (last) {
                const Vec ddt = fma(e_A, broadcast(ln_2), u * dx) * step.slope;
                ddt_bias[q] = ddt_bias[q] + ddt;
                store_token<T>(g.a.du, g.batch, group.blocks[q], g.places.at[t], dx * delta);
                store_token<T>(g.a.ddt, g.batch, group.blocks[q], g.places.at[t], ddt);
            } else {
                store(s.dx + row, dx);
                store(s.e + row, e_A);
            }
        });
        store(dB_row, dB);
    }
    unroll<Q>([&](auto q) MEDSSM_INLINE {
        store(s.dh + own + q * states, dh[q]);
        store(s.dA + own + q * states, dA[q]);
        if constexpr (last) store(s.ddt_bias + (group.at + q) * W, ddt_bias[q]);
    });
}

// Q blocks of a chunk, from block `index` of all on; `at` is their place in the slice.
template <typename T, int Q>
void run_group(const Stage& g, int64_t at, int64_t index) {
    const StateInputs& in = g.a.in;
    Group<Q> group;
    group.at = at;
    for (int q = 0; q < Q; ++q) {
        const Block block = group.blocks[q] = in.block(index + q);
        const int64_t scratch = q * chunk_tokens * W;
        group.u[q] = find_rows<T>(g.s.u + scratch, in.u, g.batch, block, g.places, g.s.counting);
        group.dt[q] = find_rows<T>(g.s.dt + scratch, in.dt, g.batch, block, g.places, g.s.counting);
        group.bias[q] = load_channels(in.dt_bias, block);
    }
    for (int64_t k = 0; k < in.state; ++k) {
        for (int q = 0; q < Q; ++q) {
            const int64_t scratch = q * chunk_tokens * W;
            const auto find = [&](float* out, const StatePath& path, Places places) {
                return find_rows<T>(out + scratch, path.of<T>(k), g.batch, group.blocks[q], places, g.s.counting);
            };
            group.grad[q] = find(g.s.grad, g.a.grad_h, g.places);
            group.h[q] = find(g.s.h, g.a.h, g.before);
        }
        if (in.state == 1) {
            sweep<T, Q, true, true>(g, group, k);
        } else if (k == 0) {
            sweep<T, Q, true, false>(g, group, k);
        } else if (k + 1 < in.state) {
            sweep<T, Q, false, false>(g, group, k);
        } else {
            sweep<T, Q, false, true>(g, group, k);
        }
    }
}

// The places of the tokens before those from `first` on; of the very first, which has none, its own.
Places find_before(int32_t* at, int64_t first, int count) {
    for (int i = 0; i < count; ++i) at[i] = static_cast<int32_t>(first + i > 0 ? first + i - 1 : 0);
    return {at, count, first > 0};
}

// out (rows,) = the sums over the lanes of rows (rows, W).
void sum_lanes(float* out, const float* rows, int64_t count) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        const float* row = rows + i * W;
        store_quad_sum(out + i, fold(load(row), load(row + W), load(row + 2 * W), load(row + 3 * W)));
    }
    for (; i < count; ++i) out[i] = sum(load(rows + i * W));
}

// Blocks [range.begin, range.end) of one batch element over the whole sequence.
template <typename T>
void run_slice(const Arguments& a, int64_t batch, int64_t slice, Range range) {
    const StateInputs& in = a.in;
    const int64_t count = range.end - range.begin, states = in.state * W;
    const Arrays s = carve<Arrays>(in, count);
    count_up(s.counting, chunk_tokens);
    for (int64_t i = 0; i < count; ++i) {
        load_states(s.exponent + i * states, in.A, in.state, in.block(range.begin + i), log2_e);
    }
    for (float* sums : {s.dh, s.dA}) std::memset(sums, 0, sizeof(float) * count * states);
    std::memset(s.ddt_bias, 0, sizeof(float) * count * W);

    for (int64_t chunk = in.chunks() - 1; chunk >= 0; --chunk) {
        const int64_t first = chunk * chunk_tokens, left = in.length - first;
        const int tokens = static_cast<int>(left < chunk_tokens ? left : chunk_tokens);
        const Places places = find_places(s.at, nullptr, first, tokens);
        const Stage stage{a, s, batch, first, places, find_before(s.before, first, tokens)};
        load_group<T>(s.B, in.B, batch, 0, in.state, places);
        std::memset(s.dB, 0, sizeof(float) * tokens * states);
        int64_t i = 0;
        for (; i + side_by_side <= count; i += side_by_side) {
            run_group<T, side_by_side>(stage, i, range.begin + i);
        }
        for (; i < count; ++i) run_group<T, 1>(stage, i, range.begin + i);
        sum_lanes(a.dB + ((slice * in.batch + batch) * in.length + first) * in.state, s.dB, tokens * in.state);
    }
    for (int64_t i = 0; i < count; ++i) {
        const Block block = in.block(range.begin + i);
        store_states(a.dA + batch * in.dim * in.state, s.dA + i * states, in.state, block);
        if (a.ddt_bias == nullptr) continue;
        store(a.ddt_bias + batch * in.dim + block.channel, load(s.ddt_bias + i * W), block.lanes);
    }
}

template <typename T>
void run(const Arguments& a) {
    share_slices(a.in.threads, a.in.batch, {a.slices, a.slice_dim, a.in.blocks()},
                 [&](int64_t batch, int64_t slice, Range blocks) { run_slice<T>(a, batch, slice, blocks); });
}

}  // namespace

constexpr Kernel state_scan_backward = kernel_of<Arguments, run<float>, run<bf16>>();

}  // namespace medssm::MEDSSM_ISA
