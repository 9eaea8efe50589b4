"""What a recipe says that trains a network to segment scans."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.transforms.settings import AugmentationSettings
from medssm.tasks.settings import DatasetSettings, NetworkSettings, Recipe
from medssm.training.section import Section


class ModelSettings(NetworkSettings):
    """The network.

    Attributes:
        num_classes: background counts as a class; None for as many as the dataset has.
        pretrained: weights to start from: a run folder, a file, or "published"; None begins with random ones. Classes
            and channels take over what has their names, the others begin afresh.
        dropout_rate: None for the published one.
        gradient_checkpointing: trades time for memory.
    """

    num_classes: int | None = Field(None, gt=1, le=255)
    pretrained: str | None = None
    dropout_rate: float | None = Field(None, ge=0, lt=1)
    gradient_checkpointing: bool = False

    @model_validator(mode="before")
    @classmethod
    def _channels_are_of_the_data(cls, content: Any) -> Any:
        """Without the one channel that recipes of earlier runs name."""
        if isinstance(content, Mapping) and content.get("in_channels") == 1:
            return {key: value for key, value in content.items() if key != "in_channels"}
        return content


class DataSettings(DatasetSettings):
    """The scans.

    Attributes:
        folder: the dataset, or "phantom" for the synthetic one; None if it must be given with --data.
        fold: which split, of those that the dataset lists or else of five that are made of its patients; None is the
            first for a training, and the weights' own where weights are measured.
        phantom_cases: how many cases the synthetic dataset has; about 3 in 11 validate.
    """

    fold: int | None = Field(None, ge=0)
    phantom_cases: int = Field(22, gt=1)
    preprocessing: Preprocessing


class LossSettings(Section):
    """Soft Dice plus cross-entropy.

    Attributes:
        kind: "dice-ce" as published; "present-dice-ce" leaves classes that no crop of the batch holds out of the Dice.
        class_weights: cross-entropy per class: "none", or the inverse root of its frequency in training.
    """

    kind: Literal["dice-ce", "present-dice-ce"] = "dice-ce"
    class_weights: Literal["none", "inverse-root"] = "none"


class ValidationSettings(Section):
    """How the network is run over a whole scan in validation, on its own grid.

    Attributes:
        overlap: of neighbouring windows.
        blending: of their scores.
        padding: of scans thinner than a window.
        window_batch: windows per call of the network.
    """

    overlap: float = Field(0.5, ge=0, lt=1)
    blending: Literal["constant", "gaussian"] = "constant"
    padding: Literal["constant", "edge"] = "constant"
    window_batch: int = Field(1, gt=0)


class SegmentationRecipe(Recipe):
    """A whole training run of a network that segments scans, resolved in full."""

    task: Literal["segmentation"]
    model: ModelSettings
    data: DataSettings
    augmentation: AugmentationSettings
    loss: LossSettings
    validation: ValidationSettings
