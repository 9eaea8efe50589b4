"""The kinds of files that people hand in: how a whole one is written, and how the package opens it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import seeds

from medssm.checkpoints.inspection import inspect_weights
from medssm.checkpoints.published import read_weights_file
from medssm.data.clips.reading import read_frames
from medssm.data.images.reading import read_image
from medssm.data.layouts.check import check_dataset
from medssm.data.layouts.coco.dataset import load_coco
from medssm.data.layouts.scans.dataset import load_dataset
from medssm.data.scans.label_values import label_array
from medssm.data.scans.organ_masks import read_label_file
from medssm.data.scans.volume import read_volume
from medssm.recipes.loading import load_recipe, parse_overrides
from medssm.tasks.records import read_record, settings_sha256
from medssm.training.checkpoint import load_checkpoint
from medssm.training.run_folder import RunFolder


class Family(NamedTuple):
    """One kind of file.

    Attributes:
        write: fills a folder and names the files of it that are to be damaged.
        read: opens one as the package does.
    """

    write: Callable[[Path], list[Path]]
    read: Callable[[Path], object]


def _scan(path: Path) -> None:
    volume = read_volume(path)
    assert all(isinstance(name, str) for name in volume.label_names.values())
    label_array(volume)


def _layers(path: Path) -> None:
    assert read_label_file(path).layers


def _series(path: Path) -> None:
    read_volume(path.parent)


def _dataset(path: Path) -> None:
    check_dataset(path.parent)
    load_dataset(path.parent)


def _objects(path: Path) -> None:
    folder = path.parents[1]
    check_dataset(folder)
    for image in load_coco(folder).training or ():
        assert image.masks.shape[1:] == image.size


def _video(path: Path) -> None:
    read_frames(path, lambda count: [[0, count // 2, count - 1]], np.asarray)


def _settings(path: Path) -> None:
    lines = path.read_bytes().decode(errors="surrogateescape").split("\n")
    load_recipe("btcv", "mamband-xs", parse_overrides([line for line in lines if line]))


def _weights(path: Path) -> None:
    read_weights_file(path)
    inspect_weights(path)


def _run(path: Path) -> None:
    network, optimizer = seeds.tiny_network()
    load_checkpoint(path, network, optimizer, seeds.NoPrecision(), dataset={"classes": "a"})


def _record(path: Path) -> None:
    if path.name == "environment.json":
        RunFolder(path.parent).record_environment("cpu")
    elif record := read_record(path):
        settings_sha256(record.settings)


FAMILIES: Mapping[str, Family] = {
    "nifti": Family(partial(seeds.write_scans, suffixes=(".nii", ".nii.gz")), _scan),
    "nrrd": Family(partial(seeds.write_scans, suffixes=(".nrrd",)), _scan),
    "metaimage": Family(partial(seeds.write_scans, suffixes=(".mha",)), _scan),
    "detached": Family(seeds.write_detached, _scan),
    "pairs": Family(seeds.write_pairs, _scan),
    "freesurfer": Family(seeds.write_freesurfer, _scan),
    "segmentations": Family(seeds.write_segmentation, _layers),
    "dicom": Family(seeds.write_series, _series),
    "lists": Family(seeds.write_lists, _dataset),
    "coco": Family(seeds.write_coco, _objects),
    "pictures": Family(seeds.write_pictures, read_image),
    "videos": Family(seeds.write_videos, _video),
    "recipes": Family(seeds.write_recipes, load_recipe),
    "settings": Family(seeds.write_settings, _settings),
    "weights": Family(seeds.write_networks, _weights),
    "runs": Family(seeds.write_run, _run),
    "records": Family(seeds.write_records, _record),
}
