"""What a recipe says that trains a network to tell the class of every pixel."""

from typing import Literal

from pydantic import Field, model_validator

from medssm.data.transforms.label_maps import SceneAugmentation
from medssm.data.transforms.settings import Positive
from medssm.tasks.settings import DatasetSettings, HeadedSettings, Recipe
from medssm.training.section import Section


class SegmenterSettings(HeadedSettings):
    """The network.

    Attributes:
        dropout_rate: of the head; None for the published one.
    """

    head: Literal["upernet"] = "upernet"
    dropout_rate: float | None = Field(None, ge=0, lt=1)


class SceneDataSettings(DatasetSettings):
    """The photographs and their label maps.

    Attributes:
        folder: the dataset, or "synthetic" for one of drawn landscapes; None if it must be given with --data.
        synthetic_training, synthetic_validation: scenes of that one.
    """

    synthetic_training: int = Field(400, gt=0)
    synthetic_validation: int = Field(80, gt=0)


class PixelLossSettings(Section):
    """Cross-entropy of both heads.

    Attributes:
        auxiliary: the weight of the second head's.
        counts_ignored: the sum over a batch is divided by all pixels, those without a class too; else by the others.
    """

    auxiliary: float = Field(0.4, ge=0)
    counts_ignored: bool = True


class SceneEvaluationSettings(Section):
    """How a photograph of the validation is seen; it is scored at its own size.

    Attributes:
        short_side, long_side: in pixels: it is resized, its sides' ratio kept, until either is reached.
        window, stride: (h, w) of windows that slide over it and their steps; None for the whole image at once.
        multi_scale: several sizes are seen, and the probabilities averaged; for `medssm validate` alone.
        scales: their ratios. flip: each mirrored too.
        scales_of: the ratios are of the "photograph"'s own size, or of the "resized" one.
    """

    short_side: int = Field(512, gt=0)
    long_side: int = Field(2048, gt=0)
    window: tuple[Positive, Positive] | None = None
    stride: tuple[Positive, Positive] | None = None
    multi_scale: bool = False
    scales: tuple[float, ...] = Field((0.5, 0.75, 1.0, 1.25, 1.5, 1.75), min_length=1)
    flip: bool = True
    scales_of: Literal["photograph", "resized"] = "photograph"

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> "SceneEvaluationSettings":
        if min(self.scales) <= 0:
            raise ValueError(f"validation.scales must be above 0, found {min(self.scales):g}")
        if self.stride and not self.window:
            raise ValueError("validation.stride is of windows; set validation.window too")
        if self.long_side < self.short_side:
            raise ValueError("validation.long_side must not be below validation.short_side; exchange them")
        return self


class SemanticRecipe(Recipe):
    """A whole training run of a network that tells the class of every pixel, resolved in full."""

    task: Literal["semantic"]
    model: SegmenterSettings
    data: SceneDataSettings
    augmentation: SceneAugmentation
    loss: PixelLossSettings
    validation: SceneEvaluationSettings
