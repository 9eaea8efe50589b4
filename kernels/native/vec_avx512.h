// Vec of 16 floats: AVX-512 (F, VL, BW, DQ).
#pragma once

#include <immintrin.h>

namespace medssm::MEDSSM_ISA {

struct Vec {
    static constexpr int width = 16;
    __m512 v;
};

// How many Vecs a loop may keep in registers, with room left for what it computes.
constexpr int state_registers = 16;

inline __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1u); }

inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Vec load(const float* p, int n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
inline void store(float* p, Vec x) { _mm512_storeu_ps(p, x.v); }
inline void store(float* p, Vec x, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), x.v); }
inline Vec broadcast(float a) { return {_mm512_set1_ps(a)}; }

inline Vec operator+(Vec x, Vec y) { return {_mm512_add_ps(x.v, y.v)}; }
inline Vec operator-(Vec x, Vec y) { return {_mm512_sub_ps(x.v, y.v)}; }
inline Vec operator*(Vec x, Vec y) { return {_mm512_mul_ps(x.v, y.v)}; }
inline Vec operator/(Vec x, Vec y) { return {_mm512_div_ps(x.v, y.v)}; }
inline Vec fma(Vec x, Vec y, Vec z) { return {_mm512_fmadd_ps(x.v, y.v, z.v)}; }
inline Vec fnma(Vec x, Vec y, Vec z) { return {_mm512_fnmadd_ps(x.v, y.v, z.v)}; }
inline Vec max(Vec x, Vec y) { return {_mm512_max_ps(x.v, y.v)}; }
inline Vec min(Vec x, Vec y) { return {_mm512_min_ps(x.v, y.v)}; }
inline Vec abs(Vec x) { return {_mm512_abs_ps(x.v)}; }
inline Vec round(Vec x) { return {_mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

// x - n, but 0 for an infinite x. Imm 0x08: to the nearest integer, no exception.
inline Vec fraction(Vec x, Vec) { return {_mm512_reduce_ps(x.v, 0x08)}; }

// The hardware scales and underflows by itself, for any n.
constexpr bool scale_needs_clamp = false;
inline Vec scale(Vec p, Vec n) { return {_mm512_scalef_ps(p.v, n.v)}; }

// 14 bits from the table, one Newton step.
inline Vec reciprocal(Vec x) {
    const Vec r{_mm512_rcp14_ps(x.v)};
    return fma(r, fnma(x, r, broadcast(1.0f)), r);
}

inline float sum(Vec x) { return _mm512_reduce_add_ps(x.v); }

// Lane i of the result is a partial sum of argument i % 4; store_quad_sum completes the four sums.
inline Vec fold(Vec a, Vec b, Vec c, Vec d) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c.v, d.v), _mm512_unpackhi_ps(c.v, d.v));
    const __m512 low = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd)));
    const __m512 high = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd)));
    return {_mm512_add_ps(low, high)};
}

// The sum of the quads of x, four floats.
inline void store_quad_sum(float* p, Vec x) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1));
    _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

inline void deinterleave(Vec a, Vec b, Vec& even, Vec& odd) {
    const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odds = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    even.v = _mm512_permutex2var_ps(a.v, evens, b.v);
    odd.v = _mm512_permutex2var_ps(a.v, odds, b.v);
}

inline void interleave(Vec even, Vec odd, Vec& a, Vec& b) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    a.v = _mm512_permutex2var_ps(even.v, low, odd.v);
    b.v = _mm512_permutex2var_ps(even.v, high, odd.v);
}

// Transposes the 16x16 matrix whose rows these are: 4x4 blocks inside the 128-bit lanes, then the lanes themselves.
inline void transpose(Vec (&rows)[16]) {
    __m512 t[16];
    for (int i = 0; i < 16; i += 4) {
        const __m512 ab = _mm512_unpacklo_ps(rows[i].v, rows[i + 1].v);
        const __m512 AB = _mm512_unpackhi_ps(rows[i].v, rows[i + 1].v);
        const __m512 cd = _mm512_unpacklo_ps(rows[i + 2].v, rows[i + 3].v);
        const __m512 CD = _mm512_unpackhi_ps(rows[i + 2].v, rows[i + 3].v);
        t[i] = _mm512_shuffle_ps(ab, cd, 0x44);
        t[i + 1] = _mm512_shuffle_ps(ab, cd, 0xEE);
        t[i + 2] = _mm512_shuffle_ps(AB, CD, 0x44);
        t[i + 3] = _mm512_shuffle_ps(AB, CD, 0xEE);
    }
    for (int i = 0; i < 4; ++i) {
        const __m512 low01 = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
        const __m512 low23 = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
        const __m512 high01 = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xDD);
        const __m512 high23 = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xDD);
        rows[i].v = _mm512_shuffle_f32x4(low01, low23, 0x88);
        rows[i + 8].v = _mm512_shuffle_f32x4(low01, low23, 0xDD);
        rows[i + 4].v = _mm512_shuffle_f32x4(high01, high23, 0x88);
        rows[i + 12].v = _mm512_shuffle_f32x4(high01, high23, 0xDD);
    }
}

inline Vec load_bf16(const uint16_t* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}

// Adds just under half a unit of the last kept bit, one more when that bit is odd; a NaN stays a quiet NaN.
inline void store_bf16(uint16_t* p, Vec x) {
    const __m512i bits = _mm512_castps_si512(x.v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    const __mmask16 nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
    const __m512i kept = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7FC00000));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16)));
}

}  // namespace medssm::MEDSSM_ISA
