"""The phantom against textbook anatomy, over many cases."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.synthetic.phantom import PhantomScan, phantom_scan

LABELS = {name: value for value, name in BTCV_ORGANS.items()}
CASES = 16
SPACING = (4.0, 4.5)

# Smallest and largest volume of a case and range of the mean, in ml.
VOLUMES = {
    "spleen": (60, 230, 100, 160),
    "right kidney": (85, 215, 120, 165),
    "left kidney": (85, 215, 120, 165),
    "gallbladder": (0, 60, 15, 40),
    "esophagus": (5, 30, 10, 20),
    "liver": (1000, 2200, 1300, 1700),
    "stomach": (120, 600, 200, 400),
    "aorta": (40, 140, 60, 100),
    "inferior vena cava": (40, 140, 60, 110),
    "portal and splenic veins": (14, 45, 20, 32),
    "pancreas": (50, 140, 65, 110),
    "right adrenal gland": (1.5, 7, 3, 5),
    "left adrenal gland": (1.5, 7, 3, 5),
}
# Range of a case's mean Hounsfield units, partial volume and noise included.
INTENSITIES = {
    "spleen": (85, 150),
    "right kidney": (120, 210),
    "left kidney": (120, 210),
    "gallbladder": (-10, 50),
    "liver": (75, 140),
    "aorta": (100, 230),
    "inferior vena cava": (80, 165),
    "portal and splenic veins": (90, 190),
    "pancreas": (50, 125),
    "right adrenal gland": (10, 90),
    "left adrenal gland": (10, 90),
}
# (further, less far) along x (to the right), y (to the front), z (to the head), by centroids.
ORDERED = {
    0: [
        ("right kidney", "inferior vena cava"),
        ("inferior vena cava", "aorta"),
        ("aorta", "left kidney"),
        ("liver", "stomach"),
        ("stomach", "spleen"),
        ("gallbladder", "pancreas"),
        ("right adrenal gland", "aorta"),
        ("aorta", "left adrenal gland"),
        ("pancreas", "spleen"),
    ],
    1: [
        ("stomach", "spleen"),
        ("pancreas", "aorta"),
        ("portal and splenic veins", "inferior vena cava"),
        ("gallbladder", "right kidney"),
        ("liver", "right kidney"),
        ("aorta", "left kidney"),
    ],
    2: [
        ("right adrenal gland", "right kidney"),
        ("left adrenal gland", "left kidney"),
        ("liver", "gallbladder"),
        ("liver", "right kidney"),
        ("spleen", "left kidney"),
        ("esophagus", "stomach"),
        ("stomach", "pancreas"),
    ],
}


@pytest.fixture(scope="module")
def scans() -> list[PhantomScan]:
    return [phantom_scan(0, case, SPACING) for case in range(CASES)]


def centroids(scan: PhantomScan) -> dict[str, np.ndarray]:
    found = {}
    for name, label in LABELS.items():
        voxels = np.argwhere(scan.labels == label)
        if len(voxels):
            found[name] = nib.affines.apply_affine(scan.affine, voxels.mean(axis=0))
    return found


@pytest.mark.parametrize("organ", LABELS)
def test_volumes_are_those_of_adults(scans: list[PhantomScan], organ: str) -> None:
    voxel = [abs(np.linalg.det(scan.affine)) / 1000 for scan in scans]
    volumes = [(scan.labels == LABELS[organ]).sum() * ml for scan, ml in zip(scans, voxel, strict=True)]
    low, high, mean_low, mean_high = VOLUMES[organ]
    assert low <= min(volumes)
    assert max(volumes) <= high
    assert mean_low <= np.mean(volumes) <= mean_high
    assert np.std(volumes) > 0.05 * np.mean(volumes)


def test_organs_lie_where_they_belong(scans: list[PhantomScan]) -> None:
    for case, scan in enumerate(scans):
        where = centroids(scan)
        for axis, pairs in ORDERED.items():
            for more, less in pairs:
                if more in where and less in where:
                    assert where[more][axis] > where[less][axis], f"case {case}: {more} beyond {less} along {axis}"


def test_every_organ_is_there_but_now_and_then_the_gallbladder(scans: list[PhantomScan]) -> None:
    missing = [set(BTCV_ORGANS) - set(np.unique(scan.labels).tolist()) for scan in scans]
    assert set().union(*missing) <= {LABELS["gallbladder"]}
    assert sum(map(bool, missing)) <= CASES // 4


def test_every_organ_is_in_one_piece(scans: list[PhantomScan]) -> None:
    for case, scan in enumerate(scans):
        for label in np.unique(scan.labels)[1:]:
            parts, count = ndimage.label(scan.labels == label, np.ones((3, 3, 3)))
            largest = np.bincount(parts.ravel())[1:].max() / (parts > 0).sum()
            assert largest > 0.95, f"case {case}: {BTCV_ORGANS[int(label)]} in {count} pieces"


@pytest.mark.parametrize("organ", INTENSITIES)
def test_intensities_are_those_of_a_contrast_ct(scans: list[PhantomScan], organ: str) -> None:
    means = [scan.image[mask].mean() for scan in scans if (mask := scan.labels == LABELS[organ]).any()]
    low, high = INTENSITIES[organ]
    assert low < min(means)
    assert max(means) < high


def test_context_holds_air_lung_fat_and_bone(scans: list[PhantomScan]) -> None:
    for scan in scans:
        background = scan.image[scan.labels == 0]
        shares = [((background > low) & (background < high)).mean() for low, high in CONTEXT.values()]
        assert min(shares) > 0.005, dict(zip(CONTEXT, shares, strict=True))


CONTEXT = {"air": (-1100, -950), "lung": (-950, -700), "fat": (-140, -60), "muscle": (20, 90), "bone": (200, 700)}


def test_noise_is_that_of_a_ct(scans: list[PhantomScan]) -> None:
    for scan in scans:
        # Deep in the liver, away from its texture: differences of neighbours hold noise and little else.
        deep = ndimage.binary_erosion(scan.labels == LABELS["liver"], iterations=2)
        step = np.diff(scan.image.astype(float), axis=1)[deep[:, 1:]]
        assert 5 < np.median(np.abs(step)) / 0.6745 / np.sqrt(2) < 26


def test_intensity_alone_finds_no_organ(scans: list[PhantomScan]) -> None:
    scores = []
    for scan in scans[:4]:
        organs = [label for label in BTCV_ORGANS if (scan.labels == label).any()]
        means = np.array([scan.image[scan.labels == label].mean() for label in organs])
        near = np.array(organs)[np.abs(scan.image[..., None] - means).argmin(axis=-1)]
        near[scan.image < means.min() - 50] = 0
        for label in organs:
            found, true = near == label, scan.labels == label
            scores.append(2 * (found & true).sum() / (found.sum() + true.sum()))
    assert np.mean(scores) < 0.2


def test_the_same_case_whatever_the_grid() -> None:
    fine, coarse = phantom_scan(5, 3, (4.0, 4.0)), phantom_scan(5, 3, (5.0, 5.0))
    first, second = centroids(fine), centroids(coarse)
    for organ in ("liver", "spleen", "left kidney", "right kidney", "stomach"):
        assert np.linalg.norm(first[organ] - second[organ]) < 3


def test_files_vary_in_orientation_spacing_and_obliqueness() -> None:
    scans = [phantom_scan(0, case, (9.0, 12.0)) for case in range(16)]
    assert len({nib.aff2axcodes(scan.affine) for scan in scans}) >= 4
    spacings = np.array([nib.affines.voxel_sizes(scan.affine) for scan in scans])
    assert spacings.min() >= 9 - 1e-6
    assert spacings.max() <= 12 + 1e-6
    assert np.ptp(spacings) > 1
    assert 1 <= sum(nib.affines.obliquity(scan.affine).max() > 1e-3 for scan in scans) <= 9
