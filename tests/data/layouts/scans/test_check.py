"""Every fault planted in a dataset is found, on its own file, and a clean dataset has none."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medssm.data.layouts.check import check_dataset
from medssm.data.layouts.scans.check_images import check_image, voxel_statistics
from medssm.errors import DataError

SHAPE = (12, 10, 8)
AFFINE = np.array([[-1.5, 0, 0, 80], [0, 1.5, 0, -90], [0, 0, 2, 33], [0, 0, 0, 1.0]])
NAMES = {"0": "background", "1": "spleen", "2": "liver"}
Plant = Callable[[Path], None]


def image_path(folder: Path, number: int) -> Path:
    return folder / "imagesTr" / f"img{number:04}.nii.gz"


def label_path(folder: Path, number: int) -> Path:
    return folder / "labelsTr" / f"label{number:04}.nii.gz"


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def scan(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(-1000, 1000, SHAPE).astype(np.int16)


def organs() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:5, 2:5, 2:5], labels[6:9, 2:5, 2:5] = 1, 2
    return labels


def entry(folder: Path, number: int) -> dict[str, str]:
    paths = {"image": image_path(folder, number), "label": label_path(folder, number)}
    return {key: str(path.relative_to(folder)) for key, path in paths.items()}


def write_list(folder: Path, training: list[int], validation: list[int]) -> None:
    parts = {"training": training, "validation": validation}
    listed = {part: [entry(folder, number) for number in numbers] for part, numbers in parts.items()}
    (folder / "dataset_0.json").write_text(json.dumps({"name": "small", "labels": NAMES} | listed))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three sound cases, two to train and one to validate."""
    for number in (1, 2, 3):
        save(image_path(tmp_path, number), scan(number))
        save(label_path(tmp_path, number), organs())
    write_list(tmp_path, [1, 2], [3])
    return tmp_path


def test_clean_dataset_has_no_findings(dataset: Path) -> None:
    report = check_dataset(dataset)
    assert report.findings == ()
    assert report.counts == {"training": 2, "validation": 1, "test": 0}


def replace_image(array: np.ndarray, affine: np.ndarray = AFFINE) -> Plant:
    return lambda folder: save(image_path(folder, 2), array, affine)


def replace_label(array: np.ndarray, affine: np.ndarray = AFFINE) -> Plant:
    return lambda folder: save(label_path(folder, 2), array, affine)


def cut_off(folder: Path) -> None:
    path = image_path(folder, 2)
    path.write_bytes(path.read_bytes()[:-100])


def cut_off_label(folder: Path) -> None:
    path = label_path(folder, 2)
    path.write_bytes(path.read_bytes()[:-20])


def not_a_scan(folder: Path) -> None:
    image_path(folder, 2).write_text("<html>please log in</html>")


def zero_spacing(folder: Path, offset: int = 80) -> None:
    """pixdim[1] and, where asked, the sform's first column become 0."""
    path = image_path(folder, 2)
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[offset : offset + 4] = bytes(4)
    path.write_bytes(gzip.compress(content))


def zero_column(folder: Path) -> None:
    zero_spacing(folder, offset=280)


def metres_for_millimetres(folder: Path) -> None:
    affine = np.diag([0.001, 0.001, 0.002, 1])
    save(image_path(folder, 2), scan(2), affine)
    save(label_path(folder, 2), organs(), affine)


def not_finite(value: float) -> np.ndarray:
    array = scan(2).astype(np.float32)
    array[3, 3, 3] = value
    return array


def resampled_linearly() -> np.ndarray:
    labels = organs().astype(np.float32)
    return (labels + np.roll(labels, 1, axis=0)) / 2


def moved(millimetres: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] += millimetres
    return affine


IMAGE_FAULTS = {
    "constant": replace_image(np.full(SHAPE, 7, np.int16)),
    "not-finite": replace_image(not_finite(np.nan)),
    "not-finite ": replace_image(not_finite(np.inf)),
    "unreadable": cut_off,
    "unreadable ": not_a_scan,
    "unreadable  ": replace_image(np.zeros((*SHAPE, 2), np.int16)),
    "spacing": zero_spacing,
    "spacing   ": lambda folder: save(image_path(folder, 2), scan(2), np.diag([60.0, 60.0, 60.0, 1.0])),
    "spacing ": zero_column,
    "spacing  ": metres_for_millimetres,
    "same-scan": replace_image(scan(1).astype(np.float32)),
    "missing-file": lambda folder: image_path(folder, 2).unlink(),
}
LABEL_FAULTS = {
    "shape": replace_label(organs()[:, :, :-1]),
    "affine": replace_label(organs(), moved(1.0)),
    "affine ": replace_label(organs(), AFFINE * np.array([[-1], [1], [1], [1]])),
    "affine  ": replace_label(organs(), AFFINE @ np.diag([1.01, 1, 1, 1])),
    "label-values": replace_label(organs() * 3),
    "image-as-label": replace_label(scan(2)),
    "mask-255": replace_label((organs() > 0).astype(np.uint8) * 255),
    "float-labels": replace_label(organs().astype(np.float32)),
    "unreadable": cut_off_label,
    "missing-partner": lambda folder: label_path(folder, 2).unlink(),
}


@pytest.mark.parametrize("kind", IMAGE_FAULTS)
def test_fault_of_an_image_is_found_on_its_file(dataset: Path, kind: str) -> None:
    IMAGE_FAULTS[kind](dataset)
    faults = check_dataset(dataset).faults
    assert {(fault.file.name, fault.kind) for fault in faults if "img" in fault.file.name} == {
        ("img0002.nii.gz", kind.strip())
    }


@pytest.mark.parametrize("kind", LABEL_FAULTS)
def test_fault_of_a_label_map_is_found_on_its_file(dataset: Path, kind: str) -> None:
    LABEL_FAULTS[kind](dataset)
    assert [(fault.file.name, fault.kind) for fault in check_dataset(dataset).faults] == [
        ("label0002.nii.gz", kind.strip())
    ]


def test_interpolated_label_map_is_found(dataset: Path) -> None:
    save(label_path(dataset, 2), resampled_linearly())
    faults = check_dataset(dataset).faults
    assert {fault.kind for fault in faults} == {"float-labels", "label-values"}
    assert any("holds fractions" in fault.message for fault in faults)


def test_integers_stored_under_a_scale_are_whole(dataset: Path) -> None:
    save(label_path(dataset, 2), organs().astype(np.float32) * 0.99997)
    assert {fault.kind for fault in check_dataset(dataset).faults} == {"float-labels"}


@pytest.mark.parametrize("offset", [1e-9, 1e-5, 1e-3])
def test_rounding_of_an_affine_is_no_fault(dataset: Path, offset: float) -> None:
    save(label_path(dataset, 2), organs(), moved(offset))
    assert check_dataset(dataset).faults == ()


def test_a_case_without_organs_is_a_note_and_a_dataset_without_any_a_fault(dataset: Path) -> None:
    save(label_path(dataset, 2), organs() * 0)
    report = check_dataset(dataset)
    assert report.faults == ()
    assert [(note.file.name, note.kind) for note in report.notes] == [("label0002.nii.gz", "empty-label")]
    save(label_path(dataset, 1), organs() * 0)
    [fault] = check_dataset(dataset).faults
    assert (fault.kind, fault.message) == ("no-organ", "no case that trains has a labelled voxel")


def test_missing_organ_is_a_note(dataset: Path) -> None:
    save(label_path(dataset, 2), np.minimum(organs(), 1))
    report = check_dataset(dataset)
    assert report.faults == ()
    assert [(note.kind, note.message) for note in report.notes] == [("missing-organ", "has no liver")]


def test_turned_label_map_is_a_note(dataset: Path) -> None:
    nib.save(nib.as_closest_canonical(nib.Nifti1Image(organs(), AFFINE)), label_path(dataset, 2))
    report = check_dataset(dataset)
    assert report.faults == ()
    assert [(note.kind, note.message.split(";")[0]) for note in report.notes] == [
        ("turned", "has axes RAS where img0002.nii.gz has LAS")
    ]


def test_a_side_without_its_partner_is_a_note(dataset: Path) -> None:
    content = json.loads((dataset / "dataset_0.json").read_text())
    for names, lone in (({"1": "left kidney", "2": "rkid"}, 2), ({"1": "lkid", "2": "rkid"}, 0)):
        (dataset / "dataset_0.json").write_text(json.dumps(content | {"labels": names}))
        report = check_dataset(dataset)
        assert report.faults == ()
        assert [note.kind for note in report.notes] == ["lone-side"] * lone


def test_all_faults_are_listed_at_once(dataset: Path) -> None:
    save(image_path(dataset, 1), np.full(SHAPE, 7, np.int16))
    save(label_path(dataset, 1), organs() * 3, moved(5))
    cut_off(dataset)
    label_path(dataset, 3).unlink()
    found = {(fault.file.name, fault.kind) for fault in check_dataset(dataset).faults}
    assert found == {
        ("img0001.nii.gz", "constant"),
        ("label0001.nii.gz", "label-values"),
        ("label0001.nii.gz", "affine"),
        ("img0002.nii.gz", "unreadable"),
        ("label0003.nii.gz", "missing-partner"),
    }


@pytest.mark.parametrize(
    ("training", "validation", "kind"),
    [([1, 2, 2], [3], "listed-twice"), ([1, 2, 3], [3], "both-splits")],
)
def test_case_listed_twice_is_found(dataset: Path, training: list[int], validation: list[int], kind: str) -> None:
    write_list(dataset, training, validation)
    assert kind in {fault.kind for fault in check_dataset(dataset).faults}


def test_label_map_shared_by_two_cases_is_found(dataset: Path) -> None:
    listed = [entry(dataset, 1), entry(dataset, 2) | {"label": entry(dataset, 1)["label"]}]
    content = {"labels": NAMES, "training": listed, "validation": [entry(dataset, 3)]}
    (dataset / "dataset_0.json").write_text(json.dumps(content))
    faults = check_dataset(dataset).faults
    assert ("label0001.nii.gz", "shared-label") in {(fault.file.name, fault.kind) for fault in faults}


def test_files_outside_the_list_are_notes_and_lone_labels_faults(dataset: Path) -> None:
    save(image_path(dataset, 4), scan(4))
    save(label_path(dataset, 4), organs())
    report = check_dataset(dataset)
    assert {(note.file.name, note.kind) for note in report.notes} == {
        ("img0004.nii.gz", "unlisted"),
        ("label0004.nii.gz", "unlisted"),
    }
    assert report.faults == ()
    image_path(dataset, 4).unlink()
    save(image_path(dataset, 5), scan(5))
    assert [(fault.file.name, fault.kind) for fault in check_dataset(dataset).faults] == [
        ("label0004.nii.gz", "missing-partner")
    ]


def test_folder_without_a_list_is_checked(dataset: Path) -> None:
    (dataset / "dataset_0.json").unlink()
    label_path(dataset, 1).unlink()
    faults = check_dataset(dataset).faults
    assert [(fault.file.name, fault.kind) for fault in faults] == [("label0001.nii.gz", "missing-partner")]


def test_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no dataset here"):
        check_dataset(tmp_path)


@pytest.mark.parametrize("modality", ["MR", "CT", ""])
def test_a_scan_of_another_modality_than_ct_is_told(modality: str) -> None:
    found = list(check_image(Path("series"), voxel_statistics(scan(1)), modality))
    expected = [f"the header says that its modality is {modality}, not CT"] if modality == "MR" else []
    assert [remark.message.partition(";")[0] for remark in found] == expected
    assert all(remark.is_note for remark in found)


def test_what_a_header_leaves_open_is_a_note(dataset: Path) -> None:
    image = nib.Nifti1Image(scan(2), AFFINE)
    image.set_qform(None, 0)
    image.set_sform(None, 0)
    nib.save(image, image_path(dataset, 2))
    report = check_dataset(dataset)
    (note,) = [finding for finding in report.notes if finding.kind == "header"]
    assert note.file == image_path(dataset, 2)
    assert "left and right are a guess" in note.message


@pytest.mark.parametrize(
    ("names", "refusal"),
    [
        ({"0": "CT"}, ""),
        (
            {"0": "T2w"},
            "the images are T2w, no CT, .* --set data.preprocessing.intensity=.*, which is that of img0001.nii.gz",
        ),
        (
            {"0": "CT", "1": "PET"},
            "scans have the channels CT, PET, and the recipe speaks of CT; .*",
        ),
    ],
)
def test_what_the_published_recipe_refuses_is_a_note(dataset: Path, names: dict[str, str], refusal: str) -> None:
    file = dataset / "dataset_0.json"
    content = json.loads(file.read_text())
    for case in content["training"] + content["validation"]:
        case["image"] = [case["image"]] * len(names)
    file.write_text(json.dumps(content | {"channel_names": names}))
    report = check_dataset(dataset)
    told = "".join(note.message for note in report.notes if note.kind == "modality")
    assert re.fullmatch(f"`medssm train btcv` refuses it: {refusal}" if refusal else "", told)
    assert not [fault for fault in report.faults if fault.kind == "modality"]
