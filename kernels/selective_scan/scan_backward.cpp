// The gradient of the selective scan. With s = C . h + D u, y = s silu(z), and dh the gradient of h:
//   ds = dy silu(z),  dz = dy s silu'(z),  dh[t] = C[t] ds[t] + a[t+1] dh[t+1],  a[t] = exp(delta[t] A)
//   dC[t] = sum over channels of ds h[t],  dB[t] = sum over channels of dh delta u,  dx = dh . B,  x = delta u
//   e[t] = dh[t] a[t] h[t-1],  dA = sum over tokens of delta e,  ddelta = e . A + u dx,  du = delta dx + D ds
// Chunks go from the last to the first. From the state that entered it a chunk's decays and states are computed again
// into a buffer, then dh is carried back through it.
#include "scan.h"

namespace medssm::MEDSSM_ISA {

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

// Blocks of channels that are swept side by side: their sums over channels share one fold.
constexpr int side_by_side = state_registers >= 16 ? 2 : 1;

// What a sweep reads and writes for each token of a block, (tokens, W) each, at fixed offsets from one pointer.
enum Row { delta_row, x_row, ds_row, y_row, dx_row, e_row, slope_row, row_count };
constexpr int row_floats = chunk_tokens * W + 16;  // the padding keeps rows off the same lines of L1
constexpr int block_floats = row_count * row_floats;

// One thread's arrays for a slice of `blocks` blocks.
struct Arrays {
    int32_t *at, *counting;     // (tokens,)
    float *B, *C;               // (tokens, state), or (tokens, state, W) per lane
    float* sums;                // (tokens, quads, 2, W): folded dB and dC; or (tokens, state, 2, W) per lane
    float* path;                // (tokens + 1, side_by_side, quad, 2, W): state before the token, and its decay
    float* rows;                // (side_by_side, row_count, tokens, W)
    float *dt, *u, *z, *dy;     // (side_by_side, tokens, W), where they are not read in place
    float *exponent, *dh, *dA;  // (blocks, state, W): A * log2(e), the carried gradient, the sum
    float *dD, *ddt_bias;       // (blocks, W)

    Arrays(Arena& arena, const ScanInputs& in, int64_t blocks) {
        const int64_t width = in.is_per_lane() ? W : 1;
        for (int32_t** a : {&at, &counting}) *a = arena.integers(chunk_tokens);
        for (float** a : {&B, &C}) *a = arena.floats(chunk_tokens * in.state * width);
        sums = arena.floats(chunk_tokens * (in.is_per_lane() ? in.state : quads(in)) * 2 * W);
        path = arena.floats((chunk_tokens + 1) * side_by_side * quad * 2 * W);
        rows = arena.floats(side_by_side * block_floats);
        for (float** a : {&dt, &u, &z, &dy}) *a = arena.floats(side_by_side * chunk_tokens * W);
        for (float** a : {&exponent, &dh, &dA}) *a = arena.floats(blocks * in.state * W);
        for (float** a : {&dD, &ddt_bias}) *a = arena.floats(blocks * W);
    }

    // Sweeps over the states: quads, then one for each state that is left over.
    static int64_t quads(const ScanInputs& in) { return in.state / quad + in.state % quad; }
};

// A chunk of one batch element: what the stages below work on.
struct Stage {
    const Arguments& a;
    const Arrays& s;
    int64_t batch, chunk;
    Places places;
};

// Q neighbouring blocks; `first` is their place in the slice.
template <int Q>
struct Group {
    Block blocks[Q];
    int64_t first;
};

// Decays and states of S states of Q blocks, from k0 on, into the path; y[t] += C[t] . h[t] if the gate needs it.
template <int S, int Q, bool per_lane, bool gated>
void recompute(const Stage& g, const Group<Q>& group, int64_t k0, const Upcoming& upcoming) {
    const ScanInputs& in = g.a.in;
    constexpr int width = per_lane ? W : 1;
    const int64_t state = in.state, exponents = state * W;
    const float* exponent = g.s.exponent + (group.first * state + k0) * W;
    const float* entering = g.a.checkpoints + ((g.batch * in.chunks() + g.chunk) * state + k0) * in.dim;
    const float *B = g.s.B + k0 * width, *C = g.s.C + k0 * width;
    float *path = g.s.path, *rows = g.s.rows;
    Vec h[Q][S];
    unroll<Q>([&](auto q) MEDSSM_INLINE {
        unroll<S>([&](auto k) MEDSSM_INLINE {
            h[q][k] = load(entering + k * in.dim + group.blocks[q].channel, group.blocks[q].lanes);
        });
    });
    for (int t = 0; t < g.places.count; ++t) {
        if (k0 == 0) upcoming.fetch(t);
        unroll<Q>([&](auto q) MEDSSM_INLINE {
            float* row = rows + q * block_floats;
            const Vec delta = load(row + delta_row * row_floats), x = load(row + x_row * row_floats);
            Vec y = gated && k0 != 0 ? load(row + y_row * row_floats) : zeros();
            unroll<S>([&](auto k) MEDSSM_INLINE {
                const Vec decay = exp2(delta * load(exponent + q * exponents + k * W));
                store(path + (q * S + k) * 2 * W, h[q][k]);
                store(path + (q * S + k) * 2 * W + W, decay);
                h[q][k] = fma(decay, h[q][k], x * coefficient<per_lane>(B, k));
                if constexpr (gated) y = fma(coefficient<per_lane>(C, k), h[q][k], y);
            });
            if constexpr (gated) store(row + y_row * row_floats, y);
        });
        path += Q * S * 2 * W, rows += W, B += state * width, C += state * width;
    }
    unroll<Q>([&](auto q) MEDSSM_INLINE {
        unroll<S>([&](auto k) MEDSSM_INLINE { store(path + (q * S + k) * 2 * W, h[q][k]); });
    });
}

// Carries dh back through the chunk for S states of Q blocks, and adds up what each token and each channel gets.
template <int S, int Q, bool per_lane>
void carry_back(const Stage& g, const Group<Q>& group, int64_t k0, float* sums, int64_t sums_per_token) {
    constexpr int width = per_lane ? W : 1, step = Q * S * 2 * W;
    const int64_t state = g.a.in.state, states = state * W, last = g.places.count - 1;
    const float* exponent = g.s.exponent + (group.first * state + k0) * W;
    const float *B = g.s.B + last * state * width + k0 * width, *C = g.s.C + last * state * width + k0 * width;
    const float* path = g.s.path + last * step;
    float* dh_carried = g.s.dh + (group.first * state + k0) * W;
    float* dA_sum = g.s.dA + (group.first * state + k0) * W;
    float* rows = g.s.rows + last * W;
    sums += last * sums_per_token;
    Vec dh[Q][S], dA[Q][S];
    unroll<Q>([&](auto q) MEDSSM_INLINE {
        unroll<S>([&](auto k) MEDSSM_INLINE {
            dh[q][k] = load(dh_carried + q * states + k * W);
            dA[q][k] = zeros();
        });
    });
    for (int64_t t = last; t >= 0; --t) {
        Vec dB[quad] = {zeros(), zeros(), zeros(), zeros()}, dC[quad] = {zeros(), zeros(), zeros(), zeros()};
        unroll<Q>([&](auto q) MEDSSM_INLINE {
            float* row = rows + q * block_floats;
            const Vec delta = load(row + delta_row * row_floats), x = load(row + x_row * row_floats);
            const Vec ds = load(row + ds_row * row_floats);
            Vec dx = k0 == 0 ? zeros() : load(row + dx_row * row_floats);
            Vec e_A = k0 == 0 ? zeros() : load(row + e_row * row_floats);
            unroll<S>([&](auto k) MEDSSM_INLINE {
                const float* before = path + (q * S + k) * 2 * W;
                dh[q][k] = fma(coefficient<per_lane>(C, k), ds, dh[q][k]);
                dC[k] = q == 0 ? ds * load(before + step) : fma(ds, load(before + step), dC[k]);
                dB[k] = q == 0 ? x * dh[q][k] : fma(x, dh[q][k], dB[k]);
                dx = fma(dh[q][k], coefficient<per_lane>(B, k), dx);
                dh[q][k] = dh[q][k] * load(before + W);
                const Vec e = dh[q][k] * load(before);
                e_A = fma(e, load(exponent + q * states + k * W), e_A);
                dA[q][k] = fma(delta, e, dA[q][k]);
            });
            store(row + dx_row * row_floats, dx);
            store(row + e_row * row_floats, e_A);
        });
        if constexpr (per_lane) {
            unroll<S>([&](auto k) MEDSSM_INLINE {
                store(sums + k * 2 * W, dB[k]);
                store(sums + k * 2 * W + W, dC[k]);
            });
        } else {
            store(sums, load(sums) + fold(dB[0], dB[1], dB[2], dB[3]));
            store(sums + W, load(sums + W) + fold(dC[0], dC[1], dC[2], dC[3]));
        }
        path -= step, rows -= W, sums -= sums_per_token, B -= state * width, C -= state * width;
    }
    unroll<Q>([&](auto q) MEDSSM_INLINE {
        unroll<S>([&](auto k) MEDSSM_INLINE {
            store(dh_carried + q * states + k * W, dh[q][k]);
            float* sum = dA_sum + q * states + k * W;
            store(sum, load(sum) + dA[q][k]);
        });
    });
}

template <int S, int Q, bool per_lane>
void sweep(const Stage& g, const Group<Q>& group, int64_t k0, const Upcoming& upcoming) {
    const ScanInputs& in = g.a.in;
    if (in.z.data != nullptr) {
        recompute<S, Q, per_lane, true>(g, group, k0, upcoming);
    } else {
        recompute<S, Q, per_lane, false>(g, group, k0, upcoming);
    }
    if constexpr (per_lane) {
        carry_back<S, Q, true>(g, group, k0, g.s.sums + k0 * 2 * W, in.state * 2 * W);
    } else {
        carry_back<S, Q, false>(g, group, k0, g.s.sums + (k0 / quad + k0 % quad) * 2 * W, Arrays::quads(in) * 2 * W);
    }
}

// The tokens of one block of a group.
struct BlockRows {
    Rows u, dt;
    float* row;  // (row_count, tokens, W)
};

// The step, what enters the state, and the gradient past the gate.
template <typename T>
BlockRows enter_block(const Stage& g, int q, Block block) {
    const ScanInputs& in = g.a.in;
    const int64_t scratch = q * chunk_tokens * W;
    const auto find = [&](float* out, const Tensor3& tensor) {
        return find_rows<T>(out + scratch, tensor, g.batch, block, g.places, g.s.counting);
    };
    const BlockRows r{find(g.s.u, in.u), find(g.s.dt, in.dt), g.s.rows + q * block_floats};
    const Rows dy = find(g.s.dy, g.a.dy);
    const Vec bias = load_channels(in.dt_bias, block), one = broadcast(1.0f);
    for (int t = 0; t < g.places.count; ++t) {
        const Vec delta = step_size(r.dt[t], bias, in.softplus);
        store(r.row + delta_row * row_floats + t * W, delta);
        store(r.row + x_row * row_floats + t * W, delta * r.u[t]);
    }
    if (in.z.data == nullptr) {
        for (int t = 0; t < g.places.count; ++t) store(r.row + ds_row * row_floats + t * W, dy[t]);
        return r;
    }
    const Rows z = find(g.s.z, in.z);
    for (int t = 0; t < g.places.count; ++t) {
        const Vec gate = sigmoid(z[t]), through = dy[t] * gate;
        store(r.row + ds_row * row_floats + t * W, through * z[t]);
        store(r.row + slope_row * row_floats + t * W, through * fma(z[t], one - gate, one));
    }
    return r;
}

// Stores du, ddt and dz of a block, and adds to its dD and ddt_bias.
template <typename T>
void leave_block(const Stage& g, const BlockRows& r, Block block, float* dD_sum, float* ddt_bias_sum) {
    const ScanInputs& in = g.a.in;
    const Vec D = load_channels(in.D, block), bias = load_channels(in.dt_bias, block);
    Vec dD = zeros(), ddt_bias = zeros();
    for (int t = 0; t < g.places.count; ++t) {
        const int32_t place = g.places.at[t];
        const float* row = r.row + t * W;
        const Vec u = r.u[t], ds = load(row + ds_row * row_floats), dx = load(row + dx_row * row_floats);
        store_token<T>(g.a.du, g.batch, block, place, fma(D, ds, load(row + delta_row * row_floats) * dx));
        Vec ddt = fma(load(row + e_row * row_floats), broadcast(ln_2), u * dx);
        if (in.softplus) ddt = ddt * sigmoid(r.dt[t] + bias);
        store_token<T>(g.a.ddt, g.batch, block, place, ddt);
        dD = fma(u, ds, dD);
        ddt_bias = ddt_bias + ddt;
        if (in.z.data != nullptr) {
            const Vec s = fma(D, u, load(row + y_row * row_floats));
            store_token<T>(g.a.dz, g.batch, block, place, s * load(row + slope_row * row_floats));
        }
    }
    store(dD_sum, load(dD_sum) + dD);
    store(ddt_bias_sum, load(ddt_bias_sum) + ddt_bias);
}

// Q neighbouring blocks of one chunk, from block `index` on; `first` is their place in the slice.
template <typename T, int Q, bool per_lane>
void run_group(const Stage& g, int64_t first, int64_t index) {
    const ScanInputs& in = g.a.in;
    Group<Q> group{{}, first};
    BlockRows rows[Q];
    for (int q = 0; q < Q; ++q) {
        group.blocks[q] = in.block(index + q);
        rows[q] = enter_block<T>(g, q, group.blocks[q]);
    }
    Upcoming upcoming{g.places.at};
    for (const Tensor3* tensor : {&in.u, &in.dt, &in.z, &g.a.dy}) {
        upcoming.add<T>(*tensor, g.batch, group.blocks[0].channel + Q * W);
    }
    int64_t k = 0;
    for (; k + quad <= in.state; k += quad) sweep<quad, Q, per_lane>(g, group, k, upcoming);
    for (; k < in.state; ++k) sweep<1, Q, per_lane>(g, group, k, upcoming);
    for (int q = 0; q < Q; ++q) {
        const int64_t sums = (first + q) * W;
        leave_block<T>(g, rows[q], group.blocks[q], g.s.dD + sums, g.s.ddt_bias + sums);
    }
}

// Where the sums of one slice for one token go: (state,).
int64_t sums_at(const Arguments& a, int64_t slice, int64_t batch, int64_t group, int32_t place) {
    return (((slice * a.in.batch + batch) * a.in.groups + group) * a.in.length + place) * a.in.state;
}

// Completes the folded sums over the channels of a slice.
void store_sums(const Stage& g, int64_t slice, int64_t group) {
    const int64_t state = g.a.in.state, quads = Arrays::quads(g.a.in);
    for (int t = 0; t < g.places.count; ++t) {
        const int64_t out = sums_at(g.a, slice, g.batch, group, g.places.at[t]);
        const float* sums = g.s.sums + t * quads * 2 * W;
        for (int64_t i = 0; i < state / quad; ++i) {
            store_quad_sum(g.a.dB + out + i * quad, load(sums + i * 2 * W));
            store_quad_sum(g.a.dC + out + i * quad, load(sums + i * 2 * W + W));
        }
        for (int64_t i = state / quad; i < quads; ++i) {
            const int64_t k = out + state / quad * quad + i - state / quad;
            g.a.dB[k] = sum(load(sums + i * 2 * W));
            g.a.dC[k] = sum(load(sums + i * 2 * W + W));
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
                const float* lanes = g.s.sums + (t * in.state + k) * 2 * W + lane;
                float dB = 0.0f, dC = 0.0f;
                for (int64_t c = 0; c < width; ++c) {
                    dB += lanes[c];
                    dC += lanes[W + c];
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
    std::memset(g.s.sums, 0, sizeof(float) * g.places.count * Arrays::quads(in) * 2 * W);
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
    count_up(s.counting, chunk_tokens);
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

template <typename T>
void run(const Arguments& a) {
    const int64_t units = a.in.units(), blocks = a.in.blocks_per_group();
    share_slices(a.in.threads, a.in.batch * units, {a.slices, a.slice_dim, blocks},
                 [&](int64_t whole, int64_t slice, Range range) {
                     const int64_t before = whole % units * blocks;
                     run_slice<T>(a, whole / units, slice, {before + range.begin, before + range.end});
                 });
}

}  // namespace

constexpr Kernel selective_scan_backward = kernel_of<Arguments, run<float>, run<bf16>>();

}  // namespace medssm::MEDSSM_ISA
