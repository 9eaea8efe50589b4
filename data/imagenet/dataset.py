"""Which images train and which validate, and of what class each is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medssm.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif")


@dataclass(frozen=True)
class ImageSample:
    """One image and the index of its class."""

    path: Path
    label: int


@dataclass(frozen=True)
class ImageDataset:
    """The images of a folder.

    Attributes:
        source: the folder.
        classes: as their folders are called, sorted; a label is an index into them.
        names: of the same classes, for people.
        training, validation: images sorted by class.
    """

    source: Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    training: Sequence[ImageSample]
    validation: Sequence[ImageSample]


def load_image_dataset(folder: str | Path) -> ImageDataset:
    """The images in `folder`, their labels the positions of their folders' names in sorted order.

    Raises: DataError in one sentence if there is no dataset.
    """
    folder = Path(folder)
    if not (folder / "train").is_dir() or not (folder / "val").is_dir():
        raise DataError(f"{folder}: no folder of images here; lay it out as train/CLASS/*.jpg and val/CLASS/*.jpg")
    classes = tuple(sorted(entry.name for entry in (folder / "train").iterdir() if entry.is_dir()))
    training, validation = (_samples(folder / part, classes) for part in ("train", "val"))
    return ImageDataset(folder, classes, classes, training, validation)


def _samples(folder: Path, classes: Sequence[str]) -> tuple[ImageSample, ...]:
    return tuple(
        ImageSample(path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in SUFFIXES
    )
