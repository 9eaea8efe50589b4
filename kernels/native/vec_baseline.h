// Vec of 4 floats in plain C++ over the compiler's vector extension: any processor, no intrinsics.
#pragma once

namespace medssm::MEDSSM_ISA {

using Float4 = float __attribute__((vector_size(16)));
using Int4 = int32_t __attribute__((vector_size(16)));
using Uint4 = uint32_t __attribute__((vector_size(16)));

struct Vec {
    static constexpr int width = 4;
    Float4 v;
};

// How many Vecs a loop may keep in registers, with room left for what it computes.
constexpr int state_registers = 8;

inline Vec load(const float* p) {
    Vec x;
    std::memcpy(&x.v, p, sizeof x.v);
    return x;
}
inline void store(float* p, Vec x) { std::memcpy(p, &x.v, sizeof x.v); }
inline Vec broadcast(float a) { return {Float4{a, a, a, a}}; }

inline Vec operator+(Vec x, Vec y) { return {x.v + y.v}; }
inline Vec operator-(Vec x, Vec y) { return {x.v - y.v}; }
inline Vec operator*(Vec x, Vec y) { return {x.v * y.v}; }
inline Vec operator/(Vec x, Vec y) { return {x.v / y.v}; }
inline Vec fma(Vec x, Vec y, Vec z) { return {x.v * y.v + z.v}; }
inline Vec fnma(Vec x, Vec y, Vec z) { return {z.v - x.v * y.v}; }
inline Vec max(Vec x, Vec y) { return {x.v > y.v ? x.v : y.v}; }
inline Vec min(Vec x, Vec y) { return {x.v < y.v ? x.v : y.v}; }
inline Vec abs(Vec x) { return {(Float4)((Int4)x.v & 0x7FFFFFFF)}; }

// Exact for |x| < 2^22, where adding 1.5 * 2^23 pushes the fraction out; the clamp of exp2 keeps to that.
inline Vec round(Vec x) {
    const Vec magic = broadcast(12582912.0f);
    return (x + magic) - magic;
}

// x - n, where n is round(x); 0 for an infinite x is not asked for, as x is clamped.
inline Vec fraction(Vec x, Vec n) { return x - n; }

// The integer n goes straight into the exponent's bits.
constexpr bool scale_needs_clamp = true;
inline Vec scale(Vec p, Vec n) {
    return {(Float4)((Int4)p.v + (__builtin_convertvector(n.v, Int4) << 23))};
}

inline Vec reciprocal(Vec x) { return broadcast(1.0f) / x; }
inline float sum(Vec x) { return (x.v[0] + x.v[1]) + (x.v[2] + x.v[3]); }

// Lane i of the result is the sum of argument i.
inline Vec fold(Vec a, Vec b, Vec c, Vec d) { return {Float4{sum(a), sum(b), sum(c), sum(d)}}; }
inline void store_quad_sum(float* p, Vec x) { store(p, x); }

inline void deinterleave(Vec a, Vec b, Vec& even, Vec& odd) {
    even.v = Float4{a.v[0], a.v[2], b.v[0], b.v[2]};
    odd.v = Float4{a.v[1], a.v[3], b.v[1], b.v[3]};
}

inline void interleave(Vec even, Vec odd, Vec& a, Vec& b) {
    a.v = Float4{even.v[0], odd.v[0], even.v[1], odd.v[1]};
    b.v = Float4{even.v[2], odd.v[2], even.v[3], odd.v[3]};
}

// Transposes the 4x4 matrix whose rows these are.
inline void transpose(Vec (&rows)[4]) {
    const Float4 a = rows[0].v, b = rows[1].v, c = rows[2].v, d = rows[3].v;
    for (int i = 0; i < 4; ++i) rows[i].v = Float4{a[i], b[i], c[i], d[i]};
}

inline Vec load_bf16(const uint16_t* p) {
    return {(Float4)(Uint4{p[0], p[1], p[2], p[3]} << 16)};
}

// Adds just under half a unit of the last kept bit, one more when that bit is odd; a NaN stays a quiet NaN.
inline void store_bf16(uint16_t* p, Vec x) {
    const Uint4 bits = (Uint4)x.v;
    const Uint4 rounded = (bits + ((bits >> 16) & 1) + 0x7FFF) >> 16;
    for (int i = 0; i < 4; ++i) p[i] = static_cast<uint16_t>(x.v[i] == x.v[i] ? rounded[i] : 0x7FC0);
}

}  // namespace medssm::MEDSSM_ISA

#include "vec_partial.h"
