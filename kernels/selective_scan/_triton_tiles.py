"""What the scan's Triton kernels share: tiles of states, rows of tokens, the step size, the carry across spans.

A program owns J * W neighbouring channels of one group and keeps all their N states in registers as a tile (J, N, W):
channel j * W + w, state n. A row of one token is (J, 1, W) for its channels and (1, N, 1) for its B or C. W channels
and a part of N lie across the lanes of a warp, J within a thread, so that sums over channels cross few lanes.

The scan's kernels, forward and backward, take `inputs`: u, dt (batch, dim, length), each followed by its strides,
A (dim, state), B, C (batch, groups, state, length) and their strides, D (dim,), z and its strides, dt_bias (dim,) and
the visits (length,), the last five None where absent; and `sizes`: (length, dim, channels of a group, blocks of a
group, blocks, spans, tokens of a span).

Tokens are taken UNROLL at a time: a Python tuple of rows unrolls in the compiler, and rows of the next tokens are
loaded while these are computed. A token past the end has step 0 and gradient 0, which leaves every state as it is.
"""

import triton
import triton.language as tl

from medssm.kernels.triton_math import LOG2_E, sigmoid, softplus

# Integers whose values the compiler may not know. Where it sees neighbouring addresses it gives each lane several of
# them, and that layout spreads over the whole kernel; `unit` is always 1.
LAYOUT_NEUTRAL = ("A_stride_dim", "A_stride_state", "unit")


@triton.jit
def split_program(blocks, spans):
    """This program's block of channels, span of tokens and batch entry, in int64 where an offset grows from it."""
    program = tl.program_id(0)
    return program % blocks, program // blocks % spans, (program // blocks // spans).to(tl.int64)


@triton.jit
def channels_of(block, blocks_per_group, group_dim, unit, J: tl.constexpr, W: tl.constexpr):
    """First channel of a block, its channels within the block (J, 1, W), how many exist, and its group."""
    group = block // blocks_per_group
    first = block % blocks_per_group * (J * W)
    lane = tl.arange(0, J)[:, None, None] * W + tl.arange(0, W)[None, None, :]
    return (group * group_dim + first).to(tl.int64), lane.to(tl.int64) * unit, group_dim - first, group.to(tl.int64)


@triton.jit
def place_of(sizes, unit, J: tl.constexpr, N: tl.constexpr, W: tl.constexpr):
    """This program's block, span, batch entry, group, first channel, lanes, how many exist, and states (1, N, 1)."""
    _, _, group_dim, blocks_per_group, blocks, spans, _ = sizes
    block, span, batch = split_program(blocks, spans)
    channel, lane, exist, group = channels_of(block, blocks_per_group, group_dim, unit, J, W)
    return block, span, batch, group, channel, lane, exist, tl.arange(0, N)[None, :, None].to(tl.int64)


@triton.jit
def load_tile(x, lane, lane_stride, n, n_stride, exist, STATE: tl.constexpr):
    """A tile (J, N, W) of states from its first entry on; 0 for channels and states that do not exist."""
    return tl.load(x + lane * lane_stride + n * n_stride, mask=(lane < exist) & (n < STATE), other=0.0)


@triton.jit
def load_exponents(A, lane, lane_stride, n, n_stride, exist, STATE: tl.constexpr):
    """The tile of A * log2(e), for powers of 2."""
    return load_tile(A, lane, lane_stride, n, n_stride, exist, STATE) * LOG2_E


@triton.jit
def load_parameters(x, entries, known):
    """A parameter's `entries`, (J, 1, W), of the channels that exist; None for None."""
    return None if x is None else tl.load(x + entries, mask=known, other=0.0)


@triton.jit
def begin(x, strides, batch, first):
    """The address of a (batch, dim, ...) tensor's batch entry at channel or group `first`."""
    return x + (batch * strides[0] + first * strides[1])


@triton.jit
def store_tile(x, lane, lane_stride, n, n_stride, tile, exist, STATE: tl.constexpr):
    tl.store(x + lane * lane_stride + n * n_stride, tile, mask=(lane < exist) & (n < STATE))


@triton.jit
def load_places(visits, t0, length, UNROLL: tl.constexpr):
    """Where the UNROLL tokens visited from t0 on lie in memory; past the end, where the last one lies."""
    places = ()
    for i in tl.static_range(UNROLL):
        t = tl.minimum(t0 + i, length - 1)
        places = places + (t if visits is None else tl.load(visits + t),)
    return places


@triton.jit
def load_rows(x, stride, places, entries, exist, UNROLL: tl.constexpr):
    """Rows of the tokens at `places` in float32; `entries` are the offsets within a row, x that of the first."""
    rows = ()
    for i in tl.static_range(UNROLL):
        row = x + places[i].to(tl.int64) * stride  # one address for all lanes; the entries are constant beside it
        rows = rows + (tl.load(row + entries, mask=exist, other=0.0).to(tl.float32),)
    return rows


@triton.jit
def step_sizes(raw_steps, bias, t0, length, SOFTPLUS: tl.constexpr, UNROLL: tl.constexpr):
    """The steps (J, 1, W) of the tokens from t0 on; 0 past the end."""
    steps = ()
    for i in tl.static_range(UNROLL):
        step = raw_steps[i]
        if bias is not None:
            step = step + bias
        if SOFTPLUS:
            step = softplus(step)
        steps = steps + (tl.where(t0 + i < length, step, 0.0),)
    return steps


@triton.jit(do_not_specialize=LAYOUT_NEUTRAL)
def span_states(
    states,  # (batch, spans, state, dim): out, the state at the end of each span that starts from zero
    totals,  # (batch, spans, dim): out, the sum of the steps of each span
    drive,  # (batch, dim, length): u; in reverse the gradient of y
    drive_strides,
    z,  # (batch, dim, length) or None: in reverse, the gate that scales the gradient
    z_strides,
    dt,  # (batch, dim, length)
    dt_strides,
    vector,  # (batch, groups, state, length): B; in reverse C
    vector_strides,
    A,  # (dim, state)
    A_stride_dim,
    A_stride_state,
    dt_bias,  # (dim,) or None
    visits,  # (length,) or None
    sizes,
    unit,
    STATE: tl.constexpr,
    N: tl.constexpr,
    J: tl.constexpr,
    W: tl.constexpr,
    UNROLL: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    REVERSE: tl.constexpr,
):
    """First of two levels: h = exp(dt A) h + dt u B over each span from h = 0; reversed, g = exp(dt A) (g + dy C)."""
    length, dim, _, _, _, spans, span_length = sizes
    _, span, batch, group, channel, lane, exist, n = place_of(sizes, unit, J, N, W)
    exponent = load_exponents(A + channel * A_stride_dim, lane, A_stride_dim, n, A_stride_state, exist, STATE)
    bias = load_parameters(dt_bias, channel + lane, lane < exist)
    drive = begin(drive, drive_strides, batch, channel)
    dt = begin(dt, dt_strides, batch, channel)
    vector = begin(vector, vector_strides, batch, group)
    if z is not None:
        z += batch * z_strides[0] + channel * z_strides[1]

    state = tl.zeros([J, N, W], tl.float32)
    total = tl.zeros([J, 1, W], tl.float32)
    first = span * span_length
    groups = tl.cdiv(tl.minimum(span_length, length - first), UNROLL)
    for k in range(groups):
        t0 = first + (groups - 1 - k if REVERSE else k) * UNROLL
        places = load_places(visits, t0, length, UNROLL)
        drives = load_rows(drive, drive_strides[2], places, lane * drive_strides[1], lane < exist, UNROLL)
        raw_steps = load_rows(dt, dt_strides[2], places, lane * dt_strides[1], lane < exist, UNROLL)
        steps = step_sizes(raw_steps, bias, t0, length, SOFTPLUS, UNROLL)
        vectors = load_rows(vector, vector_strides[3], places, n * vector_strides[2], n < STATE, UNROLL)
        if z is not None:
            gates = load_rows(z, z_strides[2], places, lane * z_strides[1], lane < exist, UNROLL)
        for i in tl.static_range(UNROLL - 1 if REVERSE else 0, -1 if REVERSE else UNROLL, -1 if REVERSE else 1):
            decay = tl.exp2(steps[i] * exponent)
            x = drives[i]
            if z is not None:
                x = x * gates[i] * sigmoid(gates[i])
            if REVERSE:
                state = decay * (state + tl.where(t0 + i < length, x, 0.0) * vectors[i])
            else:
                state = decay * state + (steps[i] * x) * vectors[i]
            total += steps[i]
    row = batch * spans + span
    tl.store(totals + row * dim + channel + lane, total, mask=lane < exist)
    store_tile(states + row * (STATE * dim) + channel, lane, 1, n, dim, state, exist, STATE)


@triton.jit(do_not_specialize=LAYOUT_NEUTRAL)
def carry_states(
    states,  # (batch, spans, state, dim): in, states of the spans from zero; out, the states that enter them
    totals,  # (batch, spans, dim)
    initial,  # (batch, dim, state) or None: what enters the first span
    A,  # (dim, state)
    A_stride_dim,
    A_stride_state,
    dim,
    spans,
    blocks,
    STATE: tl.constexpr,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
    REVERSE: tl.constexpr,
):
    """Second level: the state entering each span, from span to span, each decayed by exp(A * sum of its steps)."""
    block = tl.program_id(0) % blocks
    batch = (tl.program_id(0) // blocks).to(tl.int64)
    entry = block * BLOCK + tl.arange(0, BLOCK)  # of (state, dim)
    size = STATE * dim
    channel, n = entry % dim, entry // dim
    exponent = tl.load(A + channel * A_stride_dim + n * A_stride_state, mask=entry < size, other=0.0) * LOG2_E
    carried = tl.zeros([BLOCK], tl.float32)
    if initial is not None:
        carried = tl.load(initial + (batch * dim + channel) * STATE + n, mask=entry < size, other=0.0)
    for k in range(0, spans, UNROLL):
        rows, masks, local, decays = (), (), (), ()
        for i in tl.static_range(UNROLL):
            row = batch * spans + (spans - 1 - k - i if REVERSE else k + i)
            mask = entry < tl.where(k + i < spans, size, 0)
            rows = rows + (row,)
            masks = masks + (mask,)
            local = local + (tl.load(states + row * size + entry, mask=mask, other=0.0),)
            decays = decays + (tl.exp2(exponent * tl.load(totals + row * dim + channel, mask=mask, other=0.0)),)
        for i in tl.static_range(UNROLL):
            tl.store(states + rows[i] * size + entry, carried, mask=masks[i])
            carried = decays[i] * carried + local[i]
