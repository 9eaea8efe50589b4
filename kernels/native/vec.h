// A thin layer over the vector registers of the instruction set that this translation unit is compiled for.
//
// Vec holds Vec::width floats. Each vec_<isa>.h defines, in the namespace of its instruction set:
//   load(p), load(p, n), store(p, x), store(p, x, n)   unaligned; with n only the first n lanes (others read as 0)
//   load_bf16(p), store_bf16(p, x)                      bfloat16 in memory, rounded to nearest even
//   broadcast(a), x + y, x - y, x * y, x / y, fma(x, y, z) = x*y + z, fnma(x, y, z) = z - x*y
//   max(x, y), min(x, y) (a NaN in y comes through), abs(x), round(x) to the nearest integer
//   scale(p, n) = p * 2^n for integral n               may assume -127 <= n <= 128 unless it is AVX-512
//   fraction(x, n) = x - n where n is round(x)          0 for an infinite x if it is AVX-512
//   reciprocal(x) within 2 ulp for 2^-120 < x < 2^120, sum(x) over the lanes, fold(x, y), transpose(rows)
//   deinterleave(a, b, even, odd)                       even and odd elements of the 2*width floats a, b
// What they have in common is in vec_math.h.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include "vec_avx512.h"
#elif defined(__AVX2__)
#include "vec_avx2.h"
#elif defined(__ARM_NEON)
#include "vec_neon.h"
#else
#include "vec_baseline.h"
#endif

#include "vec_math.h"
