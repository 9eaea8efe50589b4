"""The voxels that a random crop may be centred on, found once per case."""

from dataclasses import dataclass

import torch
from torch import Tensor

from medssm.data.scans.labelled import IGNORED

NUM_LABELS = 256


@dataclass(frozen=True)
class CropCandidates:
    """Flat indices into a (D, H, W) volume.

    Attributes:
        organs: (n,) int32, every voxel of an organ, sorted by label; what is unknown (255) is none.
        organ_counts: (256,) int64, how many voxels each label value has; entry 0 is 0.
        background: (m,) int32, every voxel of the body with label 0.
    """

    organs: Tensor
    organ_counts: Tensor
    background: Tensor

    def of_organ(self, label: int) -> Tensor:
        """(k,) the voxels of one organ."""
        start = int(self.organ_counts[:label].sum())
        return self.organs[start : start + int(self.organ_counts[label])]

    def present(self) -> Tensor:
        """(p,) the labels that occur, ascending."""
        return torch.nonzero(self.organ_counts).flatten()


def crop_candidates(body: Tensor, label: Tensor) -> CropCandidates:
    """The candidates of a case, of the masks (D, H, W) bool of its body and uint8 of its labels."""
    flat = label.flatten()
    foreground = torch.nonzero((flat != 0) & (flat != IGNORED)).flatten()
    order = torch.sort(flat[foreground], stable=True).indices
    counts = torch.bincount(flat[foreground].long(), minlength=NUM_LABELS)
    background = torch.nonzero((flat == 0) & body.flatten()).flatten()
    return CropCandidates(foreground[order].int(), counts, background.int())
