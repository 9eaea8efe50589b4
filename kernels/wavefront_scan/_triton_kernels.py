"""The scan over a grid in Triton, forward and backward.

A program owns W neighbouring channels with all their N states and walks the grid in strips of R rows. In a strip it
sweeps the anti-diagonals: step k takes the cells (i, k - i) of all rows i at once, as a tile (R, N, W). The state to
the left of a cell is then the tile's own of the step before, the state above that of the row before. The last row of a
strip reaches the next one through memory. A cell outside the grid has step 0 and input 0.

Both kernels take `inputs`, the tensors of GridTensors in their order, (batch, dim or state, length) followed by their
strides, (dim, state) and (dim,) contiguous, None for an absent one; and `sizes`, (height, width, dim, state, blocks of
channels, slots of `rows`).

Pointers to tensors are moved once to the program's channels and states, and at each step to the place of each cell.
"""

import triton
import triton.language as tl

from medssm.kernels.triton_math import LOG2_E, sigmoid, softplus


@triton.jit
def cells_at(k, strip, height, width, REVERSE: tl.constexpr, R: tl.constexpr):
    """Step k of a strip: whether its cells exist, their columns and places, and what the two axes count in them.

    (R, 1, 1) each. A half counts each axis where a cell has both neighbours, else one counts all and the other nothing.
    """
    r = tl.arange(0, R)[:, None, None]
    i, j = strip * R + r, k - r
    exist = (j >= 0) & (j < width) & (i < height)
    place = tl.where(exist, i * width + j, 0)
    if REVERSE:
        place = height * width - 1 - place
    share = tl.where((i > 0) & (j > 0), 0.5, 1.0)
    return exist, j, place.to(tl.int64), tl.where(i > 0, share, 0.0), tl.where((j > 0) | (i == 0), share, 0.0)


@triton.jit
def load_channels(x, c, known, W: tl.constexpr):
    """A parameter (dim,) as (1, 1, W); zeros for None."""
    return tl.zeros([1, 1, W], tl.float32) if x is None else tl.load(x + c, mask=known, other=0.0)


@triton.jit
def load_axis(axis, place, exist, exist_c, exist_n, SOFTPLUS: tl.constexpr):
    """What softplus takes and the step of each cell (R, 1, W), 0 outside the grid, and its B (R, N, 1)."""
    dt, dt_stride, B, B_stride, bias = axis
    raw = tl.load(dt + place * dt_stride, mask=exist_c, other=0.0).to(tl.float32) + bias
    step = softplus(raw) if SOFTPLUS else raw
    Bs = tl.load(B + place * B_stride, mask=exist_n, other=0.0).to(tl.float32)
    return raw, tl.where(exist, step, 0.0), Bs


@triton.jit
def enter(step, exponent, h, x, B):
    """What one axis brings into the states of the cells: exp(step A) h + step x B, (R, N, W)."""
    return tl.exp2(step * exponent) * h + (step * x) * B


@triton.jit
def begin_cells(x, strides, batch, entries):
    """Pointers (1, 1, W) or (1, N, 1) to the entries of the first cell of a (batch, entries, length) tensor."""
    return x + (batch * strides[0] + entries * strides[1])


@triton.jit
def begin_axis(dt, dt_strides, B, B_strides, dt_bias, batch, c, n, known_c, W: tl.constexpr):
    """One axis as `load_axis` takes it: dt and B at the first cell, their strides along the cells, and the bias."""
    bias = load_channels(dt_bias, c, known_c, W)
    return begin_cells(dt, dt_strides, batch, c), dt_strides[2], begin_cells(B, B_strides, batch, n), B_strides[2], bias


@triton.jit
def load_both_exponents(A_top, A_left, c, n, state, known):
    """A * log2(e) of both axes, (1, N, W) each."""
    entry = c * state + n
    top = tl.load(A_top + entry, mask=known, other=0.0) * LOG2_E
    return top, tl.load(A_left + entry, mask=known, other=0.0) * LOG2_E


@triton.jit
def moved(tile, by: tl.constexpr, R: tl.constexpr):
    """A tile (R, N, W) whose row r is the row r + by; 0 where there is none."""
    r = tl.arange(0, R)[:, None, None] + by
    inside = (r >= 0) & (r < R)
    return tl.where(inside, tl.gather(tile, tl.broadcast_to(tl.where(inside, r, 0), tile.shape), 0), 0.0)


@triton.jit
def wavefront_forward(
    y,  # (batch, length, dim): out
    rows,  # (batch, slots, width, state, dim): out, the last row of each strip but the last, over and over
    inputs,  # see above
    sizes,
    REVERSE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    R: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
):
    """h = w_top (exp(dt_top A_top) h_top + dt_top B_top x) + w_left (the same of left),  y = C . h + D x."""
    x, x_strides, dt_top, dt_top_strides, dt_left, dt_left_strides, A_top, A_left = inputs[:8]
    B_top, B_top_strides, B_left, B_left_strides, C, C_strides, D, dt_bias_top, dt_bias_left = inputs[8:]
    height, width, dim, state, blocks, slots = sizes
    batch = (tl.program_id(0) // blocks).to(tl.int64)
    c = tl.program_id(0) % blocks * W + tl.arange(0, W)[None, None, :]
    n = tl.arange(0, N)[None, :, None]
    r = tl.arange(0, R)[:, None, None]
    known_c, known_n = c < dim, n < state
    known = known_c & known_n
    row_size = (width * state * dim).to(tl.int64)
    y += batch * height * width * dim + c
    rows += batch * slots * row_size + n * dim + c
    x, C = begin_cells(x, x_strides, batch, c), begin_cells(C, C_strides, batch, n)
    exponent_top, exponent_left = load_both_exponents(A_top, A_left, c, n, state, known)
    skip = load_channels(D, c, known_c, W)
    top = begin_axis(dt_top, dt_top_strides, B_top, B_top_strides, dt_bias_top, batch, c, n, known_c, W)
    left = begin_axis(dt_left, dt_left_strides, B_left, B_left_strides, dt_bias_left, batch, c, n, known_c, W)

    for strip in range(tl.cdiv(height, R)):
        above = rows + (strip + slots - 1) % slots * row_size
        below = rows + strip % slots * row_size
        known_above = known & (r == 0) & (strip * R + r > 0)
        known_below = known & (r == R - 1) & (strip * R + r + 1 < height)
        h = tl.zeros([R, N, W], tl.float32)
        for k in range(width + R - 1):
            exist, j, place, w_top, w_left = cells_at(k, strip, height, width, REVERSE, R)
            exist_c, exist_n = exist & known_c, exist & known_n
            xs = tl.load(x + place * x_strides[2], mask=exist_c, other=0.0).to(tl.float32)
            Cs = tl.load(C + place * C_strides[2], mask=exist_n, other=0.0).to(tl.float32)
            _, step_top, Bs_top = load_axis(top, place, exist, exist_c, exist_n, SOFTPLUS)
            _, step_left, Bs_left = load_axis(left, place, exist, exist_c, exist_n, SOFTPLUS)
            column = j.to(tl.int64) * (state * dim)

            h_top = moved(h, -1, R) + tl.load(above + column, mask=known_above & exist, other=0.0)
            from_top = enter(step_top, exponent_top, h_top, xs, Bs_top)
            h = w_top * from_top + w_left * enter(step_left, exponent_left, tl.where(j > 0, h, 0.0), xs, Bs_left)
            tl.store(y + place * dim, tl.sum(h * Cs, axis=1, keep_dims=True) + skip * xs, mask=exist_c)
            tl.store(below + column, h, mask=known_below & exist)
        tl.debug_barrier()


@triton.jit
def wavefront_backward(
    dx,  # (batch, length, dim): out
    ddt_top,  # (batch, length, dim): out
    ddt_left,  # (batch, length, dim): out
    dA_top,  # (batch, dim, state): out
    dA_left,  # (batch, dim, state): out
    dB_top,  # (batch, blocks, length, state): out
    dB_left,  # (batch, blocks, length, state): out
    dC,  # (batch, blocks, length, state): out
    dD,  # (batch, dim): out
    ddt_bias_top,  # (batch, dim): out
    ddt_bias_left,  # (batch, dim): out
    hs,  # (batch, blocks, steps, R, N, W): scratch, the states of a strip
    carried,  # (batch, 2, width, state, dim): scratch, what each strip hands to the last row of the one above
    grad_y,  # (batch, dim, length)
    grad_y_strides,
    rows,  # (batch, slots, width, state, dim), the last row of each strip but the last
    inputs,  # see above
    sizes,
    REVERSE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    R: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
):
    """Strips from the last to the first: the states of a strip again, then their gradient back through it."""
    x, x_strides, dt_top, dt_top_strides, dt_left, dt_left_strides, A_top, A_left = inputs[:8]
    B_top, B_top_strides, B_left, B_left_strides, C, C_strides, D, dt_bias_top, dt_bias_left = inputs[8:]
    height, width, dim, state, blocks, slots = sizes
    batch = (tl.program_id(0) // blocks).to(tl.int64)
    program = tl.program_id(0).to(tl.int64)
    c = tl.program_id(0) % blocks * W + tl.arange(0, W)[None, None, :]
    n = tl.arange(0, N)[None, :, None]
    r = tl.arange(0, R)[:, None, None]
    known_c, known_n = c < dim, n < state
    known = known_c & known_n
    steps = width + R - 1
    length = height * width
    row_size = (width * state * dim).to(tl.int64)
    dx += batch * length * dim + c
    ddt_top += batch * length * dim + c
    ddt_left += batch * length * dim + c
    dB_top += program * length * state + n
    dB_left += program * length * state + n
    dC += program * length * state + n
    hs += program * steps * (R * N * W) + (r * N + n) * W + tl.arange(0, W)[None, None, :]
    carried += batch * 2 * row_size + n * dim + c
    grad_y += batch * grad_y_strides[0] + c * grad_y_strides[1]
    rows += batch * slots * row_size + n * dim + c
    x, C = begin_cells(x, x_strides, batch, c), begin_cells(C, C_strides, batch, n)
    exponent_top, exponent_left = load_both_exponents(A_top, A_left, c, n, state, known)
    skip = load_channels(D, c, known_c, W)
    top = begin_axis(dt_top, dt_top_strides, B_top, B_top_strides, dt_bias_top, batch, c, n, known_c, W)
    left = begin_axis(dt_left, dt_left_strides, B_left, B_left_strides, dt_bias_left, batch, c, n, known_c, W)
    dA_top_sum = tl.zeros([R, N, W], tl.float32)
    dA_left_sum = tl.zeros([R, N, W], tl.float32)
    dD_sum = tl.zeros([R, 1, W], tl.float32)
    ddt_bias_top_sum = tl.zeros([R, 1, W], tl.float32)
    ddt_bias_left_sum = tl.zeros([R, 1, W], tl.float32)

    strips = tl.cdiv(height, R)
    for s in range(strips):
        strip = strips - 1 - s
        above = rows + (strip + slots - 1) % slots * row_size
        known_above = known & (r == 0) & (strip * R + r > 0)
        h = tl.zeros([R, N, W], tl.float32)
        for k in range(steps):
            exist, j, place, w_top, w_left = cells_at(k, strip, height, width, REVERSE, R)
            exist_c, exist_n = exist & known_c, exist & known_n
            xs = tl.load(x + place * x_strides[2], mask=exist_c, other=0.0).to(tl.float32)
            _, step_top, Bs_top = load_axis(top, place, exist, exist_c, exist_n, SOFTPLUS)
            _, step_left, Bs_left = load_axis(left, place, exist, exist_c, exist_n, SOFTPLUS)
            column = j.to(tl.int64) * (state * dim)
            h_top = moved(h, -1, R) + tl.load(above + column, mask=known_above & exist, other=0.0)
            from_top = enter(step_top, exponent_top, h_top, xs, Bs_top)
            h = w_top * from_top + w_left * enter(step_left, exponent_left, tl.where(j > 0, h, 0.0), xs, Bs_left)
            tl.store(hs + k * (R * N * W), h)
        tl.debug_barrier()

        from_below = carried + (s + 1) % 2 * row_size
        to_above = carried + s % 2 * row_size
        known_below = known & (r == R - 1) & (strip * R + r + 1 < height)
        to_top = tl.zeros([R, N, W], tl.float32)
        to_left = tl.zeros([R, N, W], tl.float32)
        for back in range(steps):
            k = steps - 1 - back
            exist, j, place, w_top, w_left = cells_at(k, strip, height, width, REVERSE, R)
            exist_c, exist_n = exist & known_c, exist & known_n
            gys = tl.load(grad_y + place * grad_y_strides[2], mask=exist_c, other=0.0).to(tl.float32)
            xs = tl.load(x + place * x_strides[2], mask=exist_c, other=0.0).to(tl.float32)
            Cs = tl.load(C + place * C_strides[2], mask=exist_n, other=0.0).to(tl.float32)
            raw_top, step_top, Bs_top = load_axis(top, place, exist, exist_c, exist_n, SOFTPLUS)
            raw_left, step_left, Bs_left = load_axis(left, place, exist, exist_c, exist_n, SOFTPLUS)
            column = j.to(tl.int64) * (state * dim)
            h = tl.load(hs + k * (R * N * W))
            h_left = tl.load(hs + (k - 1) * (R * N * W), mask=exist & (j > 0), other=0.0)
            h_top = tl.load(hs + (k - 1) * (R * N * W) - N * W, mask=exist & (r > 0), other=0.0)
            h_top += tl.load(above + column, mask=known_above & exist, other=0.0)

            # g = C dy + what the cells below and to the right hand back
            below = tl.load(from_below + column, mask=known_below & exist, other=0.0)
            g = tl.where(exist, gys * Cs + moved(to_top, 1, R) + below + to_left, 0.0)
            to_top = w_top * tl.exp2(step_top * exponent_top) * g
            to_left = w_left * tl.exp2(step_left * exponent_left) * g
            tl.store(to_above + column, to_top, mask=known_above & exist)
            g_top, g_left = w_top * g, w_left * g
            e_top, e_left = to_top * h_top, to_left * h_left
            dA_top_sum += step_top * e_top
            dA_left_sum += step_left * e_left
            sums = place * state
            tl.store(dC + sums, tl.sum(gys * h, axis=2, keep_dims=True), mask=exist_n)
            tl.store(dB_top + sums, tl.sum(g_top * (step_top * xs), axis=2, keep_dims=True), mask=exist_n)
            tl.store(dB_left + sums, tl.sum(g_left * (step_left * xs), axis=2, keep_dims=True), mask=exist_n)
            dx_top = tl.sum(g_top * Bs_top, axis=1, keep_dims=True)
            dx_left = tl.sum(g_left * Bs_left, axis=1, keep_dims=True)
            dstep_top = tl.sum(e_top * exponent_top, axis=1, keep_dims=True) / LOG2_E + dx_top * xs
            dstep_left = tl.sum(e_left * exponent_left, axis=1, keep_dims=True) / LOG2_E + dx_left * xs
            if SOFTPLUS:
                dstep_top *= sigmoid(raw_top)
                dstep_left *= sigmoid(raw_left)
            tl.store(dx + place * dim, dx_top * step_top + dx_left * step_left + skip * gys, mask=exist_c)
            tl.store(ddt_top + place * dim, dstep_top, mask=exist_c)
            tl.store(ddt_left + place * dim, dstep_left, mask=exist_c)
            dD_sum += gys * xs
            ddt_bias_top_sum += tl.where(exist, dstep_top, 0.0)
            ddt_bias_left_sum += tl.where(exist, dstep_left, 0.0)
        tl.debug_barrier()

    parameter = batch * dim * state + c * state + n
    tl.store(dA_top + parameter, tl.sum(dA_top_sum, axis=0, keep_dims=True), mask=known)
    tl.store(dA_left + parameter, tl.sum(dA_left_sum, axis=0, keep_dims=True), mask=known)
    tl.store(dD + batch * dim + c, tl.sum(dD_sum, axis=0, keep_dims=True), mask=known_c)
    tl.store(ddt_bias_top + batch * dim + c, tl.sum(ddt_bias_top_sum, axis=0, keep_dims=True), mask=known_c)
    tl.store(ddt_bias_left + batch * dim + c, tl.sum(ddt_bias_left_sum, axis=0, keep_dims=True), mask=known_c)
