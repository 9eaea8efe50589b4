"""The forward scan of one span of tokens, in Triton; the tiles are those of `_triton_tiles`."""

import triton
import triton.language as tl

from medssm.kernels.selective_scan._triton_tiles import (
    LAYOUT_NEUTRAL,
    begin,
    load_exponents,
    load_parameters,
    load_places,
    load_rows,
    load_tile,
    place_of,
    step_sizes,
    store_tile,
)
from medssm.kernels.triton_math import sigmoid


@triton.jit(do_not_specialize=LAYOUT_NEUTRAL)
def scan_forward(
    y,  # (batch, length, dim): out
    last_state,  # (batch, dim, state): out
    checkpoints,  # (batch, chunks, state, dim) or None: out, the state that enters each chunk
    entering,  # (batch, spans, state, dim) or None: the state that enters each span; None for zero
    inputs,
    A_stride_dim,
    A_stride_state,
    sizes,
    unit,
    STATE: tl.constexpr,
    N: tl.constexpr,
    J: tl.constexpr,
    W: tl.constexpr,
    UNROLL: tl.constexpr,
    CHUNK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
):
    """h = exp(dt A) h + dt u B,  y = (C . h + D u) silu(z), over one span from the state that enters it."""
    u, u_strides, dt, dt_strides, A, B, B_strides, C, C_strides, D, z, z_strides, dt_bias, visits = inputs
    length, dim, _, _, _, spans, span_length = sizes
    _, span, batch, group, channel, lane, exist, n = place_of(sizes, unit, J, N, W)
    exponent = load_exponents(A + channel * A_stride_dim, lane, A_stride_dim, n, A_stride_state, exist, STATE)
    bias = load_parameters(dt_bias, channel + lane, lane < exist)
    skip = load_parameters(D, channel + lane, lane < exist)
    y += batch * length * dim + channel
    u, dt = begin(u, u_strides, batch, channel), begin(dt, dt_strides, batch, channel)
    B, C = begin(B, B_strides, batch, group), begin(C, C_strides, batch, group)
    if z is not None:
        z += batch * z_strides[0] + channel * z_strides[1]
    first = span * span_length
    if entering is None:
        h = tl.zeros([J, N, W], tl.float32)
    else:
        row = (batch * spans + span) * (STATE * dim)
        h = load_tile(entering + row + channel, lane, 1, n, dim, exist, STATE)

    places = load_places(visits, first, length, UNROLL)
    places_next = load_places(visits, first + UNROLL, length, UNROLL)
    us = load_rows(u, u_strides[2], places, lane * u_strides[1], lane < exist, UNROLL)
    raw_steps = load_rows(dt, dt_strides[2], places, lane * dt_strides[1], lane < exist, UNROLL)
    for t0 in range(first, tl.minimum(first + span_length, length), UNROLL):
        if checkpoints is not None:
            if t0 % CHUNK == 0:
                row = (batch * tl.cdiv(length, CHUNK) + t0 // CHUNK) * (STATE * dim)
                store_tile(checkpoints + row + channel, lane, 1, n, dim, h, exist, STATE)
        us_next = load_rows(u, u_strides[2], places_next, lane * u_strides[1], lane < exist, UNROLL)
        raw_steps_next = load_rows(dt, dt_strides[2], places_next, lane * dt_strides[1], lane < exist, UNROLL)
        places_after = load_places(visits, t0 + 2 * UNROLL, length, UNROLL)
        Bs = load_rows(B, B_strides[3], places, n * B_strides[2], n < STATE, UNROLL)
        Cs = load_rows(C, C_strides[3], places, n * C_strides[2], n < STATE, UNROLL)
        if z is not None:
            zs = load_rows(z, z_strides[2], places, lane * z_strides[1], lane < exist, UNROLL)
        steps = step_sizes(raw_steps, bias, t0, length, SOFTPLUS, UNROLL)
        ys = ()
        for i in tl.static_range(UNROLL):
            h = tl.exp2(steps[i] * exponent) * h + (steps[i] * us[i]) * Bs[i]
            out = tl.sum(h * Cs[i], axis=1, keep_dims=True)  # (J, 1, W)
            if D is not None:
                out += skip * us[i]
            if z is not None:
                out *= zs[i] * sigmoid(zs[i])
            ys = ys + (out,)
        for i in tl.static_range(UNROLL):
            stored = tl.where(t0 + i < length, exist, 0)
            tl.store(y + places[i].to(tl.int64) * dim + lane, ys[i], mask=lane < stored)
        places, places_next = places_next, places_after
        us, raw_steps = us_next, raw_steps_next
    if span == spans - 1:
        store_tile(last_state + (batch * dim + channel) * STATE, lane, STATE, n, unit, h, exist, STATE)
