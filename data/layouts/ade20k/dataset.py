"""Which photographs train and which validate, and where the label map of each is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medssm.data.images.reading import read_image
from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.ade20k.labels import doubtful_numbering, read_numbers, read_scene_labels
from medssm.data.layouts.ade20k.layout import (
    TRAINING,
    VALIDATION,
    SceneFolders,
    files_by_stem,
    find_scene_folders,
    names_alike,
    read_names,
)
from medssm.data.layouts.faults import Fault, some
from medssm.errors import DataError

# Label maps that are looked at until all classes have been seen.
_LOOKED_AT = 1000


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
        first: the label of the first class in the label maps, 0 or 1.
    """

    source: Path
    names: tuple[str, ...]
    training: tuple[Scene, ...]
    validation: tuple[Scene, ...]
    first: int = 1

    def read(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """A photograph (H, W, 3) uint8 and its classes (H, W) uint8, upright; raises as `read_scene`."""
        return read_scene(scene, len(self.names), self.first)


def load_scenes(folder: str | Path) -> SceneDataset:
    """The photographs in `folder` and their label maps.

    Of them the names are read, and label maps until all classes have been seen, where the list of names does not say
    from which label on they count.

    Raises: DataError in one sentence if there is no dataset, a file lacks its partner, the classes have no names, or
        count from 0 as it seems.
    """
    layout = scene_layout(Path(folder))
    names, first = read_names(layout)
    faults = list(partner_faults(layout))
    if faults:
        fault, others = faults[0], len(faults) - 1
        more = f" ({others} more; medssm data check {folder} lists all)" if others else ""
        raise DataError(f"{fault.file}: {fault.message}{more}")
    training, validation = (tuple(scenes_of(layout, part)) for part in (TRAINING, VALIDATION))
    if first is None and (doubt := _doubt(training or validation, len(names))):
        raise DataError(f"{layout.annotations(TRAINING if training else VALIDATION)}: the label maps {doubt}")
    return SceneDataset(Path(folder), names, training, validation, 1 if first is None else first)


def _doubt(scenes: tuple[Scene, ...], num_classes: int) -> str:
    numbers: set[int] = set()
    for scene in scenes[:_LOOKED_AT]:
        numbers |= set(np.unique(read_numbers(scene.labels)).tolist())
        if num_classes in numbers:
            return ""
    return doubtful_numbering(numbers, num_classes) if numbers else ""


def read_scene(scene: Scene, num_classes: int, first: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A photograph (H, W, 3) uint8 and its classes (H, W) uint8, upright.

    Args:
        first: the label of the first class in the file, 0 or 1.

    Raises: DataError if either cannot be read, they differ in size, or a label is of no class.
    """
    photograph, labels = np.array(read_image(scene.image)), read_scene_labels(scene.labels, num_classes, first)
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
    """Photographs without label maps, the other way round, and those of one name, by folder."""
    for part in (TRAINING, VALIDATION):
        folders = layout.images(part), layout.annotations(part)
        images, labels = (files_by_stem(folder) for folder in folders)
        for folder in folders:
            if alike := names_alike(folder):
                message = f"{some(alike, 'image')} called alike but for their endings; keep one of each"
                yield Fault(folder, "same-name", message)
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
