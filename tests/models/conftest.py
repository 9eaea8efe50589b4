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


def filled(name: str, shape: Sequence[int]) -> np.ndarray | None:
    """The value of an entry, fixed by its published name and its shape: seeded noise at the scale of its kind.

    None for integer counters, which keep their own.
    """
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return None
    noise = normal(zlib.crc32(name.encode()), shape)
    if leaf == "running_var":
        return 1 + 0.1 * np.abs(noise)
    if leaf == "running_mean":
        return 0.1 * noise
    if leaf.startswith("A_log"):
        return np.log(np.arange(1, shape[-1] + 1, dtype=np.float32)) + 0.1 * noise
    if leaf in ("D", "Ds"):
        return 1 + 0.1 * noise
    if "dt_proj" in name and "bias" in leaf:
        return -4 + 0.5 * noise
    if leaf == "pos_embed":
        return 0.02 * noise
    if len(shape) <= 1:
        return 1 + 0.1 * noise if leaf in ("weight", "gamma", "gamma_1", "gamma_2") else 0.02 * noise
    return noise / math.sqrt(math.prod(shape[1:]))


Override = Callable[[str, np.ndarray], np.ndarray]


@pytest.fixture(scope="session")
def fill() -> Callable[..., nn.Module]:
    """Gives every entry of a network its fixed value, `override(name, value)` where a golden says so."""

    def fill_in_place(model: nn.Module, override: Override = lambda _, value: value) -> nn.Module:
        values = {name: filled(name, tensor.shape) for name, tensor in model.state_dict().items()}
        state = {
            name: torch.from_numpy(np.asarray(override(name, value), dtype=np.float32))
            for name, value in values.items()
            if value is not None
        }
        assert all(".num_batches_tracked" in name for name in model.load_state_dict(state, strict=False).missing_keys)
        return model

    return fill_in_place


@pytest.fixture(scope="session")
def sample() -> Callable[..., Tensor]:
    """A standard-normal input of a shape and seed."""
    return lambda shape, seed=0: torch.from_numpy(normal(seed, shape))
