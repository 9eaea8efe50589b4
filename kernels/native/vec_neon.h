// Vec of 4 floats: AArch64 NEON.
#pragma once

#include <arm_neon.h>

namespace medssm::MEDSSM_ISA {

struct Vec {
    static constexpr int width = 4;
    float32x4_t v;
};

// How many Vecs a loop may keep in registers, with room left for what it computes.
constexpr int state_registers = 16;

inline Vec load(const float* p) { return {vld1q_f32(p)}; }
inline void store(float* p, Vec x) { vst1q_f32(p, x.v); }
inline Vec broadcast(float a) { return {vdupq_n_f32(a)}; }

inline Vec operator+(Vec x, Vec y) { return {vaddq_f32(x.v, y.v)}; }
inline Vec operator-(Vec x, Vec y) { return {vsubq_f32(x.v, y.v)}; }
inline Vec operator*(Vec x, Vec y) { return {vmulq_f32(x.v, y.v)}; }
inline Vec operator/(Vec x, Vec y) { return {vdivq_f32(x.v, y.v)}; }
inline Vec fma(Vec x, Vec y, Vec z) { return {vfmaq_f32(z.v, x.v, y.v)}; }
inline Vec fnma(Vec x, Vec y, Vec z) { return {vfmsq_f32(z.v, x.v, y.v)}; }
inline Vec max(Vec x, Vec y) { return {vmaxq_f32(x.v, y.v)}; }
inline Vec min(Vec x, Vec y) { return {vminq_f32(x.v, y.v)}; }
inline Vec abs(Vec x) { return {vabsq_f32(x.v)}; }
inline Vec round(Vec x) { return {vrndnq_f32(x.v)}; }

// x - n, where n is round(x); 0 for an infinite x is not asked for, as x is clamped.
inline Vec fraction(Vec x, Vec n) { return x - n; }

// The integer n goes straight into the exponent's bits.
constexpr bool scale_needs_clamp = true;
inline Vec scale(Vec p, Vec n) {
    const int32x4_t exponent = vshlq_n_s32(vcvtnq_s32_f32(n.v), 23);
    return {vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p.v), exponent))};
}

inline Vec reciprocal(Vec x) { return {vdivq_f32(vdupq_n_f32(1.0f), x.v)}; }
inline float sum(Vec x) { return vaddvq_f32(x.v); }

// Lane i of the result is the sum of argument i.
inline Vec fold(Vec a, Vec b, Vec c, Vec d) {
    return {vpaddq_f32(vpaddq_f32(a.v, b.v), vpaddq_f32(c.v, d.v))};
}
inline void store_quad_sum(float* p, Vec x) { vst1q_f32(p, x.v); }

inline void deinterleave(Vec a, Vec b, Vec& even, Vec& odd) {
    even.v = vuzp1q_f32(a.v, b.v);
    odd.v = vuzp2q_f32(a.v, b.v);
}

inline void interleave(Vec even, Vec odd, Vec& a, Vec& b) {
    a.v = vzip1q_f32(even.v, odd.v);
    b.v = vzip2q_f32(even.v, odd.v);
}

// Transposes the 4x4 matrix whose rows these are.
inline void transpose(Vec (&rows)[4]) {
    const float32x4x2_t ab = vtrnq_f32(rows[0].v, rows[1].v);
    const float32x4x2_t cd = vtrnq_f32(rows[2].v, rows[3].v);
    rows[0].v = vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0]));
    rows[1].v = vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1]));
    rows[2].v = vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0]));
    rows[3].v = vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1]));
}

inline Vec load_bf16(const uint16_t* p) {
    return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))};
}

// Adds just under half a unit of the last kept bit, one more when that bit is odd; a NaN stays a quiet NaN.
inline void store_bf16(uint16_t* p, Vec x) {
    const uint32x4_t bits = vreinterpretq_u32_f32(x.v);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF)));
    const uint32x4_t kept = vbslq_u32(vceqq_f32(x.v, x.v), rounded, vdupq_n_u32(0x7FC00000));
    vst1_u16(p, vshrn_n_u32(kept, 16));
}

}  // namespace medssm::MEDSSM_ISA

#include "vec_partial.h"
