"""Scans of several channels in the layouts that people have: which files a case has, and what they are called."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medssm.data.layouts.check import check_dataset
from medssm.data.layouts.scans.dataset import load_dataset
from medssm.errors import DataError

LABELS = {"0": "background", "1": "lesion"}
NNUNET = {"channel_names": {"0": "T2", "1": "ADC"}, "labels": {"background": 0, "lesion": 1}, "file_ending": ".nii.gz"}


def scan(folder: Path, name: str, channels: int = 0, spacing: float = 2.0) -> None:
    """Noise; a label map where the name says so, or a 4-D file of some channels."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(zlib.crc32(name.encode()))
    array = random.integers(0, 900, (8, 9, 7) + ((channels,) if channels else ())).astype(np.int16)
    if "seg" in name or "label" in name:
        array = np.zeros((8, 9, 7), np.uint8)
        array[3:5, 3:5, 3:5] = 1
    nib.save(nib.Nifti1Image(array, np.diag([spacing, spacing, spacing, 1])), path)


def write(folder: Path, *names: str, content: dict[str, Any] | None = None, count: int = 3) -> None:
    """Files of some cases by patterns, and a list."""
    for number in range(count):
        for name in names:
            scan(folder, name.format(number))
    if content:
        (folder / "dataset.json").write_text(json.dumps(content))


def nnunet(folder: Path) -> None:
    write(folder, "imagesTr/c{}_0001.nii.gz", "imagesTr/c{}_0000.nii.gz", "labelsTr/c{}.nii.gz", content=NNUNET)


def dictionary(folder: Path) -> None:
    listed = {
        f"c{k}": {"images": [f"t2/{k}.nii.gz", f"adc/{k}.nii.gz"], "label": f"label/{k}.nii.gz"} for k in range(3)
    }
    write(folder, "t2/{}.nii.gz", "adc/{}.nii.gz", "label/{}.nii.gz", content=NNUNET | {"dataset": listed})


def first_version(folder: Path) -> None:
    listed = [{"image": f"imagesTr/c{k}.nii.gz", "label": f"labelsTr/c{k}.nii.gz"} for k in range(3)]
    content = {"modality": {"0": "T2", "1": "ADC"}, "labels": LABELS, "training": listed}
    write(folder, "imagesTr/c{}_0000.nii.gz", "imagesTr/c{}_0001.nii.gz", "labelsTr/c{}.nii.gz", content=content)


def datalist(folder: Path) -> None:
    listed = [{"image": [f"c{k}_T2.nii.gz", f"c{k}_ADC.nii.gz"], "label": f"c{k}_seg.nii.gz"} for k in range(3)]
    content = {"labels": LABELS, "training": listed}
    write(folder, "c{}_T2.nii.gz", "c{}_ADC.nii.gz", "c{}_seg.nii.gz", content=content)


def table(folder: Path) -> None:
    write(folder, "c{}_t2.nii.gz", "c{}_adc.nii.gz", "c{}_seg.nii.gz", content={"labels": LABELS})
    rows = [f"c{k}_t2.nii.gz,c{k}_adc.nii.gz,c{k}_seg.nii.gz,P{k}" for k in range(3)]
    (folder / "cases.csv").write_text("\n".join(["T2,ADC,label,patient", *rows]))


def by_names(folder: Path) -> None:
    write(folder, "c{0}/c{0}_ADC.nii.gz", "c{0}/c{0}_T2.nii.gz", "c{0}/c{0}_seg.nii.gz", content={"labels": LABELS})


LAID_OUT: dict[str, tuple[Callable[[Path], None], tuple[str, ...], tuple[str, ...]]] = {
    "nnU-Net": (nnunet, ("T2", "ADC"), ("imagesTr/c0_0000.nii.gz", "imagesTr/c0_0001.nii.gz")),
    "its dictionary": (dictionary, ("T2", "ADC"), ("t2/0.nii.gz", "adc/0.nii.gz")),
    "its first version": (first_version, ("T2", "ADC"), ("imagesTr/c0_0000.nii.gz", "imagesTr/c0_0001.nii.gz")),
    "a datalist": (datalist, ("T2", "ADC"), ("c0_T2.nii.gz", "c0_ADC.nii.gz")),
    "a table": (table, ("T2", "ADC"), ("c0_t2.nii.gz", "c0_adc.nii.gz")),
    "names alone": (by_names, ("ADC", "T2"), ("c0/c0_ADC.nii.gz", "c0/c0_T2.nii.gz")),
}


@pytest.mark.parametrize("kind", LAID_OUT)
def test_the_channels_of_a_layout_are_read_in_their_order(kind: str, tmp_path: Path) -> None:
    lay_out, names, images = LAID_OUT[kind]
    lay_out(tmp_path)
    dataset = load_dataset(tmp_path)
    assert dataset.channel_names == names
    first = min(dataset.cases, key=lambda case: case.id)
    assert tuple(image.relative_to(tmp_path).as_posix() for image in first.images) == images
    assert not check_dataset(tmp_path, 0).faults


def test_brats_is_known_by_its_names(tmp_path: Path) -> None:
    kinds = ("t1ce", "t1", "flair", "t2", "seg")
    write(tmp_path, *(f"BraTS2021_{{0}}/BraTS2021_{{0}}_{kind}.nii.gz" for kind in kinds))
    dataset = load_dataset(tmp_path)
    assert dataset.channel_names == ("t1", "t1ce", "t2", "flair")
    assert dataset.label_names == {1: "necrotic core", 2: "edema", 4: "enhancing tumor"}
    assert not check_dataset(tmp_path, 0).faults


def four_dimensional(folder: Path, channels: int = 2) -> None:
    listed = [{"image": f"imagesTr/c{k}.nii.gz", "label": f"labelsTr/c{k}.nii.gz"} for k in range(3)]
    content = {"modality": {"0": "T2", "1": "ADC"}, "labels": LABELS, "training": listed}
    write(folder, "labelsTr/c{}.nii.gz", content=content)
    for number in range(3):
        scan(folder, f"imagesTr/c{number}.nii.gz", channels)


def test_a_file_of_four_dimensions_holds_all_channels_or_is_a_fault(tmp_path: Path) -> None:
    four_dimensional(tmp_path / "two")
    assert load_dataset(tmp_path / "two").channel_names == ("T2", "ADC")
    assert not check_dataset(tmp_path / "two", 0).faults
    four_dimensional(tmp_path / "three", channels=3)
    faults = check_dataset(tmp_path / "three", 0).faults
    assert {(fault.kind, fault.message[:37]) for fault in faults} == {
        ("channels", "has 3 channels, where 2 are needed (T")
    }


def test_a_channel_on_another_grid_is_told(tmp_path: Path) -> None:
    nnunet(tmp_path)
    scan(tmp_path, "imagesTr/c1_0001.nii.gz", spacing=2.2)
    report = check_dataset(tmp_path, 0)
    assert not report.faults
    assert [(note.file.name, "resampled onto" in note.message) for note in report.notes if note.kind == "channels"] == [
        ("c1_0000.nii.gz", True)
    ]


@pytest.mark.parametrize(
    ("lay_out", "lost", "sentence"),
    [
        (nnunet, "imagesTr/c1_0001.nii.gz", r"case c1 has no image of channel 1 \(ADC\), only c1_0000\.nii\.gz"),
        (by_names, "c1/c1_T2.nii.gz", r"case c1/c1 has one image, c1_ADC\.nii\.gz, and c[02]/c[02] has 2 \(ADC, T2\)"),
    ],
)
def test_a_missing_channel_is_named(lay_out: Callable[[Path], None], lost: str, sentence: str, tmp_path: Path) -> None:
    lay_out(tmp_path)
    (tmp_path / lost).unlink()
    with pytest.raises(DataError, match=sentence):
        load_dataset(tmp_path)
