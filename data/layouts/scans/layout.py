"""Where a folder of scans keeps its list, its images and its label maps."""

import json
import re
from pathlib import Path
from typing import Any

from medssm.data.scans.volume import volume_stem, volume_suffix
from medssm.errors import DataError

_IMAGE_AND_LABEL_FOLDERS = (("imagesTr", "labelsTr"), ("img", "label"), ("Training/img", "Training/label"))


def list_in(folder: Path, fold: int = 0) -> Path | None:
    """The file that lists the cases of a folder, that of the fold before one for all; None if there is none."""
    paths = (folder / f"dataset_{fold}.json", folder / "dataset.json")
    return next((path for path in paths if path.is_file()), None)


def image_and_label_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders with training images and label maps, whatever they are called; None if there are none."""
    pairs = ((folder / images, folder / labels) for images, labels in _IMAGE_AND_LABEL_FOLDERS)
    return next((pair for pair in pairs if pair[0].is_dir() and pair[1].is_dir()), None)


def volumes_in(folder: Path) -> list[Path]:
    """The volume files in a folder by name; macOS's `._` companions are none."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if volume_suffix(path) and not path.name.startswith("."))


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises: DataError if it is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not valid JSON ({error}); correct it or remove it") from error


def case_id(image: Path) -> str:
    """A case's name: its image's without the format and without nnU-Net's channel number."""
    return re.sub(r"_0000$", "", volume_stem(image))
