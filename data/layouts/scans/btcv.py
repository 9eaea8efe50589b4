"""BTCV's folders without a list: label0001 belongs to img0001."""

import re
from pathlib import Path

from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.scans.layout import case_id, image_and_label_folders, volumes_in
from medssm.data.layouts.scans.splits import btcv_number, with_default_split
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.errors import DataError


def find_btcv(folder: Path, fold: int) -> Path | None:
    """The folder itself if it has BTCV's folders of images and label maps."""
    return folder if image_and_label_folders(folder) else None


def read_btcv(folder: Path, fold: int) -> ScanDataset:
    """The cases in the two folders.

    Raises: DataError if there is none, or one is not called as in BTCV.
    """
    pair = image_and_label_folders(folder)
    images = volumes_in(pair[0]) if pair else []
    if not pair or not images:
        raise DataError(f"{folder}: no dataset here, as there is no scan among its images. {LAYOUTS['btcv'].where}")
    training = tuple(ScanCase(case_id(image), image, _label_of(image, pair[1])) for image in images)
    if not all(btcv_number(case) for case in training):
        raise DataError(
            f"{folder}: no dataset.json, and names such as {images[0].name} are not BTCV's (img0001.nii.gz); "
            "write a dataset.json that lists 'training' and names the 'labels'"
        )
    test = tuple(ScanCase(case_id(image), image) for image in volumes_in(folder / "imagesTs"))
    dataset = ScanDataset(folder.resolve().name, folder, folder, training, (), test, dict(BTCV_ORGANS))
    return with_default_split(dataset)


def _label_of(image: Path, labels: Path) -> Path:
    name = re.sub(r"^img", "label", image.name)
    return labels / name if (labels / name).exists() or not (labels / image.name).exists() else labels / image.name
