// Functions of a Vec that are the same for every instruction set.
#pragma once

namespace medssm::MEDSSM_ISA {

constexpr float log2_e = 1.44269504088896341f;

inline Vec zeros() { return broadcast(0.0f); }
inline Vec operator-(Vec x) { return zeros() - x; }

// 2^x within 9e-8 relative: a polynomial of the fraction in [-1/2, 1/2], scaled by the nearest integer. Its constant
// term is exactly 1, so that 2^0 is 1. A table of 16 entries, and degree 6, were slower. 0 below 2^-126, infinite from
// 2^128 on, and a NaN for a NaN: where the bits of the exponent are added to, the clamp leaves a fraction of exactly 0 for
// n = -127 and 128, which makes them those of 0 and of infinity.
inline Vec exp2(Vec x) {
    if constexpr (scale_needs_clamp) x = max(broadcast(-127.0f), min(broadcast(128.0f), x));
    const Vec n = round(x);
    const Vec r = fraction(x, n);
    Vec p = fma(r, broadcast(1.32647272e-3f), broadcast(9.67151264e-3f));
    p = fma(r, p, broadcast(5.55073374e-2f));
    p = fma(r, p, broadcast(0.240222421f));
    p = fma(r, p, broadcast(0.693146978f));
    p = fma(r, p, broadcast(1.0f));
    return scale(p, n);
}

// log(1 + e^x) within 4e-7 relative, from e = e^-|x| in (0, 1]: max(x, 0) + log1p(e), log1p(e) / e as a polynomial
// (minimax of the relative error, 3.3e-8). No logarithm and no division.
inline Vec softplus(Vec x, Vec e) {
    Vec p = fma(e, broadcast(5.36483234e-3f), broadcast(-3.00657923e-2f));
    p = fma(e, p, broadcast(7.92045356e-2f));
    p = fma(e, p, broadcast(-0.137538023f));
    p = fma(e, p, broadcast(0.191536549f));
    p = fma(e, p, broadcast(-0.248571637f));
    p = fma(e, p, broadcast(0.333213226f));
    p = fma(e, p, broadcast(-0.49999648f));
    p = fma(e, p, broadcast(1.0f));
    return fma(e, p, max(zeros(), x));
}
inline Vec softplus(Vec x) { return softplus(x, exp2(abs(x) * broadcast(-log2_e))); }

// 1 / (1 + e^-x). The clamp keeps the sum finite, where reciprocal is defined.
inline Vec sigmoid(Vec x) {
    const Vec e = exp2(min(broadcast(118.0f), x * broadcast(-log2_e)));
    return reciprocal(broadcast(1.0f) + e);
}

// softplus and its derivative, the sigmoid, from one exponential: 1 / (1 + e) for positive x, e / (1 + e) for negative.
// The product with 1e38 is 1 or above for every positive x that is not itself so small that e is 1.
struct Softplus {
    Vec value, slope;
};
inline Softplus softplus_and_slope(Vec x) {
    const Vec e = exp2(abs(x) * broadcast(-log2_e)), one = broadcast(1.0f);
    const Vec numerator = max(e, min(one, x * broadcast(1e38f)));
    return {softplus(x, e), numerator * reciprocal(one + e)};
}

}  // namespace medssm::MEDSSM_ISA
