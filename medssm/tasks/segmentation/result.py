"""A segmentation in the geometry of its scan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medssm.data.scans.volume import Volume, write_label_map
from medssm.files import atomic_path
from medssm.tasks.segmentation.statistics import OrganStatistics, organ_statistics, volumes_ml

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels on the scan's own grid.

    Attributes:
        labels: (X, Y, Z) uint8, 0 for background.
        volume: the scan, whose shape, affine and header the output has.
        names: label value -> organ, without background.
        confidence: label value -> mean probability of its voxels; empty if it was not asked for.
    """

    labels: np.ndarray
    volume: Volume
    names: Mapping[int, str]
    confidence: Mapping[int, float] = field(default_factory=dict)

    @property
    def affine(self) -> np.ndarray:
        """(4, 4) float64, voxel indices to RAS+ mm; that of the scan."""
        return self.volume.affine

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size (x, y, z) in mm."""
        return self.volume.spacing

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Organ -> volume in millilitres, 0 for one that was not found."""
        return volumes_ml(self.volume, self.labels, self.names)

    def statistics(self) -> list[OrganStatistics]:
        """Volume, intensity, pieces, border and confidence of each organ."""
        return organ_statistics(self.volume, self.labels, self.names, self.confidence)

    def save(self, path: str | Path) -> None:
        """Writes the label map with the scan's geometry; the suffix chooses the format (.nii.gz, .nii, .nrrd, .mha)."""
        write_label_map(path, self.labels, self.volume, self.names)

    def figure(self) -> "Figure":
        """Three planes through the largest areas of organ, with a legend of volumes."""
        from medssm.viewing.preview import three_plane_figure

        return three_plane_figure(self.volume, self.labels, self.names)

    def save_preview(self, path: str | Path) -> None:
        """Writes the figure as PNG."""
        with atomic_path(path) as temporary:
            self.figure().savefig(temporary, format="png")

    def show(self) -> "Figure | None":
        """Shows scan and organs: an interactive page in a notebook; elsewhere the figure, which is also returned."""
        from medssm.viewing.interactive import view

        return view(self.volume, self.labels, names=self.names)
