"""Where a folder keeps a dataset in COCO's format: images that train, images that validate, and their annotations."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_TRAINING = ("train2017", "train")
_VALIDATION = ("val2017", "val", "valid", "validation")
# {part} is one of the names above: COCO's own layout, shorter ones, and Roboflow's.
_LISTS = ("annotations/instances_{part}.json", "annotations/{part}.json", "{part}/_annotations.coco.json")
_IMAGES = ("{part}", "images/{part}", "images")


@dataclass(frozen=True)
class Part:
    """The images of one part.

    Attributes:
        annotations: the JSON file.
        images: the folder that the file names in it are relative to; it need not be there.
    """

    annotations: Path
    images: Path


class CocoParts(NamedTuple):
    """The parts of a dataset folder; None for one that is not there."""

    training: Part | None
    validation: Part | None


def find_coco_parts(folder: Path) -> CocoParts | None:
    """The parts of a folder of images with boxes, by names alone; None if it has neither list of annotations."""
    training, validation = _find(folder, _TRAINING), _find(folder, _VALIDATION)
    return CocoParts(training, validation) if training or validation else None


def _find(folder: Path, names: tuple[str, ...]) -> Part | None:
    for name in names:
        for pattern in _LISTS:
            if (annotations := folder / pattern.format(part=name)).is_file():
                places = [folder / place.format(part=name) for place in _IMAGES]
                return Part(annotations, next((place for place in places if place.is_dir()), places[0]))
    return None


def coco_folder(path: Path) -> Path | None:
    """The folder of the dataset of which a file is one of the lists; None if it is none."""
    for folder in path.absolute().parents[:2]:
        layout = find_coco_parts(folder)
        if layout and path.absolute() in (part.annotations for part in layout if part):
            return folder
    return None
