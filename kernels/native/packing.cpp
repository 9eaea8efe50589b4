// Weights in the order in which product.h reads them, and the fingerprint that tells whether they have changed since.
#include "kernel.h"
#include "product.h"
#include "threads.h"

namespace medssm::MEDSSM_ISA {

namespace {

struct PackArguments {
    float* packed;        // (outputs / rows, depth, rows), outputs filled up with zeros
    const float* weight;  // (outputs, depth) by its strides
    int64_t outputs, depth, output_stride, depth_stride;
};

struct FingerprintArguments {
    uint64_t* out;  // (pieces,)
    const uint32_t* words;
    int64_t count, pieces, threads;
};

void pack(const PackArguments& a) {
    float* to = a.packed;
    for (int64_t k = 0; k < round_up(a.outputs, rows); k += rows)
        for (int64_t c = 0; c < a.depth; ++c)
            for (int r = 0; r < rows; ++r)
                *to++ = k + r < a.outputs ? a.weight[(k + r) * a.output_stride + c * a.depth_stride] : 0.0f;
}

// A 64-bit multiplicative hash of each piece, in eight lanes that hide the latency of the multiplication.
void hash_pieces(const FingerprintArguments& a) {
    constexpr int lanes = 8;
    constexpr uint64_t prime = 0x9E3779B97F4A7C15u;
    parallel(a.threads, [&](int thread, int threads) {
        const Range share = split(a.pieces, thread, threads);
        for (int64_t p = share.begin; p < share.end; ++p) {
            const Range piece = split(a.count, static_cast<int>(p), static_cast<int>(a.pieces));
            uint64_t hash[lanes];
            for (int i = 0; i < lanes; ++i) hash[i] = prime + i;
            int64_t w = piece.begin;
            for (; w + lanes <= piece.end; w += lanes)
                for (int i = 0; i < lanes; ++i) hash[i] = ((hash[i] ^ a.words[w + i]) * prime) ^ (hash[i] >> 29);
            for (; w < piece.end; ++w) hash[0] = ((hash[0] ^ a.words[w]) * prime) ^ (hash[0] >> 29);
            uint64_t all = 0;
            for (int i = 0; i < lanes; ++i) all = (all ^ hash[i]) * prime ^ (all >> 32);
            a.out[p] = all;
        }
    });
}

}  // namespace

constexpr Kernel pack_matrix = kernel_of<PackArguments, pack>();
constexpr Kernel fingerprint = kernel_of<FingerprintArguments, hash_pieces>();

}  // namespace medssm::MEDSSM_ISA
