"""One synthetic scan: an anatomy, a patient's pose, a scanner's grid and its noise, all from a seed."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np

from medssm.data.synthetic.phantom.fields import correlated_noise
from medssm.data.synthetic.phantom.organs import build_organs
from medssm.data.synthetic.phantom.rendering import Pose, lay_canvas, paint
from medssm.data.synthetic.phantom.shapes import rotation
from medssm.data.synthetic.phantom.structure import Variation
from medssm.data.synthetic.phantom.trunk import Trunk, build_trunk

# How the files of scanners and converters are stored; the patient is the same in each.
ORIENTATIONS = ("LPS", "RAS", "LAS", "LPI", "RPS", "PIR")


@dataclass(frozen=True)
class PhantomScan:
    """A synthetic scan and its reference.

    Attributes:
        image: (X, Y, Z) int16 Hounsfield units.
        labels: (X, Y, Z) uint8, BTCV's numbering.
        affine: (4, 4) to RAS+ mm.
    """

    image: np.ndarray
    labels: np.ndarray
    affine: np.ndarray


def phantom_scan(seed: int, case: int, spacing: tuple[float, float]) -> PhantomScan:
    """Case number `case` of the phantom, the same whatever other cases there are.

    Args:
        seed: of the dataset.
        case: from 0.
        spacing: smallest and largest voxel size in mm; drawn once in the plane and once across. The anatomy does not
            depend on it.
    """
    streams = (np.random.default_rng(stream) for stream in np.random.SeedSequence((seed, case)).spawn(4))
    anatomy, warp, scanner, noise = streams
    vary = Variation(anatomy)
    trunk = build_trunk(vary)
    structures = [*trunk.structures, *build_organs(vary, trunk)]
    pose = _pose(vary)
    shape, affine = _grid(Variation(scanner), trunk, pose, spacing)
    canvas = lay_canvas(warp, shape, affine, pose, (vary.between(2.0, 4.0), vary.between(0.6, 1.3)))
    image, labels = paint(canvas, structures)
    image += _noise(noise, Variation(scanner), affine, image.shape)
    return _stored(image, labels, affine, ORIENTATIONS[int(scanner.integers(len(ORIENTATIONS)))])


def _pose(vary: Variation) -> Pose:
    size = vary.factor(0.028)
    scale = size * np.exp(vary.point((0, 0, 0), (0.03, 0.036, 0.026)))
    return Pose(rotation(vary.angles((0, 0, 0), 2.5)), scale, vary.point((0, 0, 0), 8))


def _grid(
    vary: Variation, trunk: Trunk, pose: Pose, spacing: tuple[float, float]
) -> tuple[tuple[int, int, int], np.ndarray]:
    """A grid around the trunk from about the pelvis' rim to the heart, in some scans a little oblique."""
    in_plane, across = vary.between(*spacing), vary.between(*spacing)
    low, high = vary.between(-125, -98), vary.between(138, 162)
    centre = pose.to_scanner(np.array([[0, trunk.centre_depth, (low + high) / 2]]))[0]
    half = np.array([trunk.half_width, trunk.half_depth, (high - low) / 2]) * pose.scale
    half += [vary.between(6, 18), vary.between(6, 18), 0]
    sizes = np.array([in_plane, in_plane, across])
    shape = np.maximum(np.rint(2 * half / sizes), 8).astype(int)
    turn = rotation(vary.angles((0, 0, 0), 3)) if vary.happens(0.25) else np.eye(3)
    matrix = turn @ np.diag(sizes)
    x, y, z = (int(n) for n in shape)
    return (x, y, z), nib.affines.from_matvec(matrix, centre - matrix @ ((shape - 1) / 2))


def _noise(rng: np.random.Generator, vary: Variation, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Correlated noise of 8 to 20 HU: about 1.2 mm of blur in the plane, half of that across."""
    blur = np.array([1.2, 1.2, 0.6]) * vary.factor(0.2) / nib.affines.voxel_sizes(affine)
    return np.float32(vary.between(8, 20)) * correlated_noise(rng, shape, blur)


def _stored(image: np.ndarray, labels: np.ndarray, affine: np.ndarray, codes: str) -> PhantomScan:
    """The scan with its voxels in the order of these axis codes."""
    turns = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt(codes)
    )
    hounsfield = np.clip(np.rint(image), -1024, 3071).astype(np.int16)
    return PhantomScan(
        nib.apply_orientation(hounsfield, turns),
        nib.apply_orientation(labels, turns),
        affine @ nib.orientations.inv_ornt_aff(turns, image.shape),
    )
