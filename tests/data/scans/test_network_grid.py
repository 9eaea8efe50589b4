"""The network's grid against MONAI's own transforms, the published pipeline's definition."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose, CropForegroundd, Orientationd, ScaleIntensityRanged, Spacingd

from medssm.data.scans.cases import ScanCase
from medssm.data.scans.network_grid import check_size, preprocess_scan, read_scan_and_labels
from medssm.data.scans.network_slabs import NetworkSlabs
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.scan import Scan
from medssm.data.scans.volume import Volume
from medssm.errors import DataError, GeometryError

KEYS = ("image", "label")


def rotation(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def scan(seed: int, codes: str, spacing: tuple[float, ...], degrees: float = 0.0) -> tuple[Volume, np.ndarray]:
    """A volume of noise with a margin of air, and labels, on a grid of these axis codes and spacing."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(9, 20, 3))
    array = rng.integers(-170, 300, shape).astype(np.int16)
    array[:2], array[:, -1] = -1000, -1000
    turns = nib.orientations.axcodes2ornt(codes)
    axes = nib.orientations.inv_ornt_aff(turns, shape)[:3, :3]
    affine = nib.affines.from_matvec(rotation(degrees) @ axes @ np.diag(spacing), [10.0, -20.0, 30.0])
    return Volume(array, affine), rng.integers(0, 14, shape).astype(np.uint8)


def monai_pipeline(volume: Volume, labels: np.ndarray, preprocessing: Preprocessing) -> dict[str, MetaTensor]:
    affine = torch.from_numpy(volume.affine)
    [(low, high)] = preprocessing.windows
    steps = [
        Orientationd(KEYS, axcodes="RAS"),
        Spacingd(KEYS, pixdim=preprocessing.spacing, mode=("bilinear", "nearest")),
        ScaleIntensityRanged("image", a_min=low, a_max=high, b_min=0.0, b_max=1.0, clip=True),
        CropForegroundd(KEYS, source_key="image", allow_smaller=True),
    ]
    arrays = {"image": volume.array.astype(np.float32), "label": labels}
    return Compose(steps)({k: MetaTensor(torch.from_numpy(a)[None], affine=affine) for k, a in arrays.items()})


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    codes=st.sampled_from(["RAS", "LPS", "LAS", "RPI", "SAR", "PIL"]),
    spacing=st.tuples(*[st.sampled_from([0.7, 0.83, 1.5, 2.0, 2.3, 4.1])] * 3),
    degrees=st.sampled_from([0.0, 7.0, -12.0]),
)
def test_agrees_with_the_monai_transforms(
    seed: int, codes: str, spacing: tuple[float, float, float], degrees: float
) -> None:
    volume, labels = scan(seed, codes, spacing, degrees)
    assume(not has_two_sizes(volume))
    expected = monai_pipeline(volume, labels, Preprocessing())
    image, _, label, affine = preprocess_scan(Scan.of(volume), Preprocessing(), labels)
    np.testing.assert_allclose(image, expected["image"].numpy(), atol=2e-6)
    np.testing.assert_allclose(affine, expected["image"].affine.numpy(), atol=1e-9)
    assert label is not None
    # Exactly between two voxels MONAI's rounding depends on its own rounding errors; such samples are few.
    assert (label.numpy() != expected["label"].numpy()[0]).mean() < 0.02 or on_halves(volume)


def has_two_sizes(volume: Volume) -> bool:
    """Whether the resampled size of some axis lies midway between two numbers, where either is right."""
    canonical = nib.as_closest_canonical(nib.Nifti1Image(volume.array, volume.affine))
    steps = np.array([1.5, 1.5, 2.0]) / nib.affines.voxel_sizes(canonical.affine)
    return bool(np.isclose((np.array(canonical.shape) - 1) / steps % 1, 0.5, atol=1e-6).any())


def on_halves(volume: Volume) -> bool:
    """Whether some axis samples midway between voxels regularly, where nearest has two right answers."""
    steps = np.array([1.5, 1.5, 2.0]) / np.sort(volume.spacing)[:, None]
    return bool(np.isclose((np.arange(20)[:, None, None] * steps) % 1, 0.5, atol=1e-6).any())


def test_spacing_within_a_thousandth_is_left_alone() -> None:
    volume, _ = scan(0, "RAS", (1.5004, 1.4997, 2.0))
    image, _, _, affine = preprocess_scan(Scan.of(volume), Preprocessing(crop_foreground=False))
    assert tuple(image.shape[1:]) == volume.shape
    np.testing.assert_array_equal(affine, volume.affine)


def test_a_voxel_is_found_where_the_affine_says() -> None:
    volume, _ = scan(3, "PIL", (1.5, 1.5, 1.5), degrees=7.0)
    volume.array[:] = -100
    volume.array[5, 4, 6] = 200
    image, _, _, affine = preprocess_scan(Scan.of(volume), Preprocessing(spacing=(1.5, 1.5, 1.5)))
    found = np.unravel_index(int(image[0].argmax()), image[0].shape)
    np.testing.assert_allclose(
        nib.affines.apply_affine(affine, found), nib.affines.apply_affine(volume.affine, (5, 4, 6)), atol=1e-9
    )


def test_a_scan_of_air_keeps_its_whole_grid() -> None:
    volume, _ = scan(1, "RAS", (1.5, 1.5, 2.0))
    volume.array[:] = -1000
    assert tuple(preprocess_scan(Scan.of(volume), Preprocessing()).image.shape[1:]) == volume.shape


def test_not_a_number_becomes_air() -> None:
    volume, _ = scan(2, "RAS", (1.5, 1.5, 2.0))
    array = volume.array.astype(np.float32)
    array[5, 5, 5] = np.nan
    image, _, _, _ = preprocess_scan(Scan.of(Volume(array, volume.affine)), Preprocessing(crop_foreground=False))
    assert image[0, 5, 5, 5] == 0
    assert torch.isfinite(image).all()


def write_case(folder: Path, image: Volume, labels: np.ndarray, label_affine: np.ndarray) -> ScanCase:
    nib.save(nib.Nifti1Image(image.array, image.affine), folder / "image.nii.gz")
    nib.save(nib.Nifti1Image(labels, label_affine), folder / "label.nii.gz")
    return ScanCase("case", folder / "image.nii.gz", folder / "label.nii.gz")


def test_a_case_is_read_from_its_files(tmp_path: Path) -> None:
    volume, labels = scan(5, "LPS", (1.25, 1.125, 2.5))
    case = write_case(tmp_path, volume, labels, volume.affine)
    read, read_labels = read_scan_and_labels(case, Preprocessing())
    from_files = preprocess_scan(read, Preprocessing(), read_labels)
    from_memory = preprocess_scan(Scan.of(volume), Preprocessing(), labels)
    assert torch.equal(from_files.image, from_memory.image)
    assert torch.equal(from_files.label, from_memory.label)


def test_a_label_map_elsewhere_is_an_error(tmp_path: Path) -> None:
    volume, labels = scan(5, "LPS", (1.25, 1.125, 2.5))
    case = write_case(tmp_path, volume, labels, volume.affine + np.diag([0.1, 0, 0, 0]))
    with pytest.raises(
        GeometryError, match=r"label\.nii\.gz and .*image\.nii\.gz: their affines place a voxel 1\.5 mm apart"
    ):
        read_scan_and_labels(case, Preprocessing())


def test_labels_that_are_no_whole_numbers_are_an_error(tmp_path: Path) -> None:
    volume, labels = scan(5, "LPS", (1.25, 1.125, 2.5))
    case = write_case(tmp_path, volume, labels.astype(np.float32) + 0.5, volume.affine)
    with pytest.raises(DataError, match="whole numbers"):
        read_scan_and_labels(case, Preprocessing())


@pytest.mark.parametrize(
    ("spacing", "shape", "said"),
    [(60.0, (72, 64, 56), "larger"), (0.02, (72, 64, 56), "smaller"), (2793.0, (9, 9, 9), "larger")],
)
def test_a_spacing_that_no_patient_has_is_named_before_memory_is_taken(
    spacing: float, shape: tuple[int, int, int], said: str
) -> None:
    scan = Volume(np.broadcast_to(np.int16(0), shape), np.diag([spacing] * 3 + [1]), path=Path("scan.nii"))
    with pytest.raises(GeometryError, match=rf"scan\.nii: a spacing of {spacing:g} x .*, {said} than the network"):
        NetworkSlabs.of(Scan.of(scan), Preprocessing())


def test_a_spacing_of_60_mm_is_refused_on_a_coarser_grid_as_well() -> None:
    scan = Volume(np.broadcast_to(np.int16(0), (72, 64, 56)), np.diag([60.0, 60.0, 60.0, 1]))
    with pytest.raises(
        GeometryError, match="a spacing of 60 x 60 x 60 mm makes a scan of 4320 x 3840 x 3360 mm, larger"
    ):
        check_size(scan, Preprocessing(spacing=(3.0, 3.0, 3.0)))


@pytest.mark.parametrize("spacing", [0.2, 0.5, 5.0, 20.0])
def test_a_spacing_that_is_merely_unusual_is_taken(spacing: float) -> None:
    check_size(Volume(np.broadcast_to(np.int16(0), (72, 64, 56)), np.diag([spacing] * 3 + [1])), Preprocessing())
