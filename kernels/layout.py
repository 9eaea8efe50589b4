"""The memory layouts of what the kernels give back, the same for every backend."""

from torch import Tensor


def empty_tokens(like: Tensor) -> Tensor:
    """Unwritten (batch, dim, length), with `dim` contiguous in memory: the layout of outputs and gradients."""
    batch, dim, length = like.shape
    return like.new_empty(batch, length, dim).transpose(1, 2)


def empty_states(like: Tensor) -> Tensor:
    """Unwritten (batch, groups, state, length), with `state` contiguous: the layout of the gradients of B and C."""
    batch, groups, state, length = like.shape
    return like.new_empty(batch, groups, length, state).transpose(2, 3)


def empty_state_path(like: Tensor, state: int) -> Tensor:
    """Unwritten (batch, dim, state, length), as (batch, length, state, dim) in memory: states after every token."""
    batch, dim, length = like.shape
    return like.new_empty(batch, length, state, dim).permute(0, 3, 2, 1)


def laid_out(tensor: Tensor) -> Tensor:
    """Tokens (3 axes), coefficients (4) or parameters (others) in their layout; a copy only if they lie otherwise.

    States after every token, which have 4 axes too, lie otherwise and never come here: see `empty_state_path`.
    """
    empty = {3: empty_tokens, 4: empty_states}.get(tensor.ndim)
    if empty is None:
        return tensor.contiguous()
    wanted = empty(tensor)
    return tensor if tensor.stride() == wanted.stride() else wanted.copy_(tensor)
