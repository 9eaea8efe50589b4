"""The synthetic images as folders of classes, written where asked or once to the user's cache."""

from functools import partial
from pathlib import Path

import numpy as np

from medssm.data.synthetic import SYNTHETIC
from medssm.data.synthetic.dataset import Fill, check_counts, described, in_threads, write_cached, write_new
from medssm.data.synthetic.shapes.patterns import PATTERNS, draw_pattern

# Raise this whenever the same seed would give other images, so that no older ones are taken from the cache.
VERSION = 1
DEFAULT_TRAINING, DEFAULT_VALIDATION = SYNTHETIC["shapes"].defaults.values()
_PARTS = ("train", "val")
_QUALITY = 90


def write_shapes(
    folder: str | Path, training: int = DEFAULT_TRAINING, validation: int = DEFAULT_VALIDATION, seed: int = 0
) -> None:
    """Writes a synthetic dataset of ten classes: train/<class>/ and val/<class>/ with JPEG files of 80 to 128 pixels.

    The folder appears when all of it is written. Image k of a class is the same whatever the number of images.

    Args:
        folder: absent, or empty.
        training, validation: images per class.
        seed: another one gives other images of the same classes.

    Raises: UsageError if the folder holds something, or there would be no image.
    """
    write_new(folder, _filling(training, validation, seed))


def cached_shapes(training: int = DEFAULT_TRAINING, validation: int = DEFAULT_VALIDATION, seed: int = 0) -> Path:
    """The folder of a synthetic dataset in the user's cache, written at the first call; arguments as for write_shapes.

    Processes that start at once each write their own; the first one done is kept by all.
    """
    arguments = described(training, validation, seed)
    return write_cached("shapes", VERSION, arguments, _filling(training, validation, seed))


def _filling(training: int, validation: int, seed: int) -> Fill:
    check_counts(training, validation, "image")
    return partial(_write_dataset, counts=(training, validation), seed=seed)


def _write_dataset(folder: Path, counts: tuple[int, int], seed: int) -> None:
    jobs = [
        (part, label, number) for part in range(2) for label in range(len(PATTERNS)) for number in range(counts[part])
    ]
    for part in _PARTS:
        for name in PATTERNS:
            (folder / part / name).mkdir(parents=True)
    in_threads(partial(_write_image, folder, seed), jobs, "Writing the images")


def _write_image(folder: Path, seed: int, job: tuple[int, int, int]) -> None:
    part, label, number = job
    name = tuple(PATTERNS)[label]
    image = draw_pattern(name, np.random.default_rng((seed, part, label, number)))
    image.save(folder / _PARTS[part] / name / f"{name}_{number + 1:04d}.jpg", quality=_QUALITY)
