"""What a recipe says that trains a network to find objects."""

from typing import Literal

from pydantic import Field, model_validator

from medssm.data.transforms.boxes import DetectionAugmentation
from medssm.tasks.settings import DatasetSettings, HeadedSettings, Recipe
from medssm.training.section import Section


class DetectionModelSettings(HeadedSettings):
    """The network."""

    head: Literal["mask-rcnn", "cascade-mask-rcnn"] = "mask-rcnn"


class ObjectDataSettings(DatasetSettings):
    """The photographs and their annotations.

    Attributes:
        folder: the dataset, or "synthetic" for one of five kinds of drawn objects; None if it must be given with
            --data.
        synthetic_training, synthetic_validation: images of that one.
    """

    synthetic_training: int = Field(400, gt=0)
    synthetic_validation: int = Field(80, gt=0)


class DetectionValidationSettings(Section):
    """How an image of the validation becomes an input.

    Attributes:
        short_side, long_side: in pixels: the image is resized, its ratio kept, until either is reached.
        batch_size: images per call of the network.
    """

    short_side: int = Field(800, gt=0)
    long_side: int = Field(1333, gt=0)
    batch_size: int = Field(1, gt=0)


class DetectionRecipe(Recipe):
    """A whole training run of a network that finds objects, resolved in full."""

    task: Literal["detection"]
    model: DetectionModelSettings
    data: ObjectDataSettings
    augmentation: DetectionAugmentation
    validation: DetectionValidationSettings

    @model_validator(mode="after")
    def _images_are_prepared_by_processes(self) -> "DetectionRecipe":
        if not self.run.loader_processes:
            raise ValueError("run.loader_processes is 0; images are prepared by processes, set 1 or more")
        return self
