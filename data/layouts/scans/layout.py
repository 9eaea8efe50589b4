"""Where a folder of scans keeps its list, its images and its label maps."""

import json
import os
import re
from pathlib import Path
from typing import Any

from medssm.data.scans.case_names import stem_of
from medssm.data.scans.finding import is_scan_file
from medssm.data.scans.volume import volume_suffix
from medssm.errors import DataError, quoted, reason_of

_IMAGE_AND_LABEL_FOLDERS = (("imagesTr", "labelsTr"), ("img", "label"), ("Training/img", "Training/label"))


def list_in(folder: Path, fold: int = 0) -> Path | None:
    """The file that lists the cases of a folder, that of the fold before one for all; None if there is none.

    Args:
        folder: may be the list itself.
    """
    if folder.is_file():
        return folder if folder.suffix == ".json" else None
    names = (f"dataset_{fold}.json", "dataset_0.json", "dataset.json")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def image_and_label_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders with training images and label maps, whatever they are called; None if there are none."""
    pairs = ((folder / images, folder / labels) for images, labels in _IMAGE_AND_LABEL_FOLDERS)
    return next((pair for pair in pairs if pair[0].is_dir() and pair[1].is_dir()), None)


def volumes_in(folder: Path) -> list[Path]:
    """The volume files in a folder by name; macOS's `._` companions are none."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if is_scan_file(path) and not path.name.startswith("."))


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises: DataError if it is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not valid JSON ({reason_of(error)}); correct it or remove it") from error


def listed_file(source: Path, name: str) -> Path:
    """The file that a list names, beside the list, whether it is there or not.

    Raises: DataError if no file can be called so.
    """
    file = source.parent / name
    try:
        os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        why = reason_of(error).partition(": '")[0]
        raise DataError(f"{source}: {quoted(name)} cannot be the name of a file ({why}); correct it") from error
    return file


def numbered_channel(file: Path) -> tuple[str, int] | None:
    """The case and the channel of a file that is called as nnU-Net does, case_0001.nii.gz; None of another name."""
    match = re.fullmatch(r"(.+)_(\d{4})", file.name[: len(file.name) - len(volume_suffix(file))])
    return (match[1], int(match[2])) if match else None


def case_id(image: Path) -> str:
    """A case's name: its image's without the format and without nnU-Net's channel number."""
    return stem_of(image)
