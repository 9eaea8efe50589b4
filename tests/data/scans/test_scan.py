"""Scans of several channels on one grid."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from medssm.data.scans.network_grid import preprocess_scan
from medssm.data.scans.network_slabs import NetworkSlabs
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.scan import Scan, in_order_of, read_scan
from medssm.data.scans.volume import Volume
from medssm.errors import DataError, GeometryError, UsageError

TWO = Preprocessing.model_validate(
    {
        "spacing": (2, 2, 2),
        "channels": [
            {"name": "T1", "normalisation": {"kind": "zscore"}},
            {"name": "T2", "normalisation": {"kind": "percentile"}},
        ],
    }
)


def ramp(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """x + 10 y + 100 z of each voxel's place in mm."""
    places = nib.affines.apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    return places @ np.array([1.0, 10.0, 100.0])


def volume(shape: tuple[int, int, int], affine: np.ndarray, name: str = "a.nii.gz") -> Volume:
    return Volume(ramp(shape, affine).astype(np.float32), affine, path=Path(name))


def test_a_channel_on_another_grid_is_resampled_onto_the_first_and_it_is_said() -> None:
    first = volume((20, 18, 16), np.diag([1.0, 1.0, 2.0, 1.0]), "t1.nii.gz")
    other = np.array([[-1.3, 0, 0, 24], [0, 0, 1.1, -2], [0, 1.7, 0, -3], [0, 0, 0, 1.0]])
    scan = Scan.of(first, volume((24, 24, 24), other, "t2.nii.gz"))
    np.testing.assert_allclose(scan.channels[1].array[3:, 3:-3, 3:-3], first.array[3:, 3:-3, 3:-3], atol=0.01)
    np.testing.assert_array_equal(scan.channels[1].affine, first.affine)
    assert scan.notes == ("t2.nii.gz: lies on another grid than t1.nii.gz and is resampled onto that",)


def test_a_channel_of_another_part_of_the_body_is_refused() -> None:
    far = np.eye(4)
    far[2, 3] = 40
    with pytest.raises(GeometryError, match=r"b\.nii\.gz: covers \d+% of the grid of a\.nii\.gz \(9x9x20 voxels\)"):
        Scan.of(volume((9, 9, 20), np.eye(4)), volume((9, 9, 20), far, "b.nii.gz"))


def test_one_file_with_all_channels_is_the_same_as_a_file_for_each(tmp_path: Path) -> None:
    arrays = [np.random.default_rng(seed).normal(size=(6, 5, 4)).astype(np.float32) for seed in (0, 1)]
    for name, array in zip(("t1", "t2", "both"), (*arrays, np.stack(arrays, axis=-1)), strict=True):
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}.nii.gz")
    one = read_scan([tmp_path / "both.nii.gz"], ["T1", "T2"])
    each = read_scan([tmp_path / "t1.nii.gz", tmp_path / "t2.nii.gz"], ["T1", "T2"])
    for a, b, array in zip(one.arrays, each.arrays, arrays, strict=True):
        np.testing.assert_array_equal(a, array)
        np.testing.assert_array_equal(b, array)
    with pytest.raises(DataError, match=r"both\.nii\.gz: has 2 channels, where 3 are needed \(T1, T2, FLAIR\)"):
        read_scan([tmp_path / "both.nii.gz"], ["T1", "T2", "FLAIR"])
    with pytest.raises(DataError, match=r"t1\.nii\.gz: has 1 channel, where 2 are needed"):
        read_scan([tmp_path / "t1.nii.gz"], ["T1", "T2"])


def test_channels_are_put_in_the_networks_order_by_their_names() -> None:
    files = {"flair": Path("f"), "T1": Path("1")}
    assert in_order_of(["T1", "FLAIR"], files) == [Path("1"), Path("f")]
    with pytest.raises(UsageError, match=r"channel 'T2' has no file: the network's channels are T1, T2"):
        in_order_of(["T1", "T2"], {"T1": Path("1")})
    with pytest.raises(UsageError, match="'flair' is none of them"):
        in_order_of(["T1"], files)


def test_slabs_of_two_channels_are_parts_of_what_training_sees() -> None:
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=(14, 12, 16)), 300 + 50 * rng.normal(size=(14, 12, 16))]
    arrays[0][:, :, :5], arrays[1][:, :, :4] = -5, 0  # the body of either counts
    scan = Scan.of(*(Volume(array.astype(np.float32), np.diag([-1.5, 2, 2.5, 1])) for array in arrays))
    whole, slabs = preprocess_scan(scan, TWO), NetworkSlabs.of(scan, TWO)
    assert whole.image.shape[0] == 2
    assert slabs.shape == tuple(whole.image.shape[1:]) == tuple(whole.body.shape)
    assert slabs.box[2].start == 4
    for axis, size in enumerate(slabs.shape):
        torch.testing.assert_close(slabs.planes(axis, 1, size - 1), whole.image.narrow(axis + 1, 1, size - 2))
