// The machine's own limits, measured with the kernels' own instructions: what a benchmark holds their speed against.
#include "kernel.h"
#include "threads.h"
#include "vec.h"

namespace medssm::MEDSSM_ISA {

namespace {

struct Arguments {
    float* sink;       // (threads, 64): keeps the results alive
    const float* data; // roof_read only: (floats,)
    int64_t floats;
    int64_t repeats;
    int64_t threads;
};

constexpr int block = 2048;

// Each thread: 2^x of 2048 floats in L1, `repeats` times.
void raise_powers(const Arguments& a) {
    parallel(a.threads, [&](int thread, int) {
        float* x = static_cast<float*>(thread_scratch(2 * block * sizeof(float)));
        float* y = x + block;
        for (int i = 0; i < block; ++i) x[i] = -4.0f * static_cast<float>(i) / block;
        for (int64_t r = 0; r < a.repeats; ++r) {
            for (int i = 0; i < block; i += 2 * Vec::width) {
                store(y + i, exp2(load(x + i)));
                store(y + i + Vec::width, exp2(load(x + i + Vec::width)));
            }
            __asm__ volatile("" ::"r"(y) : "memory");
        }
        a.sink[64 * thread] = y[0];
    });
}

// Each thread: 2048 rounds of 12 independent fused multiply-adds of one Vec, `repeats` times.
void multiply_add(const Arguments& a) {
    parallel(a.threads, [&](int thread, int) {
        const Vec factor = broadcast(0.999f), term = broadcast(1e-3f);
        Vec x[12];
        for (int i = 0; i < 12; ++i) x[i] = broadcast(static_cast<float>(i));
        for (int64_t r = 0; r < a.repeats * 2048; ++r)
            for (int i = 0; i < 12; ++i) x[i] = fma(x[i], factor, term);
        Vec total = x[0];
        for (int i = 1; i < 12; ++i) total = total + x[i];
        a.sink[64 * thread] = sum(total);
    });
}

// Each thread: the sum of its part of `data`, `repeats` times.
void read(const Arguments& a) {
    parallel(a.threads, [&](int thread, int threads) {
        const Range part = split(a.floats / (4 * Vec::width), thread, threads);
        Vec total[4] = {zeros(), zeros(), zeros(), zeros()};
        for (int64_t r = 0; r < a.repeats; ++r)
            for (int64_t i = part.begin; i < part.end; ++i)
                for (int k = 0; k < 4; ++k) total[k] = total[k] + load(a.data + (4 * i + k) * Vec::width);
        a.sink[64 * thread] = sum((total[0] + total[1]) + (total[2] + total[3]));
    });
}

}  // namespace

constexpr Kernel roof_exp2 = kernel_of<Arguments, raise_powers>();
constexpr Kernel roof_fma = kernel_of<Arguments, multiply_add>();
constexpr Kernel roof_read = kernel_of<Arguments, read>();

}  // namespace medssm::MEDSSM_ISA
