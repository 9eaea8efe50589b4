"""Slabs computed one by one against the whole volume that training sees."""

import nibabel as nib
import numpy as np
import pytest
import torch

from medssm.data.scans.network_grid import preprocess_scan
from medssm.data.scans.network_slabs import NetworkSlabs
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.resampling import resample_linear
from medssm.data.scans.scan import Scan
from medssm.data.scans.volume import Volume

SPACINGS = [(1.5, 1.5, 2.0), (0.83, 0.9, 5.0), (3.1, 2.7, 1.1)]


def scan(codes: str, spacing: tuple[float, float, float]) -> Scan:
    """Noise in air, the air wider on some sides than on others."""
    rng = np.random.default_rng(7)
    array = np.full((31, 26, 37), -1000, np.int16)
    array[3:25, 6:, 2:-8] = rng.integers(-170, 300, (22, 20, 27))
    axes = np.linalg.inv(nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(codes), array.shape))[:3, :3]
    return Scan.of(Volume(array, nib.affines.from_matvec(axes @ np.diag(spacing), [5.0, -7.0, 9.0])))


@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR"])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_slabs_are_parts_of_the_volume_that_training_sees(
    spacing: tuple[float, float, float], codes: str, crop: bool
) -> None:
    volume, preprocessing = scan(codes, spacing), Preprocessing(crop_foreground=crop)
    whole = preprocess_scan(volume, preprocessing)
    slabs = NetworkSlabs.of(volume, preprocessing)
    assert slabs.shape == tuple(whole.image.shape[1:])
    np.testing.assert_array_equal(slabs.affine, whole.affine)
    for axis, size in enumerate(slabs.shape):
        for start, stop in [(0, size), (size // 3, size // 3 + 1), (size // 2, size)]:
            torch.testing.assert_close(
                slabs.planes(axis, start, stop), whole.image.narrow(axis + 1, start, stop - start), atol=0, rtol=0
            )


@pytest.mark.parametrize("spacing", SPACINGS)
def test_positions_lead_from_the_scans_voxels_to_the_same_place_in_mm(spacing: tuple[float, float, float]) -> None:
    volume = scan("RAS", spacing)
    slabs = NetworkSlabs.of(volume, Preprocessing())
    for voxel in [(0, 0, 0), (30, 25, 36), (11, 17, 5)]:
        there = [slabs.positions(axis)[index] for axis, index in enumerate(voxel)]
        np.testing.assert_allclose(
            nib.affines.apply_affine(slabs.affine, there),
            nib.affines.apply_affine(volume.first.affine, voxel),
            atol=1e-9,
        )


def test_covered_voxels_are_those_of_the_foreground_at_equal_spacing() -> None:
    slabs = NetworkSlabs.of(scan("RAS", (1.5, 1.5, 2.0)), Preprocessing())
    assert [slabs.covered(axis) for axis in range(3)] == [slice(3, 25), slice(6, 26), slice(2, 29)]


@pytest.mark.parametrize("spacing", SPACINGS)
def test_without_a_crop_every_voxel_is_covered(spacing: tuple[float, float, float]) -> None:
    volume = scan("RAS", spacing)
    slabs = NetworkSlabs.of(volume, Preprocessing(crop_foreground=False))
    assert [slabs.covered(axis) for axis in range(3)] == [slice(0, size) for size in volume.first.shape]


def test_a_linear_ramp_is_resampled_to_the_same_ramp() -> None:
    ramp = np.add.outer(np.add.outer(np.arange(12) * 3.0, np.arange(9) * 5.0), np.arange(15) * 7.0)
    got = resample_linear(ramp, (1.5, 0.4, 0.5))
    x, y, z = (np.arange(n) for n in got.shape)
    expected = np.add.outer(np.add.outer(x * 4.5, y * 2.0), z * 3.5)
    np.testing.assert_allclose(got[:7, :20, :28], expected[:7, :20, :28], rtol=1e-6)
