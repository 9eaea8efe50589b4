// The gradient of the selective scan. With s = C . h + D u, y = s silu(z), and dh the gradient of h:
//   ds = dy silu(z),  dz = dy s silu'(z),  dh[t] = C[t] ds[t] + a[t+1] dh[t+1],  a[t] = exp(delta[t] A)
//   dC[t] = sum over channels of ds h[t],  dB[t] = sum over channels of dh delta u,  dx = dh . B,  x = delta u
//   e[t] = dh[t] a[t] h[t-1],  dA = sum over tokens of delta e,  ddelta = e . A + u dx,  du = delta dx + D ds
// Chunks go from the last to the first. From the state that entered it a chunk's decays and states are computed again
// into a buffer, then dh is carried back through it.
#include "scan.h"

namespace medssm {
namespace MEDSSM_ISA {

namespace {

struct Arguments {
    Tensor3 du, ddt, dz;     // (batch, dim, length), channels-last: out; dz may be absent
    float* dA;               // (batch, dim, state): out, to be summed over the batch
    float* dD;               // (batch, dim): out, the same; or nullptr
    float* ddt_bias;         // (batch, dim): out, the same; or nullptr
    float *dB, *dC;          // (slices, batch, groups, length, state): out, to be summed over the slices
    const float* checkpoints;      // (batch, chunks, state, dim)
    const float* grad_last_state;  // (batch, dim, state) or nullptr
    int64_t slices, slice_dim;     // a task computes one slice of a group's channels, of one batch element
    Tensor3 dy;                    // (batch, dim, length)
    ScanInputs in;
};

constexpr int quad = 4;  // states that are swept together, and whose sums over channels are folded together

// How many blocks of channels are swept side by side: their sums over channels share one fold.
constexpr int side_by_side = state_registers >= 16 ? 2 : 1;

// One thread's arrays for a slice of `blocks` blocks.
struct Arrays {
    int32_t* at;                       // (tokens,)
    float *B, *C;                      // (tokens, state), or (tokens, state, W) per lane
    float *dB, *dC;                    // (tokens, state/4 + 1, W) folded sums; or (tokens, state, W) per lane
    float *decay, *h;                  // (tokens + 1, 4 states, side_by_side, W)
    struct Rows {                      // (tokens, W) each
        float *delta, *raw, *u, *x, *z, *dy, *ds, *y, *dx, *e;
    } rows[side_by_side];
    float *exponent, *dh, *dA;         // (blocks, state, W): A * log2(e), the carried gradient, the sum
    float *dD, *ddt_bias;              // (blocks, W)

    Arrays(Arena& arena, const ScanInputs& in, int64_t blocks) {
        const int64_t per_token = in.state * (in.is_per_lane() ? W : 1);
        const int64_t sums = in.is_per_lane() ? in.state * W : (in.state / quad + in.state % quad) * W;
        at = arena.integers(chunk_tokens);
        for (float** a : {&B, &C}) *a = arena.floats(chunk_tokens * per_token);
        for (float** a : {&dB, &dC}) *a = arena.floats(chunk_tokens * sums);
        for (float** a : {&decay, &h}) *a = arena.floats((chunk_tokens + 1) * quad * side_by_side * W);
        for (Rows& r : rows) {
            for (float** a : {&r.delta, &r.raw, &r.u, &r.x, &r.z, &r.dy, &r.ds, &r.y, &r.dx, &r.e}) {
                *a = arena.floats(chunk_tokens * W);
            }
        }
        for (float** a : {&exponent, &dh, &dA}) *a = arena.floats(blocks * in.state * W);
        for (float** a : {&dD, &ddt_bias}) *a = arena.floats(blocks * W);
    }
};

// A chunk of some blocks of one batch element: what the stages below work on.
struct Stage {
    const Arguments& a;
    const Arrays& s;
    int64_t batch, chunk;
    Places places;
};

// Decays and states of S states of Q blocks, from k0 on, into the buffers; y[t] += C[t] . h[t] where it is needed.
template <int S, int Q, bool per_lane>
void recompute(const Stage& g, const Block* blocks, int64_t first, int64_t k0) {
    const ScanInputs& in = g.a.in;
    const int64_t per_token = in.state * (per_lane ? W : 1);
    const bool with_gate = in.z.data != nullptr;
    Vec h[Q][S];
    const float* exponent = g.s.exponent + (first * in.state + k0) * W;
    const float* entering = g.a.checkpoints + ((g.batch * in.chunks() + g.chunk) * in.state + k0) * in.dim;
    unroll<Q>([&](auto q) MEDSSM_INLINE {
        unroll<S>([&](auto k) MEDSSM_INLINE {
            h[q][k] = load(entering + k * in.dim + blocks[q].channel, blocks[q].lanes);
            store(g.s.h + (q * S + k) * W, h[q][k]);
        });
    });
    for (int t = 0; t < g.places.count; ++t) {
        const float* B = g.s.B + t * per_token;
        const float* C = g.s.C + t * per_token;
        float* decays = g.s.decay + t * (Q * S * W);
        float* states = g.s.h + (t + 1) * (Q * S * W);
        unroll<Q>([&](auto q) MEDSSM_INLINE {
            const Arrays::Rows& r = g.s.rows[q];
            const Vec delta = load(r.delta + t * W), x = load(r.x + t * W);
            Vec y = k0 == 0 ? zeros() : load(r.y + t * W);
            unroll<S>([&](auto k) MEDSSM_INLINE {
                const Vec decay = exp2(delta * load(exponent + (q * in.state + k) * W));
                h[q][k] = fma(decay, h[q][k], x * coefficient<per_lane>(B, k0 + k));
                store(decays + (q * S + k) * W, decay);
                store(states + (q * S + k) * W, h[q][k]);
                if (with_gate) y = fma(coefficient<per_lane>(C, k0 + k), h[q][k], y);
            });
            if (with_gate) store(r.y + t * W, y);
        });
    }
}

// Carries dh back through the chunk for S states of Q blocks, and adds up what each token and each channel gets.
template <int S, int Q, bool per_lane>
void carry_back(const Stage& g, int64_t first, int64_t k0, float* dB_out, float* dC_out, int64_t sums_per_token) {
    const ScanInputs& in = g.a.in;
    const int64_t per_token = in.state * (per_lane ? W : 1);
    const float* exponent = g.s.exponent + (first * in.state + k0) * W;
    float* dh_carried = g.s.dh + (first * in.state + k0) * W;
    float* dA_sum = g.s.dA + (first * in.state + k0) * W;
    Vec dh[Q][S], dA[Q][S];
    unroll<Q>([&](auto q) MEDSSM_INLINE {
        unroll<S>([&](auto k) MEDSSM_INLINE {
            dh[q][k] = load(dh_carried + (q * in.state + k) * W);
            dA[q][k] = zeros();
        });
    });
    for (int t = g.places.count - 1; t >= 0; --t) {
        const float* B = g.s.B + t * per_token;
        const float* C = g.s.C + t * per_token;
        const float* decays = g.s.decay + t * (Q * S * W);
        const float* before = g.s.h + t * (Q * S * W);
        const float* after = before + Q * S * W;
        Vec dB[quad] = {zeros(), zeros(), zeros(), zeros()}, dC[quad] = {zeros(), zeros(), zeros(), zeros()};
        unroll<Q>([&](auto q) MEDSSM_INLINE {
            const Arrays::Rows& r = g.s.rows[q];
            const Vec delta = load(r.delta + t * W), x = load(r.x + t * W), ds = load(r.ds + t * W);
            Vec dx = k0 == 0 ? zeros() : load(r.dx + t * W), e_A = k0 == 0 ? zeros() : load(r.e + t * W);
            unroll<S>([&](auto k) MEDSSM_INLINE {
                dh[q][k] = fma(coefficient<per_lane>(C, k0 + k), ds, dh[q][k]);
                dC[k] = fma(ds, load(after + (q * S + k) * W), dC[k]);
                dB[k] = fma(x, dh[q][k], dB[k]);
                dx = fma(dh[q][k], coefficient<per_lane>(B, k0 + k), dx);
                dh[q][k] = dh[q][k] * load(decays + (q * S + k) * W);
                const Vec e = dh[q][k] * load(before + (q * S + k) * W);
                e_A = fma(e, load(exponent + (q * in.state + k) * W), e_A);
                dA[q][k] = fma(delta, e, dA[q][k]);
            });
            store(r.dx + t * W, dx);
            store(r.e + t * W, e_A);
        });
        float* dB_token = dB_out + t * sums_per_token;
        float* dC_token = dC_out + t * sums_per_token;
        if constexpr (per_lane) {
            unroll<S>([&](auto k) MEDSSM_INLINE {
                store(dB_token + k * W, dB[k]);
                store(dC_token + k * W, dC[k]);
            });
        } else {
            store(dB_token, load(dB_token) + fold(dB[0], dB[1], dB[2], dB[3]));
            store(dC_token, load(dC_token) + fold(dC[0], dC[1], dC[2], dC[3]));
        }
    }
    unroll<Q>([&](auto q) MEDSSM_INLINE {
        unroll<S>([&](auto k) MEDSSM_INLINE {
            store(dh_carried + (q * in.state + k) * W, dh[q][k]);
            float* sum = dA_sum + (q * in.state + k) * W;
            store(sum, load(sum) + dA[q][k]);
        });
    });
}

template <int S, int Q, bool per_lane>
void sweep(const Stage& g, const Block* blocks, int64_t first, int64_t k0) {
    recompute<S, Q, per_lane>(g, blocks, first, k0);
    const int64_t state = g.a.in.state;
    if constexpr (per_lane) {
        carry_back<S, Q, per_lane>(g, first, k0, g.s.dB + k0 * W, g.s.dC + k0 * W, state * W);
    } else {
        // Quads first, then one place for each state that is left over.
        const int64_t place = k0 / quad + k0 % quad, places = state / quad + state % quad;
        carry_back<S, Q, per_lane>(g, first, k0, g.s.dB + place * W, g.s.dC + place * W, places * W);
    }
}

// Loads a block's tokens: the step, what enters the state, and the gradient past the gate.
template <typename T>
void load_block(const Stage& g, const Arrays::Rows& r, Block block) {
    const ScanInputs& in = g.a.in;
    load_tokens<T>(r.u, in.u, g.batch, block, g.places);
    load_tokens<T>(r.delta, in.dt, g.batch, block, g.places);
    load_tokens<T>(r.dy, g.a.dy, g.batch, block, g.places);
    if (in.z.data != nullptr) load_tokens<T>(r.z, in.z, g.batch, block, g.places);
    const Vec bias = load_channels(in.dt_bias, block);
    for (int t = 0; t < g.places.count; ++t) store(r.raw + t * W, load(r.delta + t * W) + bias);
    to_steps(r.delta, bias, in.softplus, g.places.count);
    for (int t = 0; t < g.places.count; ++t) {
        store(r.x + t * W, load(r.delta + t * W) * load(r.u + t * W));
        Vec ds = load(r.dy + t * W);
        if (in.z.data != nullptr) {
            const Vec z = load(r.z + t * W);
            ds = ds * (z * sigmoid(z));
        }
        store(r.ds + t * W, ds);
    }
}

// Stores du, ddt and dz of a block, and adds to its dD and ddt_bias.
template <typename T>
void finish_block(const Stage& g, const Arrays::Rows& r, Block block, float* dD_sum, float* ddt_bias_sum) {
    const ScanInputs& in = g.a.in;
    const Vec D = load_channels(in.D, block), one = broadcast(1.0f);
    Vec dD = zeros(), ddt_bias = zeros();
    for (int t = 0; t < g.places.count; ++t) {
        const int32_t place = g.places.at[t];
        const Vec u = load(r.u + t * W), ds = load(r.ds + t * W), dx = load(r.dx + t * W);
        store_token<T>(g.a.du, g.batch, block, place, fma(D, ds, load(r.delta + t * W) * dx));
        Vec ddt = fma(load(r.e + t * W), broadcast(ln_2), u * dx);
        if (in.softplus) ddt = ddt * sigmoid(load(r.raw + t * W));
        store_token<T>(g.a.ddt, g.batch, block, place, ddt);
        dD = fma(u, ds, dD);
        ddt_bias = ddt_bias + ddt;
        if (in.z.data != nullptr) {
            const Vec z = load(r.z + t * W), gate = sigmoid(z);
            const Vec slope = gate * fma(z, one - gate, one);
            const Vec s = fma(D, u, load(r.y + t * W));
            store_token<T>(g.a.dz, g.batch, block, place, load(r.dy + t * W) * s * slope);
        }
    }
    store(dD_sum, load(dD_sum) + dD);
    store(ddt_bias_sum, load(ddt_bias_sum) + ddt_bias);
}

// Q neighbouring blocks of one chunk; `first` is their place in the slice.
template <typename T, int Q, bool per_lane>
void run_group(const Stage& g, int64_t first, int64_t index) {
    const int64_t state = g.a.in.state;
    Block blocks[Q];
    for (int q = 0; q < Q; ++q) {
        blocks[q] = g.a.in.block(index + q);
        load_block<T>(g, g.s.rows[q], blocks[q]);
    }
    int64_t k = 0;
    for (; k + quad <= state; k += quad) sweep<quad, Q, per_lane>(g, blocks, first, k);
    for (; k < state; ++k) sweep<1, Q, per_lane>(g, blocks, first, k);
    for (int q = 0; q < Q; ++q) {
        const int64_t sums = (first + q) * W;
        finish_block<T>(g, g.s.rows[q], blocks[q], g.s.dD + sums, g.s.ddt_bias + sums);
    }
}

// Where the sums of one slice for one token go: (state,).
int64_t sums_at(const Arguments& a, int64_t slice, int64_t batch, int64_t group, int32_t place) {
    return (((slice * a.in.batch + batch) * a.in.groups + group) * a.in.length + place) * a.in.state;
}

// Completes the folded sums over the channels of a slice.
void store_sums(const Stage& g, int64_t slice, int64_t group) {
    const int64_t state = g.a.in.state, places = state / quad + state % quad;
    for (int t = 0; t < g.places.count; ++t) {
        const int64_t out = sums_at(g.a, slice, g.batch, group, g.places.at[t]);
        for (int64_t place = 0; place < places; ++place) {
            float dB[quad], dC[quad];
            store_quad_sum(dB, load(g.s.dB + (t * places + place) * W));
            store_quad_sum(dC, load(g.s.dC + (t * places + place) * W));
            const bool is_quad = place < state / quad;
            const int64_t k = is_quad ? place * quad : state / quad * quad + place - state / quad;
            std::memcpy(g.a.dB + out + k, dB, sizeof(float) * (is_quad ? quad : 1));
            std::memcpy(g.a.dC + out + k, dC, sizeof(float) * (is_quad ? quad : 1));
        }
    }
}

// Sums over the lanes of each group of a block.
void store_lane_sums(const Stage& g, Block block) {
    const ScanInputs& in = g.a.in;
    const int64_t width = in.group_dim();
    for (int t = 0; t < g.places.count; ++t) {
        for (int64_t lane = 0; lane < block.lanes; lane += width) {
            const int64_t out = sums_at(g.a, 0, g.batch, in.group_of(block.channel + lane), g.places.at[t]);
            for (int64_t k = 0; k < in.state; ++k) {
                const int64_t from = (t * in.state + k) * W + lane;
                float dB = 0.0f, dC = 0.0f;
                for (int64_t c = 0; c < width; ++c) {
                    dB += g.s.dB[from + c];
                    dC += g.s.dC[from + c];
                }
                g.a.dB[out + k] = dB;
                g.a.dC[out + k] = dC;
            }
        }
    }
}

// One chunk of the blocks of a slice, all of one group.
template <typename T>
void run_shared(const Stage& g, int64_t slice, Range blocks) {
    const ScanInputs& in = g.a.in;
    const int64_t group = in.group_of(in.block(blocks.begin).channel);
    load_group<T>(g.s.B, in.B, g.batch, group, in.state, g.places);
    load_group<T>(g.s.C, in.C, g.batch, group, in.state, g.places);
    const int64_t sums = g.places.count * (in.state / quad + in.state % quad) * W;
    std::memset(g.s.dB, 0, sizeof(float) * sums);
    std::memset(g.s.dC, 0, sizeof(float) * sums);
    int64_t i = blocks.begin;
    for (; i + side_by_side <= blocks.end; i += side_by_side) run_group<T, side_by_side, false>(g, i - blocks.begin, i);
    for (; i < blocks.end; ++i) run_group<T, 1, false>(g, i - blocks.begin, i);
    store_sums(g, slice, group);
}

// One chunk of a block that holds several groups.
template <typename T>
void run_lanes(const Stage& g, int64_t index) {
    const ScanInputs& in = g.a.in;
    const Block block = in.block(index);
    load_lanes<T>(g.s.B, in, in.B, g.batch, block, g.places);
    load_lanes<T>(g.s.C, in, in.C, g.batch, block, g.places);
    run_group<T, 1, true>(g, 0, index);
    store_lane_sums(g, block);
}

// Blocks [range.begin, range.end) of one batch element over the whole sequence.
template <typename T>
void run_slice(const Arguments& a, int64_t batch, int64_t slice, Range range) {
    const ScanInputs& in = a.in;
    const int64_t count = range.end - range.begin, states = in.state * W;
    const Arrays s = carve<Arrays>(in, count);
    for (int64_t i = 0; i < count; ++i) {
        const Block block = in.block(range.begin + i);
        load_states(s.exponent + i * states, in.A, in.state, block, log2_e);
        if (a.grad_last_state != nullptr) {
            const Tensor2 last{a.grad_last_state + batch * in.dim * in.state, in.state, 1};
            load_states(s.dh + i * states, last, in.state, block, 1.0f);
        }
    }
    if (a.grad_last_state == nullptr) std::memset(s.dh, 0, sizeof(float) * count * states);
    std::memset(s.dA, 0, sizeof(float) * count * states);
    std::memset(s.dD, 0, sizeof(float) * count * W);
    std::memset(s.ddt_bias, 0, sizeof(float) * count * W);

    for (int64_t chunk = in.chunks() - 1; chunk >= 0; --chunk) {
        const int64_t first = chunk * chunk_tokens, left = in.length - first;
        const int tokens = static_cast<int>(left < chunk_tokens ? left : chunk_tokens);
        const Stage stage{a, s, batch, chunk, find_places(s.at, in.visits, first, tokens)};
        if (in.is_per_lane()) {
            run_lanes<T>(stage, range.begin);
        } else {
            run_shared<T>(stage, slice, range);
        }
    }
    for (int64_t i = 0; i < count; ++i) {
        const Block block = in.block(range.begin + i);
        const int64_t at = batch * in.dim + block.channel;
        store_states(a.dA + batch * in.dim * in.state, s.dA + i * states, in.state, block);
        if (a.dD != nullptr) store(a.dD + at, load(s.dD + i * W), block.lanes);
        if (a.ddt_bias != nullptr) store(a.ddt_bias + at, load(s.ddt_bias + i * W), block.lanes);
    }
}

// The slices are the same for any number of threads, and so is every sum.
template <typename T>
void run(const Arguments& a) {
    const int64_t units = a.in.units(), blocks = a.in.blocks_per_group(), per_slice = a.slice_dim / W;
    parallel(a.in.threads, [&](int thread, int threads) {
        const Range tasks = split(a.in.batch * units * a.slices, thread, threads);
        for (int64_t task = tasks.begin; task < tasks.end; ++task) {
            const int64_t slice = task % a.slices, unit = task / a.slices % units;
            const int64_t begin = slice * per_slice;
            const int64_t end = begin + per_slice < blocks ? begin + per_slice : blocks;
            run_slice<T>(a, task / a.slices / units, slice, {unit * blocks + begin, unit * blocks + end});
        }
    });
}

}  // namespace

void selective_scan_backward(const void* arguments) {
    const Arguments& a = *static_cast<const Arguments*>(arguments);
    if (a.in.is_bf16) {
        run<bf16>(a);
    } else {
        run<float>(a);
    }
}

}  // namespace MEDSSM_ISA
}  // namespace medssm
