"""What is planted in a scan comes back at the same voxels, however the scan lies."""

from collections.abc import Callable
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medssm.data.scans.volume import Volume, read_volume
from medssm.errors import DataError
from medssm.tasks.segmentation.runner import Predictor

Make = Callable[..., Predictor]
Plant = Callable[..., Volume]

ORIENTATIONS = [
    "".join(letters[sign] for letters, sign in zip(axes, signs, strict=True))
    for axes in permutations(("LR", "PA", "IS"))
    for signs in product((0, 1), repeat=3)
]


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_labels_come_back_voxel_exact_in_every_orientation(codes: str, make_predictor: Make, plant: Plant) -> None:
    volume = plant((19, 23, 17), codes)
    assert "".join(nib.aff2axcodes(volume.affine)) == codes
    np.testing.assert_array_equal(make_predictor().predict(volume).labels, volume.array)


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("degrees", [(5.0, 0.0, 0.0), (12.0, -20.0, 31.0), (-44.0, 3.0, 8.0)])
@pytest.mark.parametrize("codes", ["RAS", "LPI", "ASR"])
def test_labels_come_back_voxel_exact_from_oblique_scans(
    codes: str, degrees: tuple[float, float, float], crop: bool, make_predictor: Make, plant: Plant
) -> None:
    volume = plant((19, 23, 17), codes, degrees=degrees)
    segmentation = make_predictor(crop_foreground=crop).predict(volume)
    np.testing.assert_array_equal(segmentation.labels, volume.array)
    assert segmentation.affine is volume.affine


@pytest.mark.parametrize(
    "shape", [(5, 6, 7), (1, 30, 30), (30, 1, 30), (30, 30, 1), (1, 1, 1), (16, 12, 16), (40, 3, 9)]
)
@pytest.mark.parametrize("padding", ["edge", "constant"])
def test_scans_smaller_than_a_window_come_back_voxel_exact(
    shape: tuple[int, int, int], padding: str, make_predictor: Make, plant: Plant
) -> None:
    volume = plant(shape, "LPS")
    np.testing.assert_array_equal(make_predictor().predict(volume, padding=padding).labels, volume.array)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 30)] * 3),
    codes=st.sampled_from(ORIENTATIONS),
    spacing=st.tuples(*[st.floats(0.5, 5.0)] * 3),
    degrees=st.tuples(*[st.floats(-20, 20)] * 3),
    overlap=st.sampled_from([0.0, 0.25, 0.5]),
)
def test_labels_come_back_voxel_exact_at_any_spacing_that_the_network_shares(
    shape: tuple[int, int, int],
    codes: str,
    spacing: tuple[float, float, float],
    degrees: tuple[float, float, float],
    overlap: float,
    make_predictor: Make,
    plant: Plant,
) -> None:
    volume = plant(shape, codes, spacing, degrees)
    found = make_predictor(spacing=spacing).predict(volume, overlap=overlap)
    np.testing.assert_array_equal(found.labels, volume.array)


class RampNetwork(torch.nn.Module):
    """Class 1 where the intensity exceeds a half: its scores are linear in the intensity."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return torch.cat([0.5 - windows, windows - 0.5], 1)


def ramp_predictor(make_predictor: Make, spacing: tuple[float, float, float], threshold: float) -> Predictor:
    predictor = make_predictor(spacing=spacing, intensity=(threshold - 50, threshold + 50))
    predictor.network, predictor.classes = RampNetwork(), 2
    return predictor


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("target", [(0.7, 0.9, 1.1), (3.1, 2.3, 4.7), (2.25, 0.8, 5.0)])
@pytest.mark.parametrize("codes", ["RAS", "LPI", "SPL"])
def test_a_threshold_in_a_ramp_keeps_its_place_through_resampling(
    codes: str, target: tuple[float, float, float], axis: int, make_predictor: Make, plant: Plant
) -> None:
    """Linear interpolation keeps a ramp, in and out, so the threshold moves if anything is shifted or mirrored."""
    volume = plant((24, 26, 28), codes)
    ramp = np.arange(volume.shape[axis], dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    array = np.array(np.broadcast_to(ramp, volume.shape))
    found = ramp_predictor(make_predictor, target, 10.01).predict(Volume(array, volume.affine)).labels
    np.testing.assert_array_equal(found, array > 10.01)


def test_resampling_there_and_back_keeps_a_blob_in_its_place(make_predictor: Make, plant: Plant) -> None:
    volume = plant((40, 40, 40), "LAS", (1.0, 1.0, 1.0))
    x, y, z = np.ogrid[:40, :40, :40]
    blob = 10 * np.exp(-((x - 19.3) ** 2 + (y - 18.6) ** 2 + (z - 20.1) ** 2) / (2 * 6.0**2))
    found = ramp_predictor(make_predictor, (1.7, 1.3, 2.1), 5.0).predict(Volume(blob, volume.affine)).labels > 0
    np.testing.assert_allclose(np.argwhere(found).mean(axis=0), (19.3, 18.6, 20.1), atol=0.1)
    assert abs(found.sum() / (blob > 5).sum() - 1) < 0.05


def test_a_foreground_crop_leaves_the_rest_background(make_predictor: Make, plant: Plant) -> None:
    volume = plant((30, 31, 32))
    volume.array[:] = 0
    volume.array[7:12, 20:29, 3:9] = 5
    found = make_predictor(crop_foreground=True, spacing=(2.0, 1.1, 1.0)).predict(volume).labels
    assert found[8:11, 21:28, 4:8].min() == 5
    found[6:13, 19:30, 2:10] = 0
    assert not found.any()


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_outputs_open_elsewhere_with_the_geometry_of_the_input(
    suffix: str, tmp_path, make_predictor: Make, plant: Plant
) -> None:
    volume = plant((19, 23, 17), "PIR", degrees=(9.0, 4.0, -3.0))
    path = tmp_path / f"scan{suffix}"
    header = nib.Nifti1Image(volume.array, volume.affine)
    header.set_qform(volume.affine, code=1)
    header.set_sform(volume.affine, code=2)
    nib.save(header, tmp_path / "source.nii.gz")
    if suffix.startswith(".nii"):
        nib.save(header, path)
    else:
        sitk.WriteImage(sitk.ReadImage(tmp_path / "source.nii.gz"), path)
    scan = read_volume(path)
    out = tmp_path / f"out{suffix}"
    make_predictor().predict(path).save(out)
    there, here = sitk.ReadImage(path), sitk.ReadImage(out)
    assert there.GetSize() == here.GetSize()
    for field in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(there, field)() == getattr(here, field)()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(here), sitk.GetArrayFromImage(there))
    if suffix.startswith(".nii"):
        first, second = nib.load(path), nib.load(out)
        np.testing.assert_array_equal(first.affine, second.affine)
        for field in ("qform_code", "sform_code", "pixdim", "srow_x", "srow_y", "srow_z", "quatern_b"):
            np.testing.assert_array_equal(first.header[field], second.header[field])
    np.testing.assert_array_equal(read_volume(out).affine, scan.affine)


def test_strange_values_are_noted_and_empty_scans_refused(make_predictor) -> None:
    predictor = make_predictor(intensity=(-175.0, 250.0))
    array = np.random.default_rng(0).integers(0, 255, (20, 18, 16)).astype(np.float32)
    array[0, 0, 0] = np.nan
    notes = predictor.predict(Volume(array, np.diag([1.5, 1.5, 2, 1]))).volume.notes
    assert [note[:24] for note in notes] == ["1 voxels are NaN or infi", "beware: values from 0 to"]
    with pytest.raises(DataError, match="every voxel is 7"):
        predictor.predict(Volume(np.full((9, 9, 9), 7, np.int16), np.eye(4)))


def test_scores_that_are_not_finite_end_the_prediction(make_predictor, plant) -> None:
    predictor = make_predictor()
    predictor.network.values[2] = torch.nan
    with pytest.raises(DataError, match="scores are not finite"):
        predictor.predict(plant((20, 18, 16)))


def test_a_spacing_that_no_patient_has_is_noted_beside_the_labels(make_predictor: Make, plant: Plant) -> None:
    volume = plant((6, 7, 5), spacing=(24.0, 24.0, 24.0))
    segmentation = make_predictor(spacing=(24.0, 24.0, 24.0)).predict(volume)
    assert segmentation.volume.notes == (
        "beware: a spacing of 24 x 24 x 24 mm is not within 0.05 to 20 mm, as scans of patients are; correct the "
        "header or its unit",
    )
    np.testing.assert_array_equal(segmentation.labels, volume.array)
