"""Where a folder keeps the images that train and those that validate, whatever people call the two."""

import os
from dataclasses import dataclass
from pathlib import Path

from medssm.data.images.names import is_image_name
from medssm.data.layouts.folders import folders_in
from medssm.errors import DataError

_TRAINING = ("train", "training", "trainingset", "ilsvrc2012_img_train")
_VALIDATION = ("val", "valid", "validation", "validationset", "ilsvrc2012_img_val", "ilsvrc2012_val", "test")
# Kaggle's archive has the images three folders down.
_ROOTS = (".", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC")
# What ImageNet calls its validation images, before a number of eight digits.
FLAT_NAME = "ILSVRC2012_val_"


@dataclass(frozen=True)
class ImageFolders:
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

    @property
    def flat(self) -> Path:
        """The folder of images to validate on.

        Raises: DataError if there is none.
        """
        if self.validation is None:
            raise DataError(f"{self.folder}: has no validation images; lay them out as val/CLASS/*.jpg")
        return self.validation


def find_image_folders(folder: Path) -> ImageFolders | None:
    """The parts of a folder of images, by their names alone; None if it has neither."""
    for root in (folder / relative for relative in _ROOTS):
        folders = {path.name.lower(): path for path in folders_in(root)}
        training, validation = (
            next((folders[name] for name in names if name in folders), None) for names in (_TRAINING, _VALIDATION)
        )
        if training or validation:
            flat = validation and _flat_images(validation)
            return ImageFolders(folder, training, flat or validation, bool(flat))
    return ImageFolders(folder, None, folder, True) if _holds_validation_images(folder) else None


def _flat_images(validation: Path) -> Path | None:
    """The folder that holds the images themselves: this one, or its only folder, `images` (Tiny ImageNet)."""
    folders = folders_in(validation)
    if [path.name for path in folders] == ["images"]:
        return folders[0]
    return None if folders or not any(is_image_name(name) for name in os.listdir(validation)) else validation


def _holds_validation_images(folder: Path) -> bool:
    return folder.is_dir() and any(name.startswith(FLAT_NAME) and is_image_name(name) for name in os.listdir(folder))
