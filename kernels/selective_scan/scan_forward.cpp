// The selective scan, forward:
//   h[t] = exp(delta[t] A) h[t-1] + delta[t] B[t] u[t],   y[t] = (C[t] . h[t] + D u[t]) silu(z[t])
#include "scan.h"

namespace medssm::MEDSSM_ISA {

namespace {

struct Arguments {
    Tensor3 y;           // (batch, dim, length), channels-last: out
    float* last_state;   // (batch, dim, state): out
    float* checkpoints;  // (batch, chunks, state, dim), the state that enters each chunk: out, or nullptr
    ScanInputs in;
};

// One thread's arrays for a range of `blocks` blocks.
struct Arrays {
    int32_t *at, *counting;  // (tokens,)
    float *B, *C;            // (tokens, state), or (tokens, state, W) per lane
    float *delta, *x, *y;    // (tokens, W); x = delta * u
    float *dt, *u, *z;       // (tokens, W), where they are not read in place
    float* h;                // (blocks, state, W)
    float* exponent;         // (blocks, state, W): A * log2(e)

    Arrays(Arena& arena, const ScanInputs& in, int64_t blocks) {
        const int64_t per_token = in.state * (in.is_per_lane() ? W : 1);
        for (int32_t** a : {&at, &counting}) *a = arena.integers(chunk_tokens);
        for (float** a : {&B, &C}) *a = arena.floats(chunk_tokens * per_token);
        for (float** a : {&delta, &x, &y, &dt, &u, &z}) *a = arena.floats(chunk_tokens * W);
        for (float** a : {&h, &exponent}) *a = arena.floats(blocks * in.state * W);
    }
};

// Steps of a chunk for S states of one block, from state k0 on; y[t] += C[t] . h[t].
template <int S, bool per_lane>
void sweep(const Arrays& s, const Upcoming& upcoming, float* h_block, const float* exponent_block, int64_t k0,
           int64_t state, int tokens) {
    constexpr int width = per_lane ? W : 1;
    const float *delta_row = s.delta, *x_row = s.x, *exponent = exponent_block + k0 * W;
    const float *B = s.B + k0 * width, *C = s.C + k0 * width;
    float *y_row = s.y, *h_out = h_block + k0 * W;
    Vec h[S];
    unroll<S>([&](auto k) MEDSSM_INLINE { h[k] = load(h_out + k * W); });
    for (int t = 0; t < tokens; ++t) {
        if (k0 == 0) upcoming.fetch(t);
        const Vec delta = load(delta_row), x = load(x_row);
        Vec y[2] = {k0 == 0 ? zeros() : load(y_row), zeros()};
        unroll<S>([&](auto k) MEDSSM_INLINE {
            const Vec decay = exp2(delta * load(exponent + k * W));
            h[k] = fma(decay, h[k], x * coefficient<per_lane>(B, k));
            y[k % 2] = fma(coefficient<per_lane>(C, k), h[k], y[k % 2]);
        });
        store(y_row, y[0] + y[1]);
        delta_row += W, x_row += W, y_row += W, B += state * width, C += state * width;
    }
    unroll<S>([&](auto k) MEDSSM_INLINE { store(h_out + k * W, h[k]); });
}

// All states of one block, as many at a time as the registers hold.
template <bool per_lane>
void sweep_states(const Arrays& s, const Upcoming& upcoming, float* h, const float* exponent, int64_t state,
                  int tokens) {
    int64_t k = 0;
    if constexpr (state_registers >= 16) {
        for (; k + 16 <= state; k += 16) sweep<16, per_lane>(s, upcoming, h, exponent, k, state, tokens);
    }
    for (; k + 8 <= state; k += 8) sweep<8, per_lane>(s, upcoming, h, exponent, k, state, tokens);
    for (; k + 4 <= state; k += 4) sweep<4, per_lane>(s, upcoming, h, exponent, k, state, tokens);
    for (; k < state; ++k) sweep<1, per_lane>(s, upcoming, h, exponent, k, state, tokens);
}

template <typename T>
void run_block(const Arguments& a, const Arrays& s, int64_t batch, Block block, float* h, const float* exponent,
               Places places) {
    const ScanInputs& in = a.in;
    const Rows u = find_rows<T>(s.u, in.u, batch, block, places, s.counting);
    const Rows dt = find_rows<T>(s.dt, in.dt, batch, block, places, s.counting);
    const Vec bias = load_channels(in.dt_bias, block);
    for (int t = 0; t < places.count; ++t) {
        const Vec delta = step_size(dt[t], bias, in.softplus);
        store(s.delta + t * W, delta);
        store(s.x + t * W, delta * u[t]);
    }

    Upcoming upcoming{places.at};
    upcoming.add<T>(in.u, batch, block.channel + W);
    upcoming.add<T>(in.dt, batch, block.channel + W);
    upcoming.add<T>(in.z, batch, block.channel);
    upcoming.add<T>(a.y, batch, block.channel);
    if (in.is_per_lane()) {
        sweep_states<true>(s, upcoming, h, exponent, in.state, places.count);
    } else {
        sweep_states<false>(s, upcoming, h, exponent, in.state, places.count);
    }

    const Vec D = load_channels(in.D, block);
    if (in.z.data == nullptr) {
        for (int t = 0; t < places.count; ++t) {
            store_token<T>(a.y, batch, block, places.at[t], fma(D, u[t], load(s.y + t * W)));
        }
        return;
    }
    const Rows z = find_rows<T>(s.z, in.z, batch, block, places, s.counting);
    for (int t = 0; t < places.count; ++t) {
        const Vec y = fma(D, u[t], load(s.y + t * W));
        store_token<T>(a.y, batch, block, places.at[t], y * (z[t] * sigmoid(z[t])));
    }
}

void store_checkpoint(const Arguments& a, int64_t batch, int64_t chunk, Block block, const float* h) {
    const ScanInputs& in = a.in;
    float* out = a.checkpoints + (batch * in.chunks() + chunk) * in.state * in.dim + block.channel;
    for (int64_t k = 0; k < in.state; ++k) store(out + k * in.dim, load(h + k * W), block.lanes);
}

// Blocks [range.begin, range.end) of one batch element over the whole sequence.
template <typename T>
void run_blocks(const Arguments& a, const Arrays& s, int64_t batch, Range range) {
    const ScanInputs& in = a.in;
    const int64_t states = in.state * W;
    count_up(s.counting, chunk_tokens);
    for (int64_t i = range.begin; i < range.end; ++i) {
        load_states(s.exponent + (i - range.begin) * states, in.A, in.state, in.block(i), log2_e);
        std::memset(s.h + (i - range.begin) * states, 0, sizeof(float) * states);
    }
    for (int64_t chunk = 0; chunk < in.chunks(); ++chunk) {
        const int64_t first = chunk * chunk_tokens, left = in.length - first;
        const Places places = find_places(s.at, in.visits, first, static_cast<int>(left < chunk_tokens ? left : chunk_tokens));
        int64_t group = -1;
        for (int64_t i = range.begin; i < range.end; ++i) {
            const Block block = in.block(i);
            float* h = s.h + (i - range.begin) * states;
            if (a.checkpoints != nullptr) store_checkpoint(a, batch, chunk, block, h);
            if (in.is_per_lane()) {
                load_lanes<T>(s.B, in, in.B, batch, block, places);
                load_lanes<T>(s.C, in, in.C, batch, block, places);
            } else if (in.group_of(block.channel) != group) {
                group = in.group_of(block.channel);
                load_group<T>(s.B, in.B, batch, group, in.state, places);
                load_group<T>(s.C, in.C, batch, group, in.state, places);
            }
            run_block<T>(a, s, batch, block, h, s.exponent + (i - range.begin) * states, places);
        }
    }
    for (int64_t i = range.begin; i < range.end; ++i) {
        store_states(a.last_state + batch * in.dim * in.state, s.h + (i - range.begin) * states, in.state, in.block(i));
    }
}

template <typename T>
void run(const Arguments& a) {
    share_blocks<Arrays>(a.in, [&](const Arrays& s, int64_t batch, Range blocks) { run_blocks<T>(a, s, batch, blocks); });
}

}  // namespace

constexpr Kernel selective_scan_forward = kernel_of<Arguments, run<float>, run<bf16>>();

}  // namespace medssm::MEDSSM_ISA
