"""Functions of float32 tiles for Triton kernels, the same compiled and interpreted.

Exponentials are written in base 2: exp2 is one instruction on a GPU, exp takes five, to keep denormal results.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return 1 / (1 + tl.exp2(x * -LOG2_E))


@triton.jit
def softplus(x):
    """log(1 + exp(x)) = max(x, 0) + log1p(e) with e = exp(-|x|), and log1p(e) = 2 artanh(e / (2 + e)).

    The argument of artanh is at most 1/3: seven terms of its series are exact to 2e-8, without a logarithm.
    """
    e = tl.exp2(tl.abs(x) * -LOG2_E)
    s = e / (2 + e)
    q = s * s
    series = 1 / 11 + q * (1 / 13)
    for odd in tl.static_range(9, 0, -2):
        series = 1 / odd + q * series
    return tl.maximum(x, 0.0) + 2 * s * series
