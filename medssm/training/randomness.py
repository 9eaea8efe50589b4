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


def samples_of_step(
    seed: int, step: int, size: int, total: int, batch: int = 1, groups: np.ndarray | None = None
) -> np.ndarray:
    """Indices (total,) of the samples of a step: each epoch is one permutation of range(size), its rest left out.

    Args:
        batch: samples that are taken together, of one group each; divides `total`.
        groups: (size,), the group of each sample, from 0 to 255; None for one.
    """
    epoch, position = divmod(step, size // total)
    order = _order(seed, epoch, size) if groups is None else _grouped_order(seed, epoch, batch, _bytes(groups))
    return order[position * total : (position + 1) * total]


def grouped(order: np.ndarray, groups: np.ndarray, batch: int) -> np.ndarray:
    """A permutation (n,) rearranged into batches of one group, in the order in which the groups fill theirs.

    What is left of the groups at the end makes up batches of several, so that no sample is lost; they come last.

    Source: the sampler by aspect ratio of MMDetection.
    """
    waiting: dict[int, list[int]] = {}
    full: list[int] = []
    for index in order.tolist():
        mates = waiting.setdefault(int(groups[index]), [])
        mates.append(index)
        if len(mates) == batch:
            full += waiting.pop(int(groups[index]))
    return np.array(full + [index for mates in waiting.values() for index in mates], order.dtype)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, size: int) -> np.ndarray:
    """The permutation of an epoch, kept as that of a million images takes as long as reading one of them."""
    return generator(seed, Purpose.ORDER, epoch).permutation(size)


@lru_cache(maxsize=2)
def _grouped_order(seed: int, epoch: int, batch: int, groups: bytes) -> np.ndarray:
    return grouped(_order(seed, epoch, len(groups)), np.frombuffer(groups, np.uint8), batch)


def _bytes(groups: np.ndarray) -> bytes:
    return groups.astype(np.uint8).tobytes()


def _sequence(seed: int, purpose: Purpose, *place: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(int(purpose), *place))
