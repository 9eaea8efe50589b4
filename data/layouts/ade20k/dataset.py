"""Which photographs train and which validate, and where the label map of each is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medssm.data.images.reading import read_image
from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.ade20k.labels import read_scene_labels
from medssm.data.layouts.ade20k.layout import (
    TRAINING,
    VALIDATION,
    SceneFolders,
    files_by_stem,
    find_scene_folders,
    read_names,
)
from medssm.data.layouts.faults import Fault, some
from medssm.errors import DataError


class Scene(NamedTuple):
    """A photograph and its label map."""

    image: Path
    labels: Path


@dataclass(frozen=True)
class SceneDataset:
    """The photographs of a folder.

    Attributes:
        source: the folder.
        names: of the classes, in the order of their labels from 0.
        training, validation: sorted by name; either may be empty.
    """

    source: Path
    names: tuple[str, ...]
    training: tuple[Scene, ...]
    validation: tuple[Scene, ...]


def load_scenes(folder: str | Path) -> SceneDataset:
    """The photographs in `folder` and their label maps; nothing is read of them but their names.

    Raises: DataError in one sentence if there is no dataset, a file lacks its partner, or the classes have no names.
    """
    layout = scene_layout(Path(folder))
    names = read_names(layout)
    faults = list(partner_faults(layout))
    if faults:
        first, others = faults[0], len(faults) - 1
        more = f" ({others} more; medssm data check {folder} lists all)" if others else ""
        raise DataError(f"{first.file}: {first.message}{more}")
    return SceneDataset(Path(folder), names, *(tuple(scenes_of(layout, part)) for part in (TRAINING, VALIDATION)))


def read_scene(scene: Scene, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A photograph (H, W, 3) uint8 and its classes (H, W) uint8, upright.

    Raises: DataError if either cannot be read, they differ in size, or a label is of no class.
    """
    photograph, labels = np.array(read_image(scene.image)), read_scene_labels(scene.labels, num_classes)
    if photograph.shape[:2] != labels.shape:
        shapes = " and ".join(f"{height} x {width}" for height, width in (labels.shape, photograph.shape[:2]))
        raise DataError(
            f"{scene.labels}: label map and photograph are of {shapes} pixels; they must be equal, get both again"
        )
    return photograph, labels


def scene_layout(folder: Path) -> SceneFolders:
    """The parts of a folder.

    Raises: DataError if it is none of photographs with label maps.
    """
    layout = find_scene_folders(folder)
    if layout is None:
        what = (
            "no folders images and annotations with training or validation in them" if folder.is_dir() else "no folder"
        )
        raise DataError(f"{folder}: {what}. {LAYOUTS['ade20k'].where}")
    return layout


def scenes_of(layout: SceneFolders, part: str) -> Iterator[Scene]:
    """The photographs of a part that have a label map."""
    labels = files_by_stem(layout.annotations(part))
    for stem, image in files_by_stem(layout.images(part)).items():
        if stem in labels:
            yield Scene(image, labels[stem])


def partner_faults(layout: SceneFolders) -> Iterator[Fault]:
    """Photographs without label maps, and the other way round, by folder."""
    for part in (TRAINING, VALIDATION):
        folders = layout.images(part), layout.annotations(part)
        images, labels = (files_by_stem(folder) for folder in folders)
        if alone := [images[stem].name for stem in images if stem not in labels]:
            message = (
                f"{some(alone, 'photograph')} without a label map in {folders[1]}; add it, or remove the photograph"
            )
            yield Fault(folders[0], "missing-partner", message)
        if alone := [labels[stem].name for stem in labels if stem not in images]:
            message = (
                f"{some(alone, 'label map')} without a photograph in {folders[0]}; add it, or remove the label map"
            )
            yield Fault(folders[1], "missing-partner", message)
