// y = leaky_relu((x - mean) / sqrt(var + eps) + residual), each channel of each sample by itself.
#include <cmath>
#include <vector>

#include "kernel.h"
#include "threads.h"
#include "vec.h"

namespace medssm::MEDSSM_ISA {

namespace {

struct Arguments {
    float* y;               // (channels, voxels); may be x
    const float* x;         // (channels, voxels)
    const float* residual;  // (channels, voxels) or null
    int64_t channels, voxels, has_activation, threads;
    double eps, negative_slope;
};

// The moments of a piece small enough for L1 are exact two-pass ones; pieces are merged in double, in a fixed order, so
// that neither a large mean nor the number of threads shows in the result.
constexpr int64_t piece = 4096;

struct Moments {
    double count = 0, mean = 0, squares = 0;  // squares: sum of (x - mean)^2

    // Chan, Golub & LeVeque 1979, updating formulae.
    void merge(const Moments& other) {
        const double total = count + other.count, difference = other.mean - mean;
        squares += other.squares + difference * difference * count * other.count / total;
        mean += difference * other.count / total;
        count = total;
    }
};

int first_lanes_of(int64_t left) { return static_cast<int>(left < Vec::width ? left : Vec::width); }

// Sum of (x - centre)^power over n floats, power 1 or 2, by four accumulators.
template <int power>
float sum_of(const float* x, int64_t n, float centre) {
    const Vec c = broadcast(centre);
    Vec total[4] = {broadcast(0.0f), broadcast(0.0f), broadcast(0.0f), broadcast(0.0f)};
    int64_t i = 0;
    for (; i + 4 * Vec::width <= n; i += 4 * Vec::width)
        for (int k = 0; k < 4; ++k) {
            const Vec d = load(x + i + k * Vec::width) - c;
            total[k] = power == 1 ? total[k] + d : fma(d, d, total[k]);
        }
    float rest = 0.0f;
    for (; i < n; ++i) rest += power == 1 ? x[i] - centre : (x[i] - centre) * (x[i] - centre);
    return sum((total[0] + total[1]) + (total[2] + total[3])) + rest;
}

// In double, for what overflows float.
Moments wide_moments_of(const float* x, int64_t n) {
    Moments m;
    for (int64_t i = 0; i < n; ++i) m.merge({1, x[i], 0});
    return m;
}

Moments moments_of(const float* x, int64_t n) {
    const float first = x[0];  // a shift, so that a large mean does not swallow the differences
    const double count = static_cast<double>(n), mean = first + sum_of<1>(x, n, first) / count;
    const float centre = static_cast<float>(mean);
    const double rounding = mean - centre, squares = sum_of<2>(x, n, centre) - count * rounding * rounding;
    return std::isfinite(squares) ? Moments{count, mean, squares} : wide_moments_of(x, n);
}

// y = activation((x - centre) * scale + shift + residual) over n floats.
template <bool with_residual, bool with_activation>
void apply(float* y, const float* x, const float* residual, int64_t n, float centre, float scale, float shift,
           float slope) {
    const Vec c = broadcast(centre), s = broadcast(scale), t = broadcast(shift), leak = broadcast(slope), zero = broadcast(0.0f);
    for (int64_t i = 0; i < n; i += Vec::width) {
        const int lanes = first_lanes_of(n - i);
        const bool full = lanes == Vec::width;
        Vec v = fma((full ? load(x + i) : load(x + i, lanes)) - c, s, t);
        if (with_residual) v = v + (full ? load(residual + i) : load(residual + i, lanes));
        if (with_activation) v = fma(min(zero, v), leak, max(zero, v));  // v second: a NaN in it comes through
        if (full) store(y + i, v);
        else store(y + i, v, lanes);
    }
}

void apply_moments(const Arguments& a, int64_t offset, int64_t n, const Moments& m) {
    const double scale = 1.0 / std::sqrt(m.squares / m.count + a.eps);
    const float centre = static_cast<float>(m.mean);  // what rounding takes from it goes into the shift
    const double shift = (centre - m.mean) * scale;
    const float* residual = a.residual ? a.residual + offset : nullptr;
    auto* const chosen = a.residual ? (a.has_activation ? apply<true, true> : apply<true, false>)
                                    : (a.has_activation ? apply<false, true> : apply<false, false>);
    chosen(a.y + offset, a.x + offset, residual, n, centre, static_cast<float>(scale), static_cast<float>(shift),
           static_cast<float>(a.negative_slope));
}

int64_t size_of_piece(const Arguments& a, int64_t index) {
    return (index + 1) * piece < a.voxels ? piece : a.voxels - index * piece;
}

// A thread takes whole channels: the second reading of each comes from the cache.
void normalise_channels(const Arguments& a, const Range& share, int64_t pieces) {
    for (int64_t c = share.begin; c < share.end; ++c) {
        Moments m;
        for (int64_t p = 0; p < pieces; ++p)
            m.merge(moments_of(a.x + c * a.voxels + p * piece, size_of_piece(a, p)));
        apply_moments(a, c * a.voxels, a.voxels, m);
    }
}

// Few channels: the threads share the pieces of all of them.
void normalise_pieces(const Arguments& a, int64_t pieces) {
    std::vector<Moments> moments(a.channels * pieces), of_channel(a.channels);
    parallel(a.threads, [&](int thread, int threads) {
        const Range share = split(a.channels * pieces, thread, threads);
        for (int64_t i = share.begin; i < share.end; ++i)
            moments[i] = moments_of(a.x + i / pieces * a.voxels + i % pieces * piece, size_of_piece(a, i % pieces));
    });
    for (int64_t i = 0; i < a.channels * pieces; ++i) of_channel[i / pieces].merge(moments[i]);
    parallel(a.threads, [&](int thread, int threads) {
        const Range share = split(a.channels * pieces, thread, threads);
        for (int64_t i = share.begin; i < share.end; ++i)
            apply_moments(a, i / pieces * a.voxels + i % pieces * piece, size_of_piece(a, i % pieces),
                          of_channel[i / pieces]);
    });
}

void run(const Arguments& a) {
    const int64_t pieces = (a.voxels + piece - 1) / piece;
    if (a.channels < 4 * a.threads && pieces > 1) return normalise_pieces(a, pieces);
    parallel(a.threads, [&](int thread, int threads) {
        normalise_channels(a, split(a.channels, thread, threads), pieces);
    });
}

}  // namespace

constexpr Kernel instance_norm = kernel_of<Arguments, run>();

}  // namespace medssm::MEDSSM_ISA
