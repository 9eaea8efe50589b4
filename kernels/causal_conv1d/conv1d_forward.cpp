// The short causal convolution, forward: y[t] = silu(bias + sum_k weight[k] x[t - width + 1 + k]).
#include "conv1d.h"

namespace medssm::MEDSSM_ISA {

namespace {

struct Arguments {
    Tensor3 y;  // (batch, dim, length), channels-last: out
    ConvInputs in;
};

struct Arrays {
    int32_t* at;  // (width - 1 + tokens,)
    float* x;     // (width - 1 + tokens, W)
    float* taps;  // (blocks, width, W)

    Arrays(Arena& arena, const ConvInputs& in) {
        at = arena.integers(in.width - 1 + chunk_tokens);
        x = arena.floats((in.width - 1 + chunk_tokens) * W);
        taps = arena.floats(in.blocks() * in.width * W);
    }
};

template <typename T, int width>
void run_chunk(const Arguments& a, const Arrays& s, int64_t batch, int64_t chunk) {
    const ConvInputs& in = a.in;
    const int before = static_cast<int>(in.width - 1);
    const Window window = chunk_window(in, chunk, before, 0);
    const Places places = find_places(s.at, in.visits, window.first + window.begin, window.end - window.begin);
    const int32_t* at = places.at + before - window.begin;
    for (int64_t i = 0; i < in.blocks(); ++i) {
        const Block block = in.block(i);
        const Vec bias = load_bias(in, block);
        load_window<T>(s.x, in.x, batch, block, window, places);
        for (int t = 0; t < window.count - before; ++t) {
            Vec y = convolve<width>(s.x + t * W, s.taps + i * in.width * W, bias, in.width);
            if (in.silu) y = y * sigmoid(y);
            store_token<T>(a.y, batch, block, at[t], y);
        }
    }
}

template <typename T>
void run(const Arguments& a) {
    const int64_t chunks = a.in.chunks();
    with_width(a.in, [&](auto width) {
        with_taps<Arrays>(a.in, [&](const Arrays& s, int thread, int threads) {
            const Range tasks = split(a.in.batch * chunks, thread, threads);
            for (int64_t i = tasks.begin; i < tasks.end; ++i) run_chunk<T, width>(a, s, i / chunks, i % chunks);
        });
    });
}

}  // namespace

constexpr Kernel causal_conv1d_forward = kernel_of<Arguments, run<float>, run<bf16>>();

}  // namespace medssm::MEDSSM_ISA
