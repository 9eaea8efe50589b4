// Sums of partial results in a fixed order: out[i] = parts[0][i] + parts[1][i] + ...
#include "kernel.h"
#include "threads.h"
#include "tokens.h"

namespace medssm::MEDSSM_ISA {

namespace {

struct Sum {
    void* out;           // (count,) float32, or bfloat16
    const float* parts;  // (number, count)
    int64_t number, count;
    int64_t is_bf16;  // bool: of out
};

struct Arguments {
    int64_t threads, sums;
    Sum sum[8];  // (sums,), the rest zeros
};

template <typename T>
void merge_range(const Sum& s, Range range) {
    T* out = static_cast<T*>(s.out);
    for (int64_t i = range.begin; i < range.end; i += W) {
        const int lanes = static_cast<int>(range.end - i < W ? range.end - i : W);
        Vec total = load(s.parts + i, lanes);
        for (int64_t part = 1; part < s.number; ++part) total = total + load(s.parts + part * s.count + i, lanes);
        store_row(out + i, total, lanes);
    }
}

void run(const Arguments& a) {
    parallel(a.threads, [&](int thread, int threads) {
        for (int64_t i = 0; i < a.sums; ++i) {
            const Sum& s = a.sum[i];
            const Range range = split(s.count, thread, threads);
            if (s.is_bf16) {
                merge_range<bf16>(s, range);
            } else {
                merge_range<float>(s, range);
            }
        }
    });
}

}  // namespace

constexpr Kernel merge_sums = kernel_of<Arguments, run>();

}  // namespace medssm::MEDSSM_ISA
