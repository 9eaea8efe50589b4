"""BTCV's folders without a list: label0001 belongs to img0001."""

import re
from pathlib import Path

from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.scans.declared import Declared, Parts, dataset_of
from medssm.data.layouts.scans.layout import case_id, image_and_label_folders, list_in, volumes_in
from medssm.data.layouts.scans.splits import btcv_number, with_split
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.errors import DataError


def find_btcv(folder: Path, fold: int) -> Path | None:
    """The folder itself if it has BTCV's folders of images and label maps, with BTCV's names and no list."""
    pair = image_and_label_folders(folder)
    if pair is None or list_in(folder, fold):
        return None
    return folder if all(btcv_number(case) for case in _cases(*pair)) else None


def read_btcv(folder: Path, fold: int) -> ScanDataset:
    """The cases in the two folders.

    Raises: DataError if there is none; UsageError if there is no such fold.
    """
    pair = image_and_label_folders(folder)
    training = tuple(_cases(*pair)) if pair else ()
    if not training:
        raise DataError(f"{folder}: no dataset here, as there is no scan among its images. {LAYOUTS['btcv'].where}")
    test = tuple(ScanCase(case_id(image), image) for image in volumes_in(folder / "imagesTs"))
    parts: Parts = {"training": training, "test": test}
    said = Declared(dict(BTCV_ORGANS), channel_names=("CT",))
    return with_split(dataset_of(said, folder.resolve().name, folder, parts), fold)


def _cases(images: Path, labels: Path) -> list[ScanCase]:
    return [ScanCase(case_id(image), image, _label_of(image, labels)) for image in volumes_in(images)]


def _label_of(image: Path, labels: Path) -> Path:
    name = re.sub(r"^img", "label", image.name)
    return labels / name if (labels / name).exists() or not (labels / image.name).exists() else labels / image.name
