"""Surfaces of masks on grids of every kind, beside plain derivations and an independent library."""

from itertools import combinations

import numpy as np
import pytest
import surface_distance

from medssm.metrics import score_case
from medssm.metrics.surface import surface_agreement

TILT = np.tan(np.radians(20))


def discs(shape: tuple[int, int] = (40, 34)) -> tuple[np.ndarray, np.ndarray]:
    """Two discs with a dent, a little apart."""
    x, y = np.indices(shape)
    first, second = (np.hypot(x - a, y - b) < 9 for a, b in ((18, 16), (20, 17)))
    first[18:22, 8:12] = False
    return first, second


def contour(mask: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places and lengths of a contour, from the midpoints of the sides between pixels in and out of the mask."""
    padded = np.pad(mask, 1)
    places, lengths = [], []
    for i, j in np.ndindex(padded.shape[0] - 1, padded.shape[1] - 1):
        ring = [(0, 0), (0, 1), (1, 1), (1, 0)]
        inside = [bool(padded[i + a, j + b]) for a, b in ring]
        crossed = [n for n in range(4) if inside[n] != inside[(n + 1) % 4]]
        middle = [np.add(ring[n], ring[(n + 1) % 4]) / 2 for n in range(4)]
        if len(crossed) == 4:  # two corners, each cut off by itself
            pairs = [(n - 1, n) for n in range(4) if inside[n]]
        else:
            pairs = [(first, second) for first, second in combinations(crossed, 2)]
        if pairs:
            places.append(axes @ (i - 0.5, j - 0.5))
            lengths.append(sum(np.linalg.norm(axes @ (middle[a] - middle[b])) for a, b in pairs))
    return np.array(places), np.array(lengths)


def plain_agreement(prediction: np.ndarray, reference: np.ndarray, axes: np.ndarray, tolerance: float) -> list[float]:
    """HD95 and surface Dice of contours, every pair of elements compared."""
    (ours, our_lengths), (theirs, their_lengths) = (contour(mask, axes) for mask in (prediction, reference))
    apart = np.linalg.norm(ours[:, None] - theirs, axis=-1)
    worst, within = [], 0.0
    for distances, lengths in ((apart.min(axis=1), our_lengths), (apart.min(axis=0), their_lengths)):
        order = np.argsort(distances)
        worst.append(distances[order][np.searchsorted(np.cumsum(lengths[order]), 0.95 * lengths.sum())])
        within += lengths[distances <= tolerance].sum()
    return [max(worst), within / (our_lengths.sum() + their_lengths.sum())]


@pytest.mark.parametrize("thin", [0, 1, 2])
@pytest.mark.parametrize("shear", [0.0, 0.4])
def test_one_slice_is_compared_by_its_contour(thin: int, shear: float) -> None:
    first, second = discs()
    affine = np.diag([0.8, 0.8, 0.8, 1.0])
    thick = [axis for axis in range(3) if axis != thin]
    affine[:3, thick[1]] = shear * affine[:3, thick[0]]
    affine[thick[1], thick[1]] = 1.3
    affine[thin, thin] = 5.0
    maps = (np.expand_dims(mask, thin).astype(np.uint8) for mask in (first, second))
    [score] = score_case(*maps, affine, {1: "lesion"}, tolerance=1.0)
    expected = plain_agreement(first, second, affine[:3, thick], 1.0)
    assert [score.hd95, score.surface_dice] == pytest.approx(expected, rel=1e-9)
    assert 0.2 < expected[1] < 0.8
    if not shear:
        theirs = surface_distance.compute_surface_distances(second, first, (0.8, 1.3))
        assert score.hd95 == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 95))
        assert score.surface_dice == pytest.approx(surface_distance.compute_surface_dice_at_tolerance(theirs, 1.0))


def test_a_slice_that_was_cut_out_has_no_upper_and_lower_surface() -> None:
    """As a volume the faces would be most of the surface, and agree wherever the masks overlap."""
    first, second = (mask.astype(np.uint8)[..., None] for mask in discs())
    [flat] = score_case(first, second, np.eye(4), {1: "lesion"}, 0.5)
    [thick] = score_case(
        np.pad(first, ((0, 0), (0, 0), (1, 1))), np.pad(second, 1)[1:-1, 1:-1], np.eye(4), {1: "a"}, 0.5
    )
    assert thick.surface_dice > 0.8 > 0.4 > flat.surface_dice  # type: ignore[operator]


@pytest.mark.parametrize(("shape", "hd95", "share"), [((9, 1, 1), 2.0, 0.5), ((1, 1, 1), 0.0, 1.0)])
def test_a_row_of_voxels_has_two_ends_and_a_single_voxel_none(
    shape: tuple[int, int, int], hd95: float, share: float
) -> None:
    first, second = np.zeros((2, *shape), np.uint8)
    first[0:4], second[0:5] = 1, 1
    [score] = score_case(first, second, np.diag([2.0, 3.0, 4.0, 1.0]), {1: "nerve"}, 1.0)
    assert (score.hd95, score.surface_dice) == (hd95, share)


def ball(affine: np.ndarray, centre: tuple[float, float, float], shape: tuple[int, int, int]) -> np.ndarray:
    """Voxels within 14 mm of a place in mm."""
    places = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T
    return np.linalg.norm(places - centre, axis=-1) < 14


@pytest.mark.parametrize("shift", [(4.0, 0.0, 0.0), (0.0, 3.0, 3.0), (0.0, 4.0, -4.0)])
def test_distances_are_true_on_a_sheared_grid(shift: tuple[float, float, float]) -> None:
    """A tilted gantry changes neither the patient nor the answer: two balls are as far apart as on a straight grid."""
    straight, tilted = np.eye(4), np.eye(4)
    tilted[1, 2] = 2 * TILT  # steep, so that a wrong answer is far off
    answers = []
    for affine, shape in ((straight, (52, 52, 52)), (tilted, (52, 90, 52))):
        middle = affine[:3, :3] @ np.array(shape) / 2
        masks = (ball(affine, place, shape) for place in (middle, middle + shift))
        answers.append(surface_agreement(*masks, affine[:3, :3], 2.0))
    assert answers[1] == pytest.approx(answers[0], rel=0.06)


def test_areas_of_a_sheared_block_are_those_of_its_faces() -> None:
    """A prism far larger than a voxel: what its edges cut off hardly counts."""
    axes = np.array([[1.0, 0.2, 0.3], [0.1, 1.5, 0.6], [0.0, 0.2, 2.0]])
    first = np.zeros((62, 62, 62), bool)
    first[1:61, 1:61, 1:61] = True
    second = first.copy()
    second[1:31] = False  # three of the faces are halved, and one lies in the middle
    a, b, c = (60 * axis for axis in axes.T)
    across, others = np.linalg.norm(np.cross(b, c)), np.linalg.norm(np.cross(a, b)) + np.linalg.norm(np.cross(a, c))
    # Within 0.1 mm of the other: of the first block one end and half of its sides, of the second one all but the cut.
    expected = (across + others + across + others) / (2 * across + 2 * others + 2 * across + others)
    assert surface_agreement(first, second, axes, 0.1)[1] == pytest.approx(expected, rel=0.03)


def test_volumes_and_diagonals_are_those_of_a_sheared_grid() -> None:
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[1, 2] = 3 * TILT
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[2:7, 2:7, 2:6] = 1
    found, missed = score_case(labels, labels + 2 * (labels == 0), affine, {1: "liver", 2: "rest"})
    assert found.volume_ml == pytest.approx(5 * 5 * 4 * 3 / 1000)
    assert missed.hd95 == pytest.approx(np.linalg.norm([10, 10 + 30 * TILT, 30]))
