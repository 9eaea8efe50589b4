"""The gradient of the scan over one span of tokens, in Triton; the tiles are those of `_triton_tiles`."""

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
from medssm.kernels.triton_math import LOG2_E, sigmoid


@triton.jit(do_not_specialize=LAYOUT_NEUTRAL)
def scan_backward(
    du,  # (batch, length, dim): out
    ddt,  # (batch, length, dim): out
    dz,  # (batch, length, dim) or None: out
    dA,  # (batch * spans, dim, state): out, to be summed over its first axis
    dD_ddt_bias,  # (batch * spans, 2, dim): out, to be summed over its first axis
    dB,  # (batch, groups, blocks_per_group, length, state): out, to be summed over its third axis
    dC,  # the same
    group_states,  # (programs, CHUNK / UNROLL, N, W, J): scratch
    entering,  # (batch, spans, state, dim) or None: the gradient of the state that leaves each span
    grad_last_state,  # (batch, dim, state) or None: the same for a single span
    grad_y,  # (batch, dim, length)
    grad_strides,
    checkpoints,  # (batch, chunks, state, dim)
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
    """Chunks from the last to the first: states again from the checkpoint, then g = exp(dt A) (g + dy C) backwards."""
    u, u_strides, dt, dt_strides, A, B, B_strides, C, C_strides, D, z, z_strides, dt_bias, visits = inputs
    length, dim, _, _, blocks, spans, span_length = sizes
    block, span, batch, group, channel, lane, exist, n = place_of(sizes, unit, J, N, W)
    exponent = load_exponents(A + channel * A_stride_dim, lane, A_stride_dim, n, A_stride_state, exist, STATE)
    bias = load_parameters(dt_bias, channel + lane, lane < exist)
    skip = load_parameters(D, channel + lane, lane < exist)
    tokens = batch * length * dim + channel
    grad_y = begin(grad_y, grad_strides, batch, channel)
    u, dt = begin(u, u_strides, batch, channel), begin(dt, dt_strides, batch, channel)
    B, C = begin(B, B_strides, batch, group), begin(C, C_strides, batch, group)
    if z is not None:
        z += batch * z_strides[0] + channel * z_strides[1]
    partial = (batch * blocks + block) * length * STATE
    own = tl.arange(0, J)[:, None, None] * W + tl.arange(0, W)[None, None, :] + (J * W) * n
    own *= unit
    group_states += tl.program_id(0).to(tl.int64) * (CHUNK // UNROLL * J * N * W) + own

    if entering is not None:
        row = (batch * spans + span) * (STATE * dim)
        g = load_tile(entering + row + channel, lane, 1, n, dim, exist, STATE)
    elif grad_last_state is not None:
        g = load_tile(grad_last_state + (batch * dim + channel) * STATE, lane, STATE, n, unit, exist, STATE)
    else:
        g = tl.zeros([J, N, W], tl.float32)
    dA_sum = tl.zeros([J, N, W], tl.float32)
    dD_sum = tl.zeros([J, 1, W], tl.float32)
    ddt_bias_sum = tl.zeros([J, 1, W], tl.float32)

    first = span * span_length
    chunks = tl.cdiv(tl.minimum(span_length, length - first), CHUNK)
    for c in range(chunks):
        start = first + (chunks - 1 - c) * CHUNK
        groups = tl.cdiv(tl.minimum(CHUNK, length - start), UNROLL)
        row = (batch * tl.cdiv(length, CHUNK) + start // CHUNK) * (STATE * dim)
        h = load_tile(checkpoints + row + channel, lane, 1, n, dim, exist, STATE)
        for k in range(groups):
            tl.store(group_states + k * (J * N * W), h)
            t0 = start + k * UNROLL
            places = load_places(visits, t0, length, UNROLL)
            us = load_rows(u, u_strides[2], places, lane * u_strides[1], lane < exist, UNROLL)
            raw_steps = load_rows(dt, dt_strides[2], places, lane * dt_strides[1], lane < exist, UNROLL)
            Bs = load_rows(B, B_strides[3], places, n * B_strides[2], n < STATE, UNROLL)
            steps = step_sizes(raw_steps, bias, t0, length, SOFTPLUS, UNROLL)
            for i in tl.static_range(UNROLL):
                h = tl.exp2(steps[i] * exponent) * h + (steps[i] * us[i]) * Bs[i]
        tl.debug_barrier()

        for r in range(groups):
            k = groups - 1 - r
            t0 = start + k * UNROLL
            places = load_places(visits, t0, length, UNROLL)
            us = load_rows(u, u_strides[2], places, lane * u_strides[1], lane < exist, UNROLL)
            raw_steps = load_rows(dt, dt_strides[2], places, lane * dt_strides[1], lane < exist, UNROLL)
            grads = load_rows(grad_y, grad_strides[2], places, lane * grad_strides[1], lane < exist, UNROLL)
            Bs = load_rows(B, B_strides[3], places, n * B_strides[2], n < STATE, UNROLL)
            Cs = load_rows(C, C_strides[3], places, n * C_strides[2], n < STATE, UNROLL)
            if z is not None:
                zs = load_rows(z, z_strides[2], places, lane * z_strides[1], lane < exist, UNROLL)
            hs = (tl.load(group_states + k * (J * N * W)),)
            decays = ()
            steps = step_sizes(raw_steps, bias, t0, length, SOFTPLUS, UNROLL)
            for i in tl.static_range(UNROLL):
                decays = decays + (tl.exp2(steps[i] * exponent),)
                hs = hs + (decays[i] * hs[i] + (steps[i] * us[i]) * Bs[i],)
            for i in tl.static_range(UNROLL - 1, -1, -1):
                inside = t0 + i < length
                place = places[i].to(tl.int64)
                stored = lane < tl.where(inside, exist, 0)
                stored_n = n < tl.where(inside, STATE, 0)
                dy = tl.where(inside, grads[i], 0.0)
                if z is not None:
                    out = tl.sum(hs[i + 1] * Cs[i], axis=1, keep_dims=True)
                    if D is not None:
                        out += skip * us[i]
                    gate = sigmoid(zs[i])
                    gate_grad = dy * out * gate * (1 + zs[i] * (1 - gate))
                    tl.store(dz + tokens + place * dim + lane, gate_grad, mask=stored)
                    dy = dy * zs[i] * gate
                g += dy * Cs[i]
                dx = tl.sum(g * Bs[i], axis=1, keep_dims=True)  # gradient of step * u
                dB_t = tl.sum(tl.sum(g * (steps[i] * us[i]), axis=0, keep_dims=True), axis=2, keep_dims=True)
                dC_t = tl.sum(tl.sum(hs[i + 1] * dy, axis=0, keep_dims=True), axis=2, keep_dims=True)
                g = g * decays[i]
                dexponent = g * hs[i]  # gradient of step * A
                dA_sum += dexponent * steps[i]
                dstep = tl.sum(dexponent * exponent, axis=1, keep_dims=True) / LOG2_E + dx * us[i]
                dut = dx * steps[i]
                if D is not None:
                    dut += dy * skip
                    dD_sum += dy * us[i]
                if SOFTPLUS:
                    raw = raw_steps[i]
                    if dt_bias is not None:
                        raw += bias
                    dstep *= sigmoid(raw)
                if dt_bias is not None:
                    ddt_bias_sum += tl.where(inside, dstep, 0.0)
                tl.store(du + tokens + place * dim + lane, dut, mask=stored)
                tl.store(ddt + tokens + place * dim + lane, dstep, mask=stored)
                tl.store(dB + partial + place * STATE + n, dB_t, mask=stored_n)
                tl.store(dC + partial + place * STATE + n, dC_t, mask=stored_n)
        tl.debug_barrier()

    row = batch * spans + span
    store_tile(dA + (row * dim + channel) * STATE, lane, STATE, n, unit, dA_sum, exist, STATE)
    if D is not None:
        tl.store(dD_ddt_bias + row * 2 * dim + channel + lane, dD_sum, mask=lane < exist)
    if dt_bias is not None:
        tl.store(dD_ddt_bias + (row * 2 + 1) * dim + channel + lane, ddt_bias_sum, mask=lane < exist)
