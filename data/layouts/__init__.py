"""Layouts of datasets as people have them, a folder and a row each: how one is found, loaded and checked.

A new layout is a folder with the same files (`layout` where its parts lie, `dataset` what trains and what validates,
`check` what can be wrong) and a row in LAYOUTS. What reads is imported when it is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from medssm.offers import LAYOUTS as OFFERED
from medssm.offers import every_offered

if TYPE_CHECKING:
    from medssm.data.layouts.actions.dataset import ActionSetName
    from medssm.data.layouts.findings import DataReport

Progress = Callable[[int, int], None]


class Reader(NamedTuple):
    """What a layout can do. A fold chooses among several lists of one folder, from 0; most layouts have none.

    Attributes:
        find: (folder, fold) whether a folder is laid out so, by its names and lists alone.
        load: (folder, fold) what trains and what validates.
        check: (folder, fold, progress) all that is wrong, each file once read; progress is called with (done, total).
    """

    find: Callable[[Path, int], bool]
    load: Callable[[Path, int], Any]
    check: Callable[[Path, int, Progress], "DataReport"]


@dataclass(frozen=True)
class Layout:
    """A kind of dataset.

    Attributes:
        title: as people call it.
        holds: what it is made of.
        looks: the files by which it is told.
        where: how it is had, in a sentence.
        reader: imports what reads it.
    """

    title: str
    holds: str
    looks: str
    where: str
    reader: Callable[[], Reader]


def _scans(name: str) -> Callable[[], Reader]:
    def reader() -> Reader:
        from medssm.data.layouts.scans.check import check_scan_dataset
        from medssm.data.layouts.scans.dataset import SCAN_LAYOUTS, load_dataset

        find = SCAN_LAYOUTS[name].find
        return Reader(lambda folder, fold: find(folder, fold) is not None, load_dataset, check_scan_dataset)

    return reader


def _ade20k() -> Reader:
    from medssm.data.layouts.ade20k.check import check_scene_dataset
    from medssm.data.layouts.ade20k.dataset import load_scenes
    from medssm.data.layouts.ade20k.layout import find_scene_folders

    return Reader(
        lambda folder, fold: find_scene_folders(folder) is not None,
        lambda folder, fold: load_scenes(folder),
        lambda folder, fold, progress: check_scene_dataset(folder, progress),
    )


def _coco() -> Reader:
    from medssm.data.layouts.coco.check import check_coco_dataset
    from medssm.data.layouts.coco.dataset import load_coco
    from medssm.data.layouts.coco.layout import find_coco_parts

    return Reader(
        lambda folder, fold: find_coco_parts(folder) is not None,
        lambda folder, fold: load_coco(folder),
        lambda folder, fold, progress: check_coco_dataset(folder, progress),
    )


def _actions(name: "ActionSetName") -> Callable[[], Reader]:
    def reader() -> Reader:
        from medssm.data.layouts.actions.check import check_action_set
        from medssm.data.layouts.actions.dataset import ACTION_LISTS, load_action_set

        return Reader(
            lambda folder, fold: ACTION_LISTS[name].find(folder) is not None,
            lambda folder, fold: load_action_set(folder, name, split=fold + 1),
            lambda folder, fold, progress: check_action_set(folder, name, progress),
        )

    return reader


def _imagenet() -> Reader:
    from medssm.data.layouts.imagenet.check import check_image_dataset
    from medssm.data.layouts.imagenet.dataset import load_image_dataset
    from medssm.data.layouts.imagenet.layout import find_image_folders

    return Reader(
        lambda folder, fold: find_image_folders(folder) is not None,
        lambda folder, fold: load_image_dataset(folder),
        lambda folder, fold, progress: check_image_dataset(folder, progress),
    )


# In the order in which a folder is tried: nnU-Net's list is a list as well, a folder with a list may have BTCV's
# folders, and train and val, by which classes of images are told, are folders of COCO and Kinetics-400, too. Names of
# scans tell least, and all files are looked at for them.
LAYOUTS: dict[str, Layout] = {
    "nnunet": Layout(
        "nnU-Net",
        "scans",
        "dataset.json with channel_names and file_ending, imagesTr, labelsTr",
        "nnU-Net keeps its raw data so: nnUNet_raw/Dataset001_NAME, as its documentation tells",
        _scans("nnunet"),
    ),
    "decathlon": Layout(
        "Medical Segmentation Decathlon",
        "scans",
        "dataset.json or dataset_0.json that lists images and label maps",
        "the Decathlon's tasks are had from medicaldecathlon.com; unpack one, so that there is DIR/dataset.json",
        _scans("decathlon"),
    ),
    "table": Layout(
        "a table of cases in CSV",
        "scans",
        "a CSV file with the columns image and label",
        "write a row for each case, with the columns image and label and, where wanted, case, patient, fold and split",
        _scans("table"),
    ),
    "btcv": Layout(
        "BTCV",
        "scans",
        "imagesTr with labelsTr",
        "BTCV is had, after registering, from Synapse (project syn3193805, 'Multi-Atlas Labeling Beyond the Cranial "
        "Vault', abdomen); lay it out as DIR/imagesTr/img0001.nii.gz, DIR/labelsTr/label0001.nii.gz, give --data DIR, "
        "or try --data phantom, which needs no download",
        _scans("btcv"),
    ),
    "brats": Layout(
        "BraTS",
        "scans",
        "a folder a case with t1, t1ce, t2, flair and seg behind its name",
        "BraTS is had from synapse.org; give --data the folder that holds the folders of the cases",
        _scans("brats"),
    ),
    "kits": Layout(
        "KiTS",
        "scans",
        "case_00000/imaging.nii.gz, case_00000/segmentation.nii.gz",
        "KiTS is had from kits-challenge.org; give --data the folder that holds case_00000",
        _scans("kits"),
    ),
    "totalsegmentator": Layout(
        "TotalSegmentator",
        "scans",
        "s0000/ct.nii.gz, s0000/segmentations/liver.nii.gz: a binary mask for each organ",
        "TotalSegmentator's data set is had from zenodo.org (record 10047292); give --data the folder that holds s0000",
        _scans("totalsegmentator"),
    ),
    "ade20k": Layout(
        "ADE20K",
        "photographs with label maps",
        "images/training, annotations/training",
        "ADE20K's scene parsing benchmark is had from data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip "
        "(923 MB); unpack it, so that there are DIR/images/training/*.jpg and DIR/annotations/training/*.png, give "
        "--data DIR, or try --data synthetic, which needs no download",
        _ade20k,
    ),
    "coco": Layout(
        "COCO",
        "images with objects",
        "annotations/instances_train2017.json",
        "COCO 2017 is had from cocodataset.org (train2017.zip, val2017.zip, annotations_trainval2017.zip); unpack them "
        "so that DIR holds train2017, val2017 and annotations/instances_train2017.json, give --data DIR, or try "
        "--data synthetic, which needs no download",
        _coco,
    ),
    "ucf101": Layout(
        "UCF-101",
        "videos of actions",
        "classInd.txt, trainlist01.txt",
        "UCF-101 (UCF101.rar, and the splits for action recognition) is at crcv.ucf.edu/data/UCF101.php; unpack both "
        "archives into one folder",
        _actions("ucf101"),
    ),
    "hmdb51": Layout(
        "HMDB-51",
        "videos of actions",
        "ACTION_test_split1.txt",
        "HMDB-51 (hmdb51_org.rar, and test_train_splits.rar) is at "
        "serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database; unpack both archives into one folder",
        _actions("hmdb51"),
    ),
    "kinetics400": Layout(
        "Kinetics-400",
        "videos of actions",
        "train.csv, val.csv",
        "Kinetics-400 (its CSV lists and archives of the clips) is at github.com/cvdfoundation/kinetics-dataset; "
        "unpack them into one folder",
        _actions("kinetics400"),
    ),
    "imagenet": Layout(
        "ImageNet",
        "images of classes",
        "train/CLASS/*.jpg, val/CLASS/*.jpg",
        "ImageNet-1k is had, after registering, from image-net.org (ILSVRC2012 training and validation images, task 1 "
        "and 2, and the development kit); lay it out as DIR/train/n01440764/*.JPEG and DIR/val/n01440764/*.JPEG, or "
        "leave the validation images in DIR/val beside the unpacked devkit, give --data DIR, or try --data synthetic, "
        "which needs no download",
        _imagenet,
    ),
    "pairs": Layout(
        "label maps beside their scans",
        "scans",
        "a_seg.nii.gz beside a.nii.gz, segmentation-1.nii beside volume-1.nii, labels/a.nii.gz and images/a.nii.gz",
        "name a label map as its scan with _seg, _gt, _label or _mask behind it, and the labels in a dataset.json",
        _scans("pairs"),
    ),
}


def offered_layouts() -> dict[str, Layout]:
    """The layouts that other installed packages offer, by name; folders are tried for them before our own."""
    return {name: row for name, row in every_offered(OFFERED, Layout).items() if name not in LAYOUTS}


def offered_dataset(holds: str, folder: Path, fold: int = 0) -> Any:
    """What trains and what validates in a folder of a layout that another package offers; None if it is of none."""
    for row in offered_layouts().values():
        if row.holds == holds and (reader := row.reader()).find(folder, fold):
            return reader.load(folder, fold)
    return None


def known_titles() -> str:
    """What can be read, by what it holds: "scans (nnU-Net, ...); images of classes (ImageNet)"."""
    return "; ".join(f"{holds} ({', '.join(row.title for row in rows)})" for holds, rows in _by_contents().items())


def known_looks() -> str:
    """How all that is told: "scans (imagesTr with labelsTr, or ...) nor images of classes (train/CLASS/*.jpg, ...)"."""
    return " nor ".join(
        f"{holds} ({', or '.join(row.looks for row in rows)})" for holds, rows in _by_contents().items()
    )


def _by_contents() -> dict[str, list[Layout]]:
    held: dict[str, list[Layout]] = {}
    for row in LAYOUTS.values():
        held.setdefault(row.holds, []).append(row)
    return held
