"""Labels as networks learn them: out of one map or a mask for each organ, with what is unknown set apart."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from medssm.data.scans.cache import PreprocessedCases
from medssm.data.scans.cases import ScanCase
from medssm.data.scans.labelled import read_labels
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.volume import read_volume
from medssm.errors import DataError, GeometryError

SHAPE = (4, 5, 6)
AFFINE = np.diag([-2.0, 2.0, 2.0, 1.0])


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return save(tmp_path / "image.nii.gz", np.random.default_rng(0).integers(-500, 300, SHAPE).astype(np.int16))


def planted(*values: int, kind: type = np.uint8) -> np.ndarray:
    """Label maps with a voxel of each value along the first axis."""
    labels = np.zeros(SHAPE, kind)
    for place, value in enumerate(values):
        labels[place, 2, 3] = value
    return labels


@pytest.mark.parametrize(
    ("stored", "ignored", "learnt"),
    [
        (planted(1, 2), None, planted(1, 2)),
        (planted(1, 2), 2, planted(1, 255)),
        (planted(1, 255), 255, planted(1, 255)),
        (planted(1, 1000, kind=np.int16), 1000, planted(1, 255)),
        (planted(1, 2).astype(np.float32) + 1e-4, None, planted(1, 2)),
    ],
)
def test_labels_are_one_byte_and_what_is_unknown_is_255(
    image: Path, tmp_path: Path, stored: np.ndarray, ignored: int | None, learnt: np.ndarray
) -> None:
    case = ScanCase("a", image, save(tmp_path / "labels.nii.gz", stored), ignored=ignored)
    labels = read_labels(case, read_volume(image))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, learnt)


def test_masks_become_labels_in_their_order_turned_to_run_as_the_scan_does(image: Path, tmp_path: Path) -> None:
    masks = [save(tmp_path / "spleen.nii.gz", planted(0, 1)), save(tmp_path / "aorta.nii.gz", planted(255))]
    nib.save(nib.as_closest_canonical(nib.load(masks[0])), masks[0])
    case = ScanCase("a", image, tmp_path, tuple(masks))
    np.testing.assert_array_equal(read_labels(case, read_volume(image)), planted(2, 1))


@pytest.mark.parametrize(
    ("stored", "sentence"),
    [
        (planted(1, 255), "holds the label 255, which the list does not name; .* add \"ignore\": 255 to its 'labels'"),
        (planted(1, 2035, kind=np.int16), "holds the label 2035, but a network's labels go up to 254; renumber"),
        (planted(1, -1, kind=np.int16), "negative values"),
        (planted(1, 1).astype(np.float32) / 2, "no whole numbers"),
    ],
)
def test_what_cannot_be_learnt_is_refused(image: Path, tmp_path: Path, stored: np.ndarray, sentence: str) -> None:
    case = ScanCase("a", image, save(tmp_path / "labels.nii.gz", stored))
    with pytest.raises(DataError, match=rf"labels\.nii\.gz: .*{sentence}"):
        read_labels(case, read_volume(image))


def test_masks_that_overlap_or_lie_elsewhere_are_refused(image: Path, tmp_path: Path) -> None:
    one, two = (save(tmp_path / f"{name}.nii.gz", planted(1)) for name in "ab")
    with pytest.raises(DataError, match="masks overlap"):
        read_labels(ScanCase("a", image, tmp_path, (one, two)), read_volume(image))
    save(two, planted(0, 1), AFFINE @ np.diag([1, 1, 1.5, 1]))
    with pytest.raises(GeometryError, match="not on one grid"):
        read_labels(ScanCase("a", image, tmp_path, (one, two)), read_volume(image))


def test_no_crop_is_centred_on_what_is_unknown_and_the_files_labels_are_counted(image: Path, tmp_path: Path) -> None:
    labels = planted(1, 1)
    labels[2:] = 7
    case = ScanCase("a", image, save(tmp_path / "labels.nii.gz", labels), ignored=7)
    settings = Preprocessing(spacing=(2, 2, 2), crop_foreground=False)
    cached = PreprocessedCases([case], settings, tmp_path / "cache")[0]
    flat = cached.reference.flatten()
    assert cached.centres.present().tolist() == [1]
    assert set(flat[cached.centres.organs.long()].tolist()) == {1}
    assert set(flat[cached.centres.background.long()].tolist()) == {0}
    assert {k: int(n) for k, n in enumerate(cached.stored_counts) if n} == {0: 58, 1: 2, 255: 60}
    assert torch.equal(torch.bincount(flat.long(), minlength=256), cached.stored_counts)
