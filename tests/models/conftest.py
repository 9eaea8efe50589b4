"""Weights and inputs that can be made again anywhere: the goldens were computed by the official code on these."""

import math
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn


def normal(seed: int, shape: Sequence[int]) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(tuple(shape)).astype(np.float32)


def filled(name: str, shape: Sequence[int]) -> np.ndarray:
    """The value of an entry, fixed by its published name and its shape: seeded noise at the scale of its kind."""
    noise = normal(zlib.crc32(name.encode()), shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "A_log":
        return np.log(np.arange(1, shape[-1] + 1, dtype=np.float32)) + 0.1 * noise
    if leaf == "D":
        return 1 + 0.1 * noise
    if name.endswith("dt_proj.bias"):
        return -4 + 0.5 * noise
    if leaf == "pos_embed":
        return 0.02 * noise
    if len(shape) == 1:
        return 1 + 0.1 * noise if leaf == "weight" else 0.02 * noise
    return noise / math.sqrt(math.prod(shape[1:]))


@pytest.fixture(scope="session")
def fill() -> Callable[[nn.Module], nn.Module]:
    """Gives every entry of a network its fixed value."""

    def fill_in_place(model: nn.Module) -> nn.Module:
        state = {name: torch.from_numpy(filled(name, tensor.shape)) for name, tensor in model.state_dict().items()}
        model.load_state_dict(state)
        return model

    return fill_in_place


@pytest.fixture(scope="session")
def sample() -> Callable[..., Tensor]:
    """A standard-normal input of a shape and seed."""
    return lambda shape, seed=0: torch.from_numpy(normal(seed, shape))
