"""The synthetic scenes as a folder laid out like ADE20K, written where asked or once to the user's cache."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from medssm.data.layouts.ade20k.layout import ANNOTATIONS, IMAGES, NAME_FILES, TRAINING, VALIDATION
from medssm.data.progress import tracked
from medssm.data.synthetic.scenes.drawing import CLASSES, draw_scene
from medssm.errors import UsageError
from medssm.files import atomic_folder, cached_folder, refuse_full_folder

# Raise this whenever the same seed would give other scenes, so that no older ones are taken from the cache.
VERSION = 1
# Of the dataset behind `--data synthetic`.
DEFAULT_TRAINING, DEFAULT_VALIDATION = 400, 80
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
    folder = Path(folder)
    if training < 1 or validation < 1:
        raise UsageError(f"one scene at least must train and one validate, found {training} and {validation}")
    refuse_full_folder(folder)
    with atomic_folder(folder) as temporary:
        for part in _PARTS:
            for side in (IMAGES, ANNOTATIONS):
                (temporary / side / part).mkdir(parents=True)
        (temporary / NAME_FILES[0]).write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
        jobs = [(part, number) for part, count in enumerate((training, validation)) for number in range(count)]
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            for _ in tracked(pool.map(partial(_write_scene, temporary, seed), jobs), len(jobs), "Writing the scenes"):
                pass


def cached_scenes(training: int = DEFAULT_TRAINING, validation: int = DEFAULT_VALIDATION, seed: int = 0) -> Path:
    """The folder of synthetic scenes in the user's cache, written at the first call; arguments as for write_scenes.

    Processes that start at once each write their own; the first one done is kept by all.
    """
    name = f"v{VERSION}-{training}-training-{validation}-validation-seed-{seed}"
    return cached_folder("scenes", name, lambda folder: write_scenes(folder, training, validation, seed))


def _write_scene(folder: Path, seed: int, job: tuple[int, int]) -> None:
    part, number = job
    scene = draw_scene(np.random.default_rng((seed, part, number)))
    name = f"scene_{number + 1:05d}"
    Image.fromarray(scene.photograph).save(folder / IMAGES / _PARTS[part] / f"{name}.jpg", quality=_QUALITY)
    Image.fromarray(scene.numbers).save(folder / ANNOTATIONS / _PARTS[part] / f"{name}.png")
