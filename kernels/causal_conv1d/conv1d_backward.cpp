// The gradient of the short causal convolution. With p = bias + sum_k weight[k] x[t - width + 1 + k] and y = silu(p):
//   g = dy silu'(p),  dx[t] = sum_k weight[k] g[t + width - 1 - k],
//   dweight[k] = sum over tokens of g[t] x[t - width + 1 + k],  dbias = sum over tokens of g[t]
#include "conv1d.h"

namespace medssm::MEDSSM_ISA {

namespace {

struct Arguments {
    Tensor3 dx;      // (batch, dim, length), channels-last: out
    float* dweight;  // (parts, dim, width): out, to be summed over the parts
    float* dbias;    // (parts, dim): out, the same; or nullptr
    int64_t parts;   // runs of chunks whose sums are kept apart; the same for any number of threads
    Tensor3 dy;      // (batch, dim, length)
    ConvInputs in;
};

struct Arrays {
    int32_t* at;     // (2, tokens + 2 (width - 1))
    float *x, *g;    // (tokens + 2 (width - 1), W), (tokens + width - 1, W)
    float* taps;     // (blocks, width, W)
    float* dweight;  // (blocks, width, W)
    float* dbias;    // (blocks, W)

    Arrays(Arena& arena, const ConvInputs& in) {
        const int64_t tokens = chunk_tokens + 2 * (in.width - 1);
        at = arena.integers(2 * tokens);
        for (float** a : {&x, &g}) *a = arena.floats(tokens * W);
        for (float** a : {&taps, &dweight}) *a = arena.floats(in.blocks() * in.width * W);
        dbias = arena.floats(in.blocks() * W);
    }
};

// g: (count, W), dy in, dy silu'(p) out; x: (width - 1 + count, W).
template <int width>
void through_silu(float* g, const float* x, const float* taps, Vec bias, int64_t any_width, int count) {
    const Vec one = broadcast(1.0f);
    for (int t = 0; t < count; ++t) {
        const Vec p = convolve<width>(x + t * W, taps, bias, any_width);
        const Vec gate = sigmoid(p);
        store(g + t * W, load(g + t * W) * (gate * fma(p, one - gate, one)));
    }
}

// dx[t] = sum_k taps[k] g[t + width - 1 - k], where g: (width,) tokens from t on.
template <int width>
MEDSSM_INLINE inline Vec spread(const float* g, const float* taps, int64_t any_width) {
    Vec sum = zeros();
    for (int64_t k = 0; k < (width > 0 ? width : any_width); ++k) {
        sum = fma(load(taps + k * W), load(g + ((width > 0 ? width : any_width) - 1 - k) * W), sum);
    }
    return sum;
}

// Adds g[t] x[t + k] to dweight[k] for each tap, and g[t] to dbias.
void add_sums(float* dweight, float* dbias, const float* g, const float* x, int64_t width, int tokens) {
    for (int64_t k = 0; k < width; ++k) {
        Vec sum = zeros();
        for (int t = 0; t < tokens; ++t) sum = fma(load(g + t * W), load(x + (t + k) * W), sum);
        store(dweight + k * W, load(dweight + k * W) + sum);
    }
    Vec sum = zeros();
    for (int t = 0; t < tokens; ++t) sum = sum + load(g + t * W);
    store(dbias, load(dbias) + sum);
}

template <typename T, int width>
void run_chunk(const Arguments& a, const Arrays& s, int64_t batch, int64_t chunk) {
    const ConvInputs& in = a.in;
    const int reach = static_cast<int>(in.width - 1);
    const Window around = chunk_window(in, chunk, reach, reach), after = chunk_window(in, chunk, 0, reach);
    const Places places = find_places(s.at, in.visits, around.first + around.begin, around.end - around.begin);
    const Places later = find_places(s.at + around.end - around.begin, in.visits, after.first, after.end);
    const int tokens = after.count - reach;
    for (int64_t i = 0; i < in.blocks(); ++i) {
        const Block block = in.block(i);
        const float* taps = s.taps + i * in.width * W;
        load_window<T>(s.x, in.x, batch, block, around, places);
        load_window<T>(s.g, a.dy, batch, block, after, later);
        if (in.silu) through_silu<width>(s.g, s.x, taps, load_bias(in, block), in.width, after.end);
        for (int t = 0; t < tokens; ++t) {
            store_token<T>(a.dx, batch, block, later.at[t], spread<width>(s.g + t * W, taps, in.width));
        }
        add_sums(s.dweight + i * in.width * W, s.dbias + i * W, s.g, s.x, in.width, tokens);
    }
}

void store_sums(const Arguments& a, const Arrays& s, int64_t part) {
    const ConvInputs& in = a.in;
    for (int64_t i = 0; i < in.blocks(); ++i) {
        const Block block = in.block(i);
        for (int c = 0; c < block.lanes; ++c) {
            float* out = a.dweight + (part * in.dim + block.channel + c) * in.width;
            for (int64_t k = 0; k < in.width; ++k) out[k] = s.dweight[(i * in.width + k) * W + c];
        }
        if (a.dbias != nullptr) store(a.dbias + part * in.dim + block.channel, load(s.dbias + i * W), block.lanes);
    }
}

// The chunks of one of the parts that sums are kept in.
template <typename T, int width>
void run_part(const Arguments& a, const Arrays& s, int64_t part) {
    const ConvInputs& in = a.in;
    const int64_t chunks = in.chunks(), tasks = in.batch * chunks;
    std::memset(s.dweight, 0, sizeof(float) * in.blocks() * in.width * W);
    std::memset(s.dbias, 0, sizeof(float) * in.blocks() * W);
    for (int64_t i = tasks * part / a.parts; i < tasks * (part + 1) / a.parts; ++i) {
        run_chunk<T, width>(a, s, i / chunks, i % chunks);
    }
    store_sums(a, s, part);
}

template <typename T>
void run(const Arguments& a) {
    with_width(a.in, [&](auto width) {
        with_taps<Arrays>(a.in, [&](const Arrays& s, int thread, int threads) {
            const Range parts = split(a.parts, thread, threads);
            for (int64_t part = parts.begin; part < parts.end; ++part) run_part<T, width>(a, s, part);
        });
    });
}

}  // namespace

constexpr Kernel causal_conv1d_backward = kernel_of<Arguments, run<float>, run<bf16>>();

}  // namespace medssm::MEDSSM_ISA
