"""The Triton kernels of state fusion: the sum of a token's taps, and the correlation that its weights' gradient is."""

import triton
import triton.language as tl


@triton.jit
def load_cells(x, x_strides, i, j, width, exist):
    """Tokens (T, W) of float32 at rows i and columns j of the grid; x is (1, W), one address a channel."""
    token = (i * width + j).to(tl.int64) * x_strides[2]
    return tl.load(x + token[:, None], mask=exist, other=0.0).to(tl.float32)


@triton.jit
def clamp(i, size):
    return tl.minimum(tl.maximum(i, 0), size - 1)


@triton.jit
def sum_taps(
    out,  # (batch, (height + 2 * margin) * (width + 2 * margin), dim): out
    x,  # (batch, dim, height * width)
    x_strides,
    weights,  # (dilations, dim, 3, 3), contiguous
    dilations,  # (dilations,)
    height,
    width,
    margin,
    dim,
    token_blocks,
    channel_blocks,
    count,  # of the dilations
    TRANSPOSED: tl.constexpr,
    T: tl.constexpr,
    W: tl.constexpr,
):
    """out[i, j] = sum of weight * x[clamp(i + dy), clamp(j + dx)]; or TRANSPOSED, of weight * x[i - dy, j - dx].

    The sum that is TRANSPOSED takes 0 from outside the grid.
    """
    program = tl.program_id(0)
    channel = (program % channel_blocks * W + tl.arange(0, W)).to(tl.int64)
    token = program // channel_blocks % token_blocks * T + tl.arange(0, T)
    batch = (program // channel_blocks // token_blocks).to(tl.int64)
    out_width = width + 2 * margin
    length = (height + 2 * margin) * out_width
    exist = (token < length)[:, None] & (channel < dim)[None, :]
    i, j = token // out_width - margin, token % out_width - margin
    x += batch * x_strides[0] + channel[None, :] * x_strides[1]
    total = tl.zeros([T, W], tl.float32)
    for k in range(count):
        dilation = tl.load(dilations + k)
        for p in tl.static_range(3):
            for q in tl.static_range(3):
                weight = tl.load(weights + (k * dim + channel) * 9 + (p * 3 + q), mask=channel < dim, other=0.0)
                if TRANSPOSED:
                    row, column = i - (p - 1) * dilation, j - (q - 1) * dilation
                    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
                    cells = load_cells(x, x_strides, row, column, width, exist & inside[:, None])
                else:
                    row, column = clamp(i + (p - 1) * dilation, height), clamp(j + (q - 1) * dilation, width)
                    cells = load_cells(x, x_strides, row, column, width, exist)
                total += weight[None, :] * cells
    offsets = (batch * length + token)[:, None] * dim + channel[None, :]
    tl.store(out + offsets, total.to(out.dtype.element_ty), mask=exist)


@triton.jit
def correlate(
    partial,  # (batch, dilations, 9, dim): out, to be summed
    grad,  # (batch, dim, height * width)
    grad_strides,
    h,  # (batch, dim, height * width)
    h_strides,
    dilations,  # (dilations,)
    height,
    width,
    dim,
    channel_blocks,
    count,  # of the dilations
    T: tl.constexpr,
    W: tl.constexpr,
):
    """Of one batch element, dilation and block of channels: the sum of grad[i, j] * h[clamp(i + dy), clamp(j + dx)]."""
    program = tl.program_id(0)
    channel = (program % channel_blocks * W + tl.arange(0, W)).to(tl.int64)
    k = program // channel_blocks % count
    batch = (program // channel_blocks // count).to(tl.int64)
    dilation = tl.load(dilations + k)
    grad += batch * grad_strides[0] + channel[None, :] * grad_strides[1]
    h += batch * h_strides[0] + channel[None, :] * h_strides[1]
    for p in tl.static_range(3):
        for q in tl.static_range(3):
            total = tl.zeros([T, W], tl.float32)
            for first in range(0, height * width, T):
                token = first + tl.arange(0, T)
                exist = (token < height * width)[:, None] & (channel < dim)[None, :]
                i, j = token // width, token % width
                row, column = clamp(i + (p - 1) * dilation, height), clamp(j + (q - 1) * dilation, width)
                cells = load_cells(h, h_strides, row, column, width, exist)
                total += cells * load_cells(grad, grad_strides, i, j, width, exist)
            offset = ((batch * count + k) * 9 + (p * 3 + q)) * dim + channel
            tl.store(partial + offset, tl.sum(total, axis=0), mask=channel < dim)
