// The fusion of states, forward: fused[i, j] = sum over the taps of weight * h[clamp(i + dy), clamp(j + dx)].
#include "fusion.h"

namespace medssm {
namespace MEDSSM_ISA {

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
    parallel(a.in.threads, [&](int thread, int threads) {
        Arrays arrays = carve<Arrays>(a.in);
        int64_t loaded = -1;
        for_each_pair(a.in, thread, threads, [&](int64_t batch, int64_t index) {
            const Block block = a.in.block(index);
            if (index != loaded) load_taps(arrays.taps, a.in, block);
            loaded = index;
            run_block<T>(a, arrays, batch, block);
        });
    });
}

}  // namespace

void state_fusion_forward(const void* arguments) {
    const Arguments& a = *static_cast<const Arguments*>(arguments);
    if (a.in.is_bf16) {
        run<bf16>(a);
    } else {
        run<float>(a);
    }
}

}  // namespace MEDSSM_ISA
}  // namespace medssm
