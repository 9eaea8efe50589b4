"""The synthetic scenes as a folder laid out like ADE20K, written where asked or once to the user's cache."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from medssm.data.layouts.ade20k.layout import ANNOTATIONS, IMAGES, NAME_FILES, TRAINING, VALIDATION
from medssm.data.synthetic import SYNTHETIC
from medssm.data.synthetic.dataset import Fill, check_counts, described, in_threads, write_cached, write_new
from medssm.data.synthetic.scenes.drawing import CLASSES, draw_landscape

# Raise this whenever the same seed would give other scenes, so that no older ones are taken from the cache.
VERSION = 1
DEFAULT_TRAINING, DEFAULT_VALIDATION = SYNTHETIC["scenes"].defaults.values()
_PARTS = (TRAINING, VALIDATION)
_QUALITY = 90


def write_scenes(
    folder: str | Path, training: int = DEFAULT_TRAINING, validation: int = DEFAULT_VALIDATION, seed: int = 0
) -> None:
    """Writes synthetic scenes of eight classes in ADE20K's layout: JPEG files of 96 to 128 pixels, and label maps.

    The folder appears when all of it is written. Scene k is the same whatever the number of scenes.

    Args:
        folder: absent, or empty.
        training, validation: number of scenes.
        seed: another one gives other scenes.

    Raises: UsageError if the folder holds something, or there would be no scene.
    """
    write_new(folder, _filling(training, validation, seed))


def cached_scenes(training: int = DEFAULT_TRAINING, validation: int = DEFAULT_VALIDATION, seed: int = 0) -> Path:
    """The folder of synthetic scenes in the user's cache, written at the first call; arguments as for write_scenes.

    Processes that start at once each write their own; the first one done is kept by all.
    """
    arguments = described(training, validation, seed)
    return write_cached("scenes", VERSION, arguments, _filling(training, validation, seed))


def _filling(training: int, validation: int, seed: int) -> Fill:
    check_counts(training, validation, "scene")
    return partial(_write_dataset, counts=(training, validation), seed=seed)


def _write_dataset(folder: Path, counts: tuple[int, int], seed: int) -> None:
    for part in _PARTS:
        for side in (IMAGES, ANNOTATIONS):
            (folder / side / part).mkdir(parents=True)
    (folder / NAME_FILES[0]).write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    jobs = [(part, number) for part, count in enumerate(counts) for number in range(count)]
    in_threads(partial(_write_scene, folder, seed), jobs, "Writing the scenes")


def _write_scene(folder: Path, seed: int, job: tuple[int, int]) -> None:
    part, number = job
    scene = draw_landscape(np.random.default_rng((seed, part, number)))
    name = f"scene_{number + 1:05d}"
    Image.fromarray(scene.photograph).save(folder / IMAGES / _PARTS[part] / f"{name}.jpg", quality=_QUALITY)
    Image.fromarray(scene.numbers).save(folder / ANNOTATIONS / _PARTS[part] / f"{name}.png")
