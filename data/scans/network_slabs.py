"""A scan on the network's grid, computed slab by slab: what `preprocess_volume` gives, without holding it."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from medssm.data.scans.geometry import spacing_of
from medssm.data.scans.network_grid import Shape, check_size, scale_intensity, to_ras
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.resampling import Box, Triple, resample_linear, resampled_shape, resampling_steps
from medssm.data.scans.volume import Volume

PLANES_AT_ONCE = 32


@dataclass(frozen=True)
class NetworkSlabs:
    """Any part of a preprocessed scan; the voxels agree with `preprocess_volume`.

    Attributes:
        array: (X, Y, Z) view of the scan with axes to the right, front and head.
        affine: (4, 4) from voxels of the cropped network grid to RAS+ mm.
        steps: voxels of the scan for one of the network's grid, per axis.
        box: the foreground, in voxels of the network's grid.
        intensity: the range that is mapped to [0, 1].
    """

    array: np.ndarray
    affine: np.ndarray
    steps: Triple
    box: Box
    intensity: tuple[float, float]

    @classmethod
    def of(cls, volume: Volume, preprocessing: Preprocessing) -> "NetworkSlabs":
        """The scan on its network grid; reads the scan once if the foreground is to be cropped.

        Raises: GeometryError if the scan's spacing makes it of a size that no patient has.
        """
        check_size(volume, preprocessing)
        array, affine = to_ras(volume.array, volume.affine)
        steps = resampling_steps(spacing_of(affine), preprocessing.spacing)
        x, y, z = (slice(0, size) for size in resampled_shape(array.shape, steps))
        whole = cls(array, affine @ np.diag([*steps, 1.0]), steps, (x, y, z), preprocessing.intensity)
        return whole._cropped() if preprocessing.crop_foreground else whole

    @property
    def shape(self) -> Shape:
        """Voxels (D, H, W) of the cropped grid."""
        d, h, w = (part.stop - part.start for part in self.box)
        return d, h, w

    def planes(self, axis: int, start: int, stop: int) -> Tensor:
        """Planes start ... stop along an axis, (1, D, H, W) float32 in [0, 1]."""
        first = self.box[axis].start
        wanted = slice(first + start, first + stop)
        x, y, z = (wanted if a == axis else part for a, part in enumerate(self.box))
        return scale_intensity(resample_linear(self.array, self.steps, (x, y, z)), self.intensity)[None]

    def positions(self, axis: int) -> np.ndarray:
        """Where the scan's own voxels lie along an axis, (n,), in voxels of the cropped grid; float64."""
        return np.arange(self.array.shape[axis]) / self.steps[axis] - self.box[axis].start

    def covered(self, axis: int) -> slice:
        """The scan's voxels along an axis whose nearest voxel of the network's grid lies in the crop."""
        position, last = self.positions(axis), self.shape[axis] - 1
        size = resampled_shape(self.array.shape, self.steps)[axis]
        low = -np.inf if self.box[axis].start == 0 else -0.5
        high = np.inf if self.box[axis].stop == size else last + 0.5
        inside = np.flatnonzero((position >= low) & (position < high))
        return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)

    def _cropped(self) -> "NetworkSlabs":
        """The same, cropped to the bounding box of what is above the lower intensity; uncropped if nothing is."""
        hits = [np.zeros(size, dtype=bool) for size in self.shape]
        for start in range(0, self.shape[2], PLANES_AT_ONCE):
            stop = min(start + PLANES_AT_ONCE, self.shape[2])
            mask = self.planes(2, start, stop)[0] > 0
            hits[0] |= torch.any(mask.any(2), 1).numpy()
            hits[1] |= torch.any(mask.any(2), 0).numpy()
            hits[2][start:stop] = torch.any(mask.any(0), 0).numpy()
        if not hits[2].any():
            return self
        x, y, z = (slice(int(np.argmax(hit)), len(hit) - int(np.argmax(hit[::-1]))) for hit in hits)
        shift = nib.affines.from_matvec(np.eye(3), [x.start, y.start, z.start])
        return NetworkSlabs(self.array, self.affine @ shift, self.steps, (x, y, z), self.intensity)
