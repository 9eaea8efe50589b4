// The fusion of states, forward: fused[i, j] = sum over the taps of weight * h[clamp(i + dy), clamp(j + dx)].
#include "fusion.h"

namespace medssm::MEDSSM_ISA {

namespace {

struct Arguments {
    Tensor3 fused;  // (batch, dim, length), channels-last: out
    FusionInputs in;
};

// One thread's arrays.
struct Arrays {
    RepeatedRows rows;
    float* taps;           // (taps, W)
    const float** places;  // (taps,)

    Arrays(Arena& arena, const FusionInputs& in)
        : rows(arena, in), taps(arena.floats(in.taps * W)), places(arena.pointers(in.taps)) {}
};

// One block of one batch element.
template <typename T>
void run_block(const Arguments& a, Arrays& s, int64_t batch, Block block) {
    s.rows.loaded = 0;
    for (int64_t i = 0; i < a.in.height; ++i) {
        s.rows.load_until<T>(a.in, batch, block, i);
        s.rows.find_taps(s.places, a.in, i);
        weigh_row<T>(a.fused, a.in, batch, block, s.taps, s.places, i * a.in.width, 0, a.in.width);
    }
}

template <typename T>
void run(const Arguments& a) {
    share_pairs<Arrays>(a.in, [&](Arrays& s, int64_t batch, Block block) { run_block<T>(a, s, batch, block); });
}

}  // namespace

constexpr Kernel state_fusion_forward = kernel_of<Arguments, run<float>, run<bf16>>();

}  // namespace medssm::MEDSSM_ISA
