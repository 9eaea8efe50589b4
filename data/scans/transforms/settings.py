"""What a recipe says about random crops and augmentation; the defaults are the published BTCV pipeline."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medssm.data.transforms.settings import Magnitude, Positive, Probability, Settings

FlipMode = Literal["off", "as-published", "swap"]


class CropSettings(Settings):
    """Random windows cut from a preprocessed volume.

    Attributes:
        size: (D, H, W) in voxels.
        count: crops per volume and step.
        centres: "as-published" draws a voxel of any organ or, half of the time, of the background inside the body, so
            that big organs dominate; "organs" chooses the organ first, all that are present equally likely.
        background: share of crops around a voxel of the background inside the body; only for "organs".
        jitter: largest distance of the centre from an organ's voxel as a share of `size`; only for "organs".
        padding: how a scan thinner than the crop is filled: "edge" repeats the last voxel of image and label, "zero" is
            air without label.
    """

    size: tuple[Positive, Positive, Positive] = (96, 96, 96)
    count: Positive = 4
    centres: Literal["as-published", "organs"] = "as-published"
    background: Probability = 0.0
    jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.25
    padding: Literal["edge", "zero"] = "zero"


class FlipSettings(Settings):
    """Mirror images along the axes of the RAS grid, drawn independently.

    Attributes:
        x, y, z: "off"; "as-published" mirrors the image and the labels as they are, so that a right kidney may lie on
            the left; "swap" also exchanges paired labels where the mirror exchanges left and right (along x).
        probability: of each flip.
    """

    x: FlipMode = "as-published"
    y: FlipMode = "as-published"
    z: FlipMode = "as-published"
    probability: Probability = 0.2

    @property
    def by_axis(self) -> dict[str, str]:
        """Axis -> mode of the flips that happen."""
        modes = {"x": self.x, "y": self.y, "z": self.z} if self.probability > 0 else {}
        return {axis: mode for axis, mode in modes.items() if mode != "off"}


class QuarterTurnSettings(Settings):
    """Rotation by 90, 180 or 270 degrees about the z axis."""

    probability: Probability = 0.2


class AffineSettings(Settings):
    """Small rotation about each axis and scaling; off by default, the published pipeline has none.

    Attributes:
        degrees: largest angle about each axis.
        scale: largest relative change of size, each axis on its own.
    """

    probability: Probability = 0.0
    degrees: Annotated[float, Field(ge=0, le=180)] = 10.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.1


class IntensitySettings(Settings):
    """Changes of an image whose intensities lie in [0, 1].

    Attributes:
        scale: the image is multiplied by 1 + U(-scale, scale).
        shift: U(-shift, shift) is added.
    """

    scale: Magnitude = 0.1
    scale_probability: Probability = 0.1
    shift: Magnitude = 0.1
    shift_probability: Probability = 0.1


class ThinSettings(Settings):
    """Crops that look like a scan of few slices, padded with its edge as at prediction; off by default.

    Attributes:
        slices: fewest slices along z that stay; how many do is uniform between this and the crop's own number.
    """

    probability: Probability = 0.0
    slices: Positive = 8


class AugmentationSettings(Settings):
    """All random steps of training, in the order in which they are applied.

    Source: Mamba-ND's BTCV pipeline, after UNETR (arXiv:2103.10504, section 4.2).
    """

    crops: CropSettings = CropSettings()
    thin: ThinSettings = ThinSettings()
    flips: FlipSettings = FlipSettings()
    quarter_turns: QuarterTurnSettings = QuarterTurnSettings()
    affine: AffineSettings = AffineSettings()
    intensity: IntensitySettings = IntensitySettings()

    @model_validator(mode="after")
    def _turned_crops_are_square(self) -> "AugmentationSettings":
        depth, height, _ = self.crops.size
        if self.quarter_turns.probability > 0 and depth != height:
            raise ValueError(
                f"quarter turns need crops as long along x as along y, found {depth} and {height}; "
                "make crops.size square there or set quarter_turns.probability to 0"
            )
        return self
