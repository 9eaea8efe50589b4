"""The check of a dataset: its list, then every case, one in memory at a time."""

from collections.abc import Callable
from pathlib import Path

from medssm.data.layouts import actions as action_sets
from medssm.data.layouts.actions.check import check_action_set
from medssm.data.layouts.ade20k.check import check_scene_dataset
from medssm.data.layouts.ade20k.layout import find_scenes
from medssm.data.layouts.coco import layout as coco
from medssm.data.layouts.coco.check import check_coco_dataset
from medssm.data.layouts.findings import Report
from medssm.data.layouts.imagenet.check import check_image_dataset
from medssm.data.layouts.imagenet.layout import find_layout
from medssm.data.layouts.scans.check import check_scan_dataset
from medssm.data.layouts.scans.datalist import WHERE_BTCV_IS, is_scan_folder
from medssm.errors import DataError


def check_dataset(
    folder: str | Path, fold: int = 0, progress: Callable[[int, int], None] = lambda done, total: None
) -> Report:
    """Everything that is wrong with the dataset in `folder`, of scans, images or videos, each file once read.

    Args:
        fold: as for `load_dataset`; images have none.
        progress: called with the number of cases or images done and their total.

    Raises: DataError if there is no dataset in `folder` or its list cannot be understood.
    """
    folder = Path(folder)
    if folder.is_dir() and not is_scan_folder(folder, fold):
        if find_scenes(folder):
            return check_scene_dataset(folder, progress)
        if annotated := coco.find_layout(folder):
            return check_coco_dataset(folder, annotated, progress)
        if layout := action_sets.find_layout(folder):
            return check_action_set(folder, layout, progress)
        if find_layout(folder):
            return check_image_dataset(folder, progress)
        raise DataError(
            f"{folder}: no dataset here, neither scans (dataset.json, or imagesTr with labelsTr) nor images of classes "
            "(train/CLASS/*.jpg, val/CLASS/*.jpg), with objects (annotations/instances_train2017.json) or with label "
            "maps (images/training, annotations/training), nor videos with the lists of UCF-101, HMDB-51 or "
            "Kinetics-400. "
            f"{WHERE_BTCV_IS}"
        )
    return check_scan_dataset(folder, fold, progress)
