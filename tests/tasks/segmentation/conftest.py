"""An identity predictor: its labels are the scan's own values, so that every voxel of an output is known."""

from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.volume import Volume
from medssm.tasks.segmentation.runner import Predictor

CLASSES = 6
SPACING = (1.5, 1.5, 2.0)


class IdentityNetwork(nn.Module):
    """Scores that are highest for the class that the intensity stands for: class k at k / (CLASSES - 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("values", torch.arange(CLASSES) / (CLASSES - 1))

    def forward(self, windows: Tensor) -> Tensor:
        return -(windows - self.values.view(1, -1, 1, 1, 1)).abs()


def identity_predictor(window: tuple[int, int, int] = (16, 12, 16), **preprocessing: Any) -> Predictor:
    settings = {"spacing": SPACING, "intensity": (0.0, CLASSES - 1.0), "crop_foreground": False, **preprocessing}
    names = {label: f"organ {label}" for label in range(1, CLASSES)}
    return Predictor(IdentityNetwork(), Preprocessing(**settings), window, CLASSES, names, device="cpu")


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    """Rotations about x, y and z, one after the other."""
    turned = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = (a for a in range(3) if a != axis)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        turned = turn @ turned
    return turned


def planted(
    shape: tuple[int, int, int],
    codes: str = "RAS",
    spacing: tuple[float, float, float] = SPACING,
    degrees: tuple[float, float, float] = (0, 0, 0),
) -> Volume:
    """A scan whose values are labels: two blocks and single voxels at corners.

    Args:
        shape: (X, Y, Z) of the array.
        codes: directions of its axes.
        spacing: (x, y, z) along the body's axes.
    """
    array = np.zeros(shape, dtype=np.int16)
    array[tuple(slice(n // 4, n // 2 + 1) for n in shape)] = 3
    array[tuple(slice(n // 2 + 1, n) for n in shape)] = 5
    array[0, 0, 0], array[-1, 0, -1], array[0, -1, -1] = 1, 2, 4
    axes = np.linalg.inv(nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(codes), shape))[:3, :3]
    return Volume(array, nib.affines.from_matvec(rotation(degrees) @ np.diag(spacing) @ axes, [-31.0, 12.5, 7.0]))


@pytest.fixture(scope="session")
def make_predictor() -> Callable[..., Predictor]:
    return identity_predictor


@pytest.fixture(scope="session")
def plant() -> Callable[..., Volume]:
    return planted
