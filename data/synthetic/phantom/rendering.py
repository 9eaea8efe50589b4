"""Painting structures onto a voxel grid, each in its bounding box."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medssm.data.synthetic.phantom.fields import smooth_field
from medssm.data.synthetic.phantom.shapes import Box, Points
from medssm.data.synthetic.phantom.structure import KEEP, Structure

AIR = -1000.0
# Bumps of the two displacement fields and of the texture, in mm.
WIDE, NARROW, TEXTURE = 60.0, 28.0, 9.0
# Voxels that are painted at once; a whole box at once takes twice the time.
BLOCK = 65536


@dataclass(frozen=True)
class Pose:
    """How a patient lies in the scanner: scanner = turn @ (scale * anatomical) + shift, all in mm."""

    turn: np.ndarray
    scale: np.ndarray
    shift: np.ndarray

    def to_scanner(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) scanner positions of (n, 3) anatomical ones."""
        return (points * self.scale) @ self.turn.T + self.shift


@dataclass(frozen=True)
class Canvas:
    """A voxel grid and the anatomical position of every voxel.

    Attributes:
        affine: (4, 4) from voxel to scanner mm, axes near right, front, head.
        points: anatomical x, y, z, each (X, Y, Z) float32.
        reach: largest displacement per axis in mm.
        texture: (X, Y, Z) smooth noise of unit variance.
        edge: width of the soft edge in mm.
    """

    affine: np.ndarray
    pose: Pose
    points: Points
    reach: np.ndarray
    texture: np.ndarray
    edge: float


def lay_canvas(
    rng: np.random.Generator, shape: Sequence[int], affine: np.ndarray, pose: Pose, sway: Sequence[float]
) -> Canvas:
    """The grid of a scan over a patient whose inside is displaced smoothly.

    Args:
        rng: draws the displacement and the texture, the same whatever the grid.
        shape: (X, Y, Z).
        sway: standard deviations of the wide and the narrow displacement in mm.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    points, reach = [], []
    backward = np.diag(1 / pose.scale) @ pose.turn.T
    matrix, offset = backward @ affine[:3, :3], backward @ (affine[:3, 3] - pose.shift)
    for row, start in zip(matrix, offset, strict=True):
        moved = sway[0] * smooth_field(rng, WIDE, axes) + sway[1] * smooth_field(rng, NARROW, axes)
        reach.append(float(np.abs(moved).max()))
        steps = [np.float32(weight) * np.arange(n, dtype=np.float32) for weight, n in zip(row, shape, strict=True)]
        moved += np.float32(start) + steps[0][:, None, None] + steps[1][None, :, None] + steps[2][None, None, :]
        points.append(moved)
    texture = smooth_field(rng, TEXTURE, axes)
    return Canvas(affine, pose, (points[0], points[1], points[2]), np.array(reach), texture, float(spacing.mean()))


def paint(canvas: Canvas, structures: Iterable[Structure]) -> tuple[np.ndarray, np.ndarray]:
    """Hounsfield units and labels of a patient, later structures over earlier ones.

    A voxel has an organ's label where its centre lies inside; its intensity mixes over about a voxel's width.

    Returns: (X, Y, Z) float32 and (X, Y, Z) uint8.
    """
    image = np.full(canvas.points[0].shape, AIR, dtype=np.float32)
    labels = np.zeros(image.shape, dtype=np.uint8)
    for structure in structures:
        for block in _blocks(_voxel_box(canvas, structure.shape.box())):
            _paint_block(canvas, structure, block, image[block], labels[block])
    return image, labels


def _blocks(box: tuple[slice, slice, slice]) -> Iterator[tuple[slice, slice, slice]]:
    """The box cut along x into pieces whose intermediate arrays stay in the processor's cache."""
    x, y, z = box
    plane = (y.stop - y.start) * (z.stop - z.start)
    if plane > 0:
        step = max(1, BLOCK // plane)
        for start in range(x.start, x.stop, step):
            yield slice(start, min(start + step, x.stop)), y, z


def _paint_block(
    canvas: Canvas, structure: Structure, box: tuple[slice, ...], image: np.ndarray, labels: np.ndarray
) -> None:
    x, y, z = (axis[box] for axis in canvas.points)
    distance = structure.shape.distance((x, y, z))
    if distance.min() > canvas.edge:
        return
    share = np.clip(np.float32(0.5) - distance / np.float32(canvas.edge), 0, 1)
    fill = structure.intensity
    intensity = fill((x, y, z), distance) if callable(fill) else np.float32(fill)
    if structure.texture:
        intensity = intensity + np.float32(structure.texture) * canvas.texture[box]
    image += share * (intensity - image)
    if structure.label != KEEP:
        labels[distance < 0] = structure.label


def _voxel_box(canvas: Canvas, box: Box) -> tuple[slice, slice, slice]:
    """The voxels whose displaced positions may lie in an anatomical box."""
    low, high = box[0] - canvas.reach - canvas.edge, box[1] + canvas.reach + canvas.edge
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
    voxels = (canvas.pose.to_scanner(corners) - canvas.affine[:3, 3]) @ np.linalg.inv(canvas.affine[:3, :3]).T
    shape = canvas.points[0].shape
    first = np.clip(np.floor(voxels.min(axis=0)), 0, shape).astype(int)
    last = np.clip(np.ceil(voxels.max(axis=0)) + 1, 0, shape).astype(int)
    x, y, z = (slice(a, b) for a, b in zip(first, last, strict=True))
    return x, y, z
