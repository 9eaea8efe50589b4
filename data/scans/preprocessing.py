"""What is done to a scan before a network sees it; stored with the weights, so that prediction repeats it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Preprocessing(BaseModel):
    """The deterministic part of a pipeline, with BTCV's published values as the default.

    Attributes:
        orientation: the axes of the network's grid; RAS is x to the right, y to the front, z to the head.
        spacing: voxel size of the network's grid (x, y, z) in mm.
        intensity: the range (low, high), in Hounsfield units for CT, that is mapped to [0, 1] and clipped.
        crop_foreground: crop to the bounding box of intensity > low.

    Source: Mamba-ND's BTCV pipeline, after UNETR (arXiv:2103.10504, section 4.2).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    orientation: Literal["RAS"] = "RAS"
    spacing: tuple[float, float, float] = (1.5, 1.5, 2.0)
    intensity: tuple[float, float] = (-175.0, 250.0)
    crop_foreground: bool = True
