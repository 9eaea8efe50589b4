// Loops unrolled by the language, not by the compiler's judgement: arrays indexed in them stay in registers.
#pragma once

#include <utility>

namespace medssm::MEDSSM_ISA {

template <int I>
using Index = std::integral_constant<int, I>;

template <typename Body, int... I>
__attribute__((always_inline)) inline void unroll(Body&& body, std::integer_sequence<int, I...>) {
    (body(Index<I>{}), ...);
}

// body(0), body(1), ... body(n - 1), each with its index as a constant.
template <int n, typename Body>
__attribute__((always_inline)) inline void unroll(Body&& body) {
    unroll(body, std::make_integer_sequence<int, n>{});
}

}  // namespace medssm::MEDSSM_ISA

#define MEDSSM_INLINE __attribute__((always_inline))
