"""A scan on the network's grid, computed slab by slab: what `preprocess_scan` gives, without holding it."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from medssm.data.scans.channels import IntensityMap
from medssm.data.scans.geometry import spacing_of
from medssm.data.scans.network_grid import Shape, as_input, body_of, check_size, intensity_maps, to_ras
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.resampling import Box, Triple, resample_linear, resampled_shape, resampling_steps
from medssm.data.scans.scan import Scan

PLANES_AT_ONCE = 32


@dataclass(frozen=True)
class NetworkSlabs:
    """Any part of a preprocessed scan; the voxels agree with `preprocess_scan`.

    Attributes:
        arrays: (X, Y, Z) view of each channel with axes to the right, front and head.
        affine: (4, 4) from voxels of the cropped network grid to RAS+ mm.
        steps: voxels of the scan for one of the network's grid, per axis.
        box: the foreground, in voxels of the network's grid.
        maps: what is done to the values of each channel.
    """

    arrays: tuple[np.ndarray, ...]
    affine: np.ndarray
    steps: Triple
    box: Box
    maps: tuple[IntensityMap, ...]

    @classmethod
    def of(cls, scan: Scan, preprocessing: Preprocessing) -> "NetworkSlabs":
        """The scan on its network grid; reads the scan to fit the normalisation, and if the body is to be cropped.

        Raises: GeometryError if the scan's spacing makes it of a size that no patient has.
        """
        check_size(scan.first, preprocessing)
        stored = scan.first.affine
        arrays = tuple(to_ras(array, stored)[0] for array in scan.arrays)
        affine = to_ras(scan.first.array, stored)[1]
        steps = resampling_steps(spacing_of(affine), preprocessing.spacing)
        x, y, z = (slice(0, size) for size in resampled_shape(arrays[0].shape, steps))
        maps = tuple(intensity_maps(scan, preprocessing))
        whole = cls(arrays, affine @ np.diag([*steps, 1.0]), steps, (x, y, z), maps)
        return whole._cropped() if preprocessing.crop_foreground else whole

    @property
    def shape(self) -> Shape:
        """Voxels (D, H, W) of the cropped grid."""
        d, h, w = (part.stop - part.start for part in self.box)
        return d, h, w

    @property
    def scan_shape(self) -> Shape:
        """Voxels of the scan along its axes to the right, front and head."""
        x, y, z = self.arrays[0].shape
        return x, y, z

    def planes(self, axis: int, start: int, stop: int) -> Tensor:
        """Planes start ... stop along an axis, (C, D, H, W) float32."""
        return as_input(self._resampled(axis, start, stop), self.maps)

    def _resampled(self, axis: int, start: int, stop: int) -> list[Tensor]:
        """Planes of each channel (D, H, W) with the values that the scan has."""
        first = self.box[axis].start
        wanted = slice(first + start, first + stop)
        x, y, z = (wanted if a == axis else part for a, part in enumerate(self.box))
        return [resample_linear(array, self.steps, (x, y, z)) for array in self.arrays]

    def positions(self, axis: int) -> np.ndarray:
        """Where the scan's own voxels lie along an axis, (n,), in voxels of the cropped grid; float64."""
        return np.arange(self.scan_shape[axis]) / self.steps[axis] - self.box[axis].start

    def covered(self, axis: int) -> slice:
        """The scan's voxels along an axis whose nearest voxel of the network's grid lies in the crop."""
        position, last = self.positions(axis), self.shape[axis] - 1
        size = resampled_shape(self.scan_shape, self.steps)[axis]
        low = -np.inf if self.box[axis].start == 0 else -0.5
        high = np.inf if self.box[axis].stop == size else last + 0.5
        inside = np.flatnonzero((position >= low) & (position < high))
        return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)

    def _cropped(self) -> "NetworkSlabs":
        """The same, cropped to the bounding box of the body; uncropped if there is none."""
        hits = [np.zeros(size, dtype=bool) for size in self.shape]
        for start in range(0, self.shape[2], PLANES_AT_ONCE):
            stop = min(start + PLANES_AT_ONCE, self.shape[2])
            mask = body_of(self._resampled(2, start, stop), self.maps)
            hits[0] |= torch.any(mask.any(2), 1).numpy()
            hits[1] |= torch.any(mask.any(2), 0).numpy()
            hits[2][start:stop] = torch.any(mask.any(0), 0).numpy()
        if not hits[2].any():
            return self
        x, y, z = (slice(int(np.argmax(hit)), len(hit) - int(np.argmax(hit[::-1]))) for hit in hits)
        shift = nib.affines.from_matvec(np.eye(3), [x.start, y.start, z.start])
        return NetworkSlabs(self.arrays, self.affine @ shift, self.steps, (x, y, z), self.maps)
