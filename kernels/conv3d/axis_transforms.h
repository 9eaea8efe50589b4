// Minimal filtering with 3 taps along one axis: y = A' ((G g) * (B' d)), the product taken entry by entry.
//
// Polynomials are multiplied by their values at points and infinity (Toom-Cook). For 2 outputs the points are 0, 1, -1.
// For 4 outputs they are 0, +-3/4, +-3/2: of the choices tried these err least, half as much as the usual 0, +-1, +-2.
#pragma once

#include "vec.h"

namespace medssm::MEDSSM_ISA {

constexpr double inner = 0.75, outer = 1.5;
constexpr double inner2 = inner * inner, outer2 = outer * outer;

inline void transform_input(const Vec (&d)[4], Vec (&v)[4]) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
}

inline void transform_input(const Vec (&d)[6], Vec (&v)[6]) {
    const Vec a = broadcast(inner), a2 = broadcast(inner2), b = broadcast(outer), b2 = broadcast(outer2);
    const Vec sum = broadcast(inner2 + outer2), product = broadcast(inner2 * outer2);
    const Vec even_a = fnma(b2, d[2], d[4]), odd_a = fnma(b2, d[1], d[3]);
    const Vec even_b = fnma(a2, d[2], d[4]), odd_b = fnma(a2, d[1], d[3]);
    v[0] = fma(product, d[0], fnma(sum, d[2], d[4]));
    v[1] = fma(a, odd_a, even_a);
    v[2] = fnma(a, odd_a, even_a);
    v[3] = fma(b, odd_b, even_b);
    v[4] = fnma(b, odd_b, even_b);
    v[5] = fma(product, d[1], fnma(sum, d[3], d[5]));
}

inline void transform_output(const Vec (&m)[4], Vec (&y)[2]) {
    y[0] = m[0] + (m[1] + m[2]);
    y[1] = (m[1] - m[2]) - m[3];
}

inline void transform_output(const Vec (&m)[6], Vec (&y)[4]) {
    const Vec even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = m[0] + (even_a + even_b);
    y[1] = fma(broadcast(inner), odd_a, broadcast(outer) * odd_b);
    y[2] = fma(broadcast(inner2), even_a, broadcast(outer2) * even_b);
    y[3] = fma(broadcast(inner2 * inner), odd_a, fma(broadcast(outer2 * outer), odd_b, m[5]));
}

// u = G g for taps g[0], g[stride], g[2 * stride], its entries out_stride apart.
template <int outputs>
inline void transform_weight(const double* g, int stride, double* u, int out_stride) {
    const double g0 = g[0], g1 = g[stride], g2 = g[2 * stride];
    if (outputs == 2) {
        const double entries[] = {g0, 0.5 * (g0 + g1 + g2), 0.5 * (g0 - g1 + g2), g2};
        for (int i = 0; i < 4; ++i) u[i * out_stride] = entries[i];
        return;
    }
    const double at_inner = 0.5 / (inner2 * (inner2 - outer2)), at_outer = 0.5 / (outer2 * (outer2 - inner2));
    const double even_a = g0 + inner2 * g2, odd_a = inner * g1, even_b = g0 + outer2 * g2, odd_b = outer * g1;
    const double entries[] = {g0 / (inner2 * outer2),      at_inner * (even_a + odd_a), at_inner * (even_a - odd_a),
                              at_outer * (even_b + odd_b), at_outer * (even_b - odd_b), g2};
    for (int i = 0; i < 6; ++i) u[i * out_stride] = entries[i];
}

// u (side + 2, side + 2, 4) from weight (3, 3, 3): `side` outputs along z and y, two along x.
template <int side>
inline void transform_weights(const float* weight, double* u) {
    constexpr int n = side + 2;
    double g[27], x[9 * 4], yx[3 * n * 4];
    for (int i = 0; i < 27; ++i) g[i] = weight[i];
    for (int i = 0; i < 9; ++i) transform_weight<2>(g + 3 * i, 1, x + 4 * i, 1);
    for (int i = 0; i < 12; ++i) transform_weight<side>(x + i / 4 * 12 + i % 4, 4, yx + i / 4 * 4 * n + i % 4, 4);
    for (int i = 0; i < 4 * n; ++i) transform_weight<side>(yx + i, 4 * n, u + i, 4 * n);
}

}  // namespace medssm::MEDSSM_ISA
