// Vec of 8 floats: AVX2 with FMA.
#pragma once

#include <immintrin.h>

namespace medssm::MEDSSM_ISA {

struct Vec {
    static constexpr int width = 8;
    __m256 v;
};

// How many Vecs a loop may keep in registers, with room left for what it computes.
constexpr int state_registers = 8;

inline __m256i first_lanes(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline Vec load(const float* p, int n) { return {_mm256_maskload_ps(p, first_lanes(n))}; }
inline void store(float* p, Vec x) { _mm256_storeu_ps(p, x.v); }
inline void store(float* p, Vec x, int n) { _mm256_maskstore_ps(p, first_lanes(n), x.v); }
inline Vec broadcast(float a) { return {_mm256_set1_ps(a)}; }

inline Vec operator+(Vec x, Vec y) { return {_mm256_add_ps(x.v, y.v)}; }
inline Vec operator-(Vec x, Vec y) { return {_mm256_sub_ps(x.v, y.v)}; }
inline Vec operator*(Vec x, Vec y) { return {_mm256_mul_ps(x.v, y.v)}; }
inline Vec operator/(Vec x, Vec y) { return {_mm256_div_ps(x.v, y.v)}; }
inline Vec fma(Vec x, Vec y, Vec z) { return {_mm256_fmadd_ps(x.v, y.v, z.v)}; }
inline Vec fnma(Vec x, Vec y, Vec z) { return {_mm256_fnmadd_ps(x.v, y.v, z.v)}; }
inline Vec max(Vec x, Vec y) { return {_mm256_max_ps(x.v, y.v)}; }
inline Vec min(Vec x, Vec y) { return {_mm256_min_ps(x.v, y.v)}; }
inline Vec abs(Vec x) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), x.v)}; }
inline Vec round(Vec x) { return {_mm256_round_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

// x - n, where n is round(x); 0 for an infinite x is not asked for, as x is clamped.
inline Vec fraction(Vec x, Vec n) { return x - n; }

// The integer n goes straight into the exponent's bits.
constexpr bool scale_needs_clamp = true;
inline Vec scale(Vec p, Vec n) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n.v), 23);
    return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p.v), exponent))};
}

inline Vec reciprocal(Vec x) { return {_mm256_div_ps(_mm256_set1_ps(1.0f), x.v)}; }

inline float sum(Vec x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x.v), _mm256_extractf128_ps(x.v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

// Lane i of the result is a partial sum of argument i % 4; store_quad_sum completes the four sums.
inline Vec fold(Vec a, Vec b, Vec c, Vec d) {
    const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a.v, b.v), _mm256_unpackhi_ps(a.v, b.v));
    const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c.v, d.v), _mm256_unpackhi_ps(c.v, d.v));
    const __m256 low = _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd)));
    const __m256 high = _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd)));
    return {_mm256_add_ps(low, high)};
}

// The sum of the quads of x, four floats.
inline void store_quad_sum(float* p, Vec x) {
    _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(x.v), _mm256_extractf128_ps(x.v, 1)));
}

inline void deinterleave(Vec a, Vec b, Vec& even, Vec& odd) {
    const __m256 low = _mm256_permute2f128_ps(a.v, b.v, 0x20);
    const __m256 high = _mm256_permute2f128_ps(a.v, b.v, 0x31);
    even.v = _mm256_shuffle_ps(low, high, 0x88);
    odd.v = _mm256_shuffle_ps(low, high, 0xDD);
}

inline void interleave(Vec even, Vec odd, Vec& a, Vec& b) {
    const __m256 low = _mm256_unpacklo_ps(even.v, odd.v);
    const __m256 high = _mm256_unpackhi_ps(even.v, odd.v);
    a.v = _mm256_permute2f128_ps(low, high, 0x20);
    b.v = _mm256_permute2f128_ps(low, high, 0x31);
}

// Transposes the 8x8 matrix whose rows these are: 4x4 blocks inside the 128-bit lanes, then the lanes themselves.
inline void transpose(Vec (&rows)[8]) {
    __m256 t[8];
    for (int i = 0; i < 8; i += 4) {
        const __m256 ab = _mm256_unpacklo_ps(rows[i].v, rows[i + 1].v);
        const __m256 AB = _mm256_unpackhi_ps(rows[i].v, rows[i + 1].v);
        const __m256 cd = _mm256_unpacklo_ps(rows[i + 2].v, rows[i + 3].v);
        const __m256 CD = _mm256_unpackhi_ps(rows[i + 2].v, rows[i + 3].v);
        t[i] = _mm256_shuffle_ps(ab, cd, 0x44);
        t[i + 1] = _mm256_shuffle_ps(ab, cd, 0xEE);
        t[i + 2] = _mm256_shuffle_ps(AB, CD, 0x44);
        t[i + 3] = _mm256_shuffle_ps(AB, CD, 0xEE);
    }
    for (int i = 0; i < 4; ++i) {
        rows[i].v = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        rows[i + 4].v = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}

inline Vec load_bf16(const uint16_t* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
}

// Adds just under half a unit of the last kept bit, one more when that bit is odd; a NaN stays a quiet NaN.
inline void store_bf16(uint16_t* p, Vec x) {
    const __m256i bits = _mm256_castps_si256(x.v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x.v, x.v, _CMP_UNORD_Q));
    const __m256i kept = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7FC00000), nan), 16);
    const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(kept), _mm256_extracti128_si256(kept, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
}

}  // namespace medssm::MEDSSM_ISA
