"""Where a folder keeps the images that train and those that validate, whatever people call the two."""

import os
from dataclasses import dataclass
from pathlib import Path

# As torchvision's ImageFolder takes them, and GIF.
_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif"))
_TRAINING = ("train", "training", "trainingset", "ilsvrc2012_img_train")
_VALIDATION = ("val", "valid", "validation", "validationset", "ilsvrc2012_img_val", "ilsvrc2012_val", "test")
# Kaggle's archive has the images three folders down.
_ROOTS = (".", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC")
# What ImageNet calls its validation images, before a number of eight digits.
FLAT_NAME = "ILSVRC2012_val_"


@dataclass(frozen=True)
class Layout:
    """The parts of a dataset folder.

    Attributes:
        folder: what the user named.
        training: the folder of the folders of classes; None if there is none.
        validation: the same for validation, or, if it is flat, the folder of the images themselves.
    """

    folder: Path
    training: Path | None
    validation: Path | None
    validation_is_flat: bool = False


def find_layout(folder: Path) -> Layout | None:
    """The parts of a folder of images, by their names alone; None if it has neither."""
    for root in (folder / relative for relative in _ROOTS):
        folders = {path.name.lower(): path for path in folders_in(root)}
        training, validation = (
            next((folders[name] for name in names if name in folders), None) for names in (_TRAINING, _VALIDATION)
        )
        if training or validation:
            flat = validation and _flat_images(validation)
            return Layout(folder, training, flat or validation, bool(flat))
    return Layout(folder, None, folder, True) if _holds_validation_images(folder) else None


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder by name, without hidden ones; none if it is no folder itself."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if not entry.name.startswith(".") and entry.is_dir())


def is_image_name(name: str) -> bool:
    """Whether a file's name has the ending of an image; macOS's `._` companions are none."""
    return os.path.splitext(name)[1].lower() in _SUFFIXES and not name.startswith(".")


def name_stem(name: str) -> str:
    """A file's name without folders and without the ending of an image.

    >>> name_stem("val/ILSVRC2012_val_00000001.JPEG"), name_stem("ILSVRC2012_val_00000001")
    ('ILSVRC2012_val_00000001', 'ILSVRC2012_val_00000001')
    """
    name = name.rpartition("/")[2]
    return name.rpartition(".")[0] if is_image_name(name) else name


def image_names(folder: Path | str, prefix: str = "") -> list[str]:
    """The images in a folder and in folders below it, as sorted paths relative to it.

    An image is known by its name: no file is opened or asked about, which over a network would take hours.
    """
    names, below = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_image_name(entry.name):
                names.append(prefix + entry.name)
            elif not entry.name.startswith(".") and entry.is_dir():
                below.append(entry.name)
    for name in below:
        names += image_names(os.path.join(folder, name), f"{prefix}{name}/")
    return sorted(names)


def _flat_images(validation: Path) -> Path | None:
    """The folder that holds the images themselves: this one, or its only folder, `images` (Tiny ImageNet)."""
    folders = folders_in(validation)
    if [path.name for path in folders] == ["images"]:
        return folders[0]
    return None if folders or not any(is_image_name(name) for name in os.listdir(validation)) else validation


def _holds_validation_images(folder: Path) -> bool:
    return folder.is_dir() and any(name.startswith(FLAT_NAME) and is_image_name(name) for name in os.listdir(folder))
