"""Random numbers for code that draws them from global generators, as timm's and torchvision's transforms do."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def global_draws_from(generator: np.random.Generator) -> Iterator[None]:
    """What Python, NumPy and torch (on the CPU) draw in this block follows from `generator` alone.

    Afterwards the three global generators stand where they stood before. They belong to the process: blocks must not
    run in two of its threads at once.
    """
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    seeds = generator.integers(2**32, size=3, dtype=np.uint64)
    try:
        random.seed(int(seeds[0]))
        np.random.seed(int(seeds[1]))
        torch.default_generator.manual_seed(int(seeds[2]))
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])
