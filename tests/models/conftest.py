"""Weights and inputs that can be made again anywhere: the goldens were computed by the official code on these."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from medssm.benchmarks import golden


@pytest.fixture(scope="session")
def fill() -> Callable[..., nn.Module]:
    """Gives every entry of a network its fixed value, `override(name, value)` where a golden says so."""
    return golden.fill


@pytest.fixture(scope="session")
def sample() -> Callable[..., Tensor]:
    """A standard-normal input of a shape and seed."""
    return lambda shape, seed=0: torch.from_numpy(golden.normal(seed, shape))
