"""The causal convolution in Triton: a program owns a tile of T visited tokens by W neighbouring channels.

Both kernels take `inputs`: x (batch, dim, length) and its strides, the weight (dim, WIDTH), contiguous, the bias (dim,)
and the visits (length,), None where absent; and `sizes`: (length, dim, blocks of tokens, blocks of channels).

The table of visits says where each token lies, so an order of a grid costs nothing; a token before the first or after
the last counts as 0.
"""

import triton
import triton.language as tl

from medssm.kernels.triton_math import sigmoid


@triton.jit
def tile_of(program, token_blocks, channel_blocks, T: tl.constexpr, W: tl.constexpr):
    """A program's channels (W,), the numbers of its tokens (T,) in the visit, and its batch entry."""
    channel = program % channel_blocks * W + tl.arange(0, W)
    t = program // channel_blocks % token_blocks * T + tl.arange(0, T)
    return channel, t, (program // channel_blocks // token_blocks).to(tl.int64)


@triton.jit
def load_tokens(x, strides, visits, t, channel, length, dim):
    """(T, W) in float32: the tokens visited at t, the channels `channel`; 0 outside."""
    place = t if visits is None else tl.load(visits + t, mask=(t >= 0) & (t < length), other=0)
    inside = ((t >= 0) & (t < length))[:, None] & (channel < dim)[None, :]
    address = x + place.to(tl.int64)[:, None] * strides[2] + channel[None, :] * strides[1]
    return tl.load(address, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def store_tokens(y, tile, visits, t, channel, length, dim):
    """(T, W) into rows of `dim` channels: the tokens visited at t, each where it lies."""
    place = t if visits is None else tl.load(visits + t, mask=t < length, other=0)
    address = y + place.to(tl.int64)[:, None] * dim + channel[None, :]
    tl.store(address, tile, mask=(t < length)[:, None] & (channel < dim)[None, :])


@triton.jit
def load_taps(weight, channel, dim, WIDTH: tl.constexpr):
    """WIDTH rows (1, W) of weights."""
    taps = ()
    for k in tl.static_range(WIDTH):
        taps = taps + (tl.load(weight + channel * WIDTH + k, mask=channel < dim, other=0.0)[None, :],)
    return taps


@triton.jit
def sum_of_taps(tiles, first: tl.constexpr, taps, bias, WIDTH: tl.constexpr):
    """bias + sum_k weight[k] * x[t - WIDTH + 1 + k], where tiles[first + k] holds x[t - WIDTH + 1 + k]."""
    total = tiles[first] * taps[0]
    for k in tl.static_range(1, WIDTH):
        total += tiles[first + k] * taps[k]
    if bias is not None:
        total += bias
    return total


@triton.jit
def conv_forward(
    y,  # (batch, length, dim): out
    inputs,
    sizes,
    WIDTH: tl.constexpr,
    SILU: tl.constexpr,
    T: tl.constexpr,
    W: tl.constexpr,
):
    """y[t] = silu(bias + sum_k weight[k] * x[t - WIDTH + 1 + k]) for a tile of tokens and channels."""
    x, x_strides, weight, bias, visits = inputs
    length, dim, token_blocks, channel_blocks = sizes
    program = tl.program_id(0)
    channel, t, batch = tile_of(program, token_blocks, channel_blocks, T, W)
    taps = load_taps(weight, channel, dim, WIDTH)
    offset = None if bias is None else tl.load(bias + channel, mask=channel < dim, other=0.0)[None, :]
    tiles = ()
    for k in tl.static_range(WIDTH):
        shifted = t - (WIDTH - 1 - k)
        tiles = tiles + (load_tokens(x + batch * x_strides[0], x_strides, visits, shifted, channel, length, dim),)
    total = sum_of_taps(tiles, 0, taps, offset, WIDTH)
    if SILU:
        total *= sigmoid(total)
    store_tokens(y + batch * length * dim, total, visits, t, channel, length, dim)


@triton.jit
def conv_backward(
    dx,  # (batch, length, dim): out
    partial,  # (batch * token_blocks, WIDTH + 1, dim): out, gradients of weight and bias, to be summed
    grad_y,  # (batch, dim, length)
    grad_strides,
    inputs,
    sizes,
    WIDTH: tl.constexpr,
    SILU: tl.constexpr,
    T: tl.constexpr,
    W: tl.constexpr,
):
    """Gradients from g = dy * silu'(convolution).

    dx[t] = sum_k weight[k] * g[t + WIDTH - 1 - k],   dweight[k] = sum_t g[t] * x[t - WIDTH + 1 + k]

    The convolution before the activation is computed again for the WIDTH tokens from t on that x[t] reaches.
    """
    x, x_strides, weight, bias, visits = inputs
    length, dim, token_blocks, channel_blocks = sizes
    program = tl.program_id(0)
    channel, t, batch = tile_of(program, token_blocks, channel_blocks, T, W)
    grad_y += batch * grad_strides[0]
    taps = load_taps(weight, channel, dim, WIDTH)
    offset = None if bias is None else tl.load(bias + channel, mask=channel < dim, other=0.0)[None, :]
    tiles = ()  # x at t - WIDTH + 1 ... t + WIDTH - 1
    for k in tl.static_range(2 * WIDTH - 1):
        shifted = t - (WIDTH - 1 - k)
        tiles = tiles + (load_tokens(x + batch * x_strides[0], x_strides, visits, shifted, channel, length, dim),)

    row = (program // channel_blocks).to(tl.int64) * ((WIDTH + 1) * dim)
    total = tl.zeros([T, W], tl.float32)
    for ahead in tl.static_range(WIDTH):
        g = load_tokens(grad_y, grad_strides, visits, t + ahead, channel, length, dim)
        if SILU:
            before = sum_of_taps(tiles, ahead, taps, offset, WIDTH)
            gate = sigmoid(before)
            g *= gate * (1 + before * (1 - gate))
        total += taps[WIDTH - 1 - ahead] * g
        if ahead == 0:
            for k in tl.static_range(WIDTH):
                tl.store(partial + row + k * dim + channel, tl.sum(g * tiles[k], axis=0), mask=channel < dim)
            tl.store(partial + row + WIDTH * dim + channel, tl.sum(g, axis=0), mask=channel < dim)
    store_tokens(dx + batch * length * dim, total, visits, t, channel, length, dim)
