"""Every layout is found, loaded and checked by its row, and by no other."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medssm.data.layouts import LAYOUTS, known_looks, known_titles
from medssm.data.layouts.check import check_dataset
from medssm.data.synthetic.motions import write_motions
from medssm.data.synthetic.objects import write_objects
from medssm.data.synthetic.scenes import write_scenes
from medssm.data.synthetic.shapes import write_shapes
from medssm.errors import DataError


def write_scans(folder: Path, image: str, label: str, content: dict[str, Any] | None = None) -> None:
    """Two cases, called as the patterns say, and a list if there is one."""
    random = np.random.default_rng(0)
    for number in (1, 2):
        labels = np.arange(14, dtype=np.uint8).repeat(2).reshape(7, 2, 2)
        save(folder / image.format(number), random.integers(0, 99, labels.shape).astype(np.int16))
        save(folder / label.format(number), labels)
    if content:
        (folder / "dataset.json").write_text(
            json.dumps({"labels": {str(k): f"organ {k}" for k in range(14)}} | content)
        )


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([1.5, 1.5, 2, 1])), path)


def write_table(folder: Path) -> None:
    write_scans(folder, "a/{}.nii.gz", "b/{}.nii.gz", NAMED)
    rows = "".join(f"a/{number}.nii.gz;b/{number}.nii.gz;{number}\n" for number in (1, 2))
    (folder / "cases.csv").write_text("Image;Label;Patient\n" + rows)


def write_masks(folder: Path) -> None:
    for number in (1, 2):
        scan = np.random.default_rng(number).integers(-900, 99, (6, 5, 4)).astype(np.int16)
        save(folder / f"s{number:04}/ct.nii.gz", scan)
        for place, organ in enumerate(("spleen", "liver", "colon")):
            mask = np.zeros(scan.shape, np.uint8)
            mask[place] = 1
            save(folder / f"s{number:04}/segmentations/{organ}.nii.gz", mask)


def write_kinds(folder: Path, start: str) -> None:
    write_scans(folder, f"{start}t1.nii.gz", f"{start}seg.nii.gz", NAMED)
    for number in (1, 2):
        values = np.random.default_rng(number).integers(0, 99, (7, 2, 2)).astype(np.int16)
        save(folder / f"{start}flair.nii.gz".format(number), values)


NAMED = {"name": "mine"}
BTCV = "imagesTr/img{:04}.nii.gz", "labelsTr/label{:04}.nii.gz"
CASES = [dict(zip(("image", "label"), (pattern.format(number) for pattern in BTCV), strict=True)) for number in (1, 2)]
# A dataset for each row.
WRITTEN: dict[str, Callable[[Path], None]] = {
    "nnunet": lambda folder: write_scans(
        folder, "imagesTr/a{}_0000.nii.gz", "labelsTr/a{}.nii.gz", {"channel_names": {"0": "CT"}}
    ),
    "decathlon": lambda folder: write_scans(folder, *BTCV, {"training": CASES[:1], "validation": CASES[1:]}),
    "btcv": lambda folder: write_scans(folder, "imagesTr/img{:03}5.nii.gz", "labelsTr/label{:03}5.nii.gz"),
    "table": lambda folder: write_table(folder),
    "brats": lambda folder: write_kinds(folder, "BraTS2021_{0}/BraTS2021_{0}_"),
    "kits": lambda folder: write_scans(folder, "case_{:05}/imaging.nii.gz", "case_{:05}/segmentation.nii.gz", NAMED),
    "totalsegmentator": lambda folder: write_masks(folder),
    "pairs": lambda folder: write_scans(folder, "volume-{}.nii", "segmentation-{}.nii", NAMED),
    "ade20k": lambda folder: write_scenes(folder, 2, 1),
    "coco": lambda folder: write_objects(folder, 4, 2),
    "ucf101": lambda folder: write_motions(folder, "ucf101", 1, 1),
    "hmdb51": lambda folder: write_motions(folder, "hmdb51", 1, 1),
    "kinetics400": lambda folder: write_motions(folder, "kinetics400", 1, 1),
    "imagenet": lambda folder: write_shapes(folder, 1, 1),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_dataset_is_found_loaded_and_checked_by_the_row_of_its_layout(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    WRITTEN[name](folder)
    assert first_found(folder) == name
    loaded = LAYOUTS[name].reader().load(folder, 0)
    assert len(loaded.training)
    assert len(loaded.validation)
    report = check_dataset(folder)
    assert report.faults == ()
    assert report.counts["training"] == len(loaded.training)


def test_a_list_of_scans_is_checked_by_its_name(tmp_path: Path) -> None:
    WRITTEN["decathlon"](tmp_path)
    (tmp_path / "dataset.json").rename(tmp_path / "mine.json")
    assert check_dataset(tmp_path / "mine.json").counts == {"training": 1, "validation": 1, "test": 0}


def first_found(folder: Path) -> str | None:
    return next((name for name, layout in LAYOUTS.items() if layout.reader().find(folder, 0)), None)


def test_what_cannot_be_read_is_told_by_the_table(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        check_dataset(tmp_path)
    for layout in LAYOUTS.values():
        assert layout.looks in str(caught.value)
        assert layout.title in known_titles()
    assert known_looks() in str(caught.value)


def test_the_table_is_read_without_any_library() -> None:
    code = "import sys, medssm.data.layouts as l; assert l.LAYOUTS; print({'numpy', 'torch', 'av'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_reading_any_layout_needs_no_torch() -> None:
    code = (
        "import sys; from medssm.data.layouts import LAYOUTS; [row.reader() for row in LAYOUTS.values()]; "
        "print({'torch', 'torchvision', 'timm', 'monai'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
