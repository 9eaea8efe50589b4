"""Every random number of a run is a function of (seed, purpose, step), so resuming needs no generator state."""

from enum import IntEnum
from functools import lru_cache

import numpy as np
import torch


class Purpose(IntEnum):
    """What a stream of random numbers is for; streams of different purposes are independent."""

    MODEL = 0
    ORDER = 1
    SAMPLE = 2
    FORWARD = 3
    BATCH = 4


def generator(seed: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """The generator of one place in the run, for example (step, position in the batch)."""
    return np.random.default_rng(_sequence(seed, purpose, *place))


def seed_torch(seed: int, purpose: Purpose, *place: int) -> None:
    """Sets torch's generators on every device for one place in the run (initial weights, dropout of a step)."""
    torch.manual_seed(int(_sequence(seed, purpose, *place).generate_state(1, np.uint64)[0]))


def samples_of_step(seed: int, step: int, size: int, batch: int) -> np.ndarray:
    """Indices (batch,) of the samples of a step: each epoch is one permutation of range(size), its rest left out."""
    epoch, position = divmod(step, size // batch)
    return _order(seed, epoch, size)[position * batch : (position + 1) * batch]


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, size: int) -> np.ndarray:
    """The permutation of an epoch, kept as that of a million images takes as long as reading one of them."""
    return generator(seed, Purpose.ORDER, epoch).permutation(size)


def _sequence(seed: int, purpose: Purpose, *place: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(int(purpose), *place))
