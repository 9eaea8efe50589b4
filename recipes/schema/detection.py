"""What a recipe says that trains a network to find objects."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from medssm.data.transforms.detection import DetectionAugmentation
from medssm.training.section import Section
from medssm.training.settings import TrainingSettings


def _with_dots(settings: Any) -> Any:
    """{"a": {"b": 1}} as {"a.b": 1}: `--set` makes sections of dots."""
    if not isinstance(settings, Mapping):
        return settings
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        nested = _with_dots(value)
        flat |= {f"{name}.{key}": one for key, one in nested.items()} if isinstance(value, Mapping) else {name: value}
    return flat


# Numbers of a head by name, those within a section after a dot.
HeadSettings = Annotated[dict[str, int | float], BeforeValidator(_with_dots)]


class DetectorSettings(Section):
    """The network.

    Attributes:
        name: one of `medssm models`, the backbone.
        head: one of the heads for detection.
        head_settings: numbers of the head that are not the published ones, by name; `medssm.models.detection.Settings`
            has them all.
        num_classes: None for as many as the dataset has.
        pretrained: weights of the backbone: "published" for the classifier's, a file or a run folder; None begins with
            random ones.
        drop_path_rate: None for the published one.
        gradient_checkpointing: trades time for memory.
    """

    name: str
    head: Literal["mask-rcnn", "cascade-mask-rcnn"] = "mask-rcnn"
    head_settings: HeadSettings = Field(default_factory=dict)
    num_classes: int | None = Field(None, gt=0)
    pretrained: str | None = None
    drop_path_rate: float | None = Field(None, ge=0, lt=1)
    gradient_checkpointing: bool = False


class ObjectDataSettings(Section):
    """The photographs and their annotations.

    Attributes:
        folder: the dataset, or "synthetic" for one of five kinds of drawn objects; None if it must be given with
            --data.
        synthetic_training, synthetic_validation: images of that one.
    """

    folder: str | None = None
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


class DetectionRecipe(TrainingSettings):
    """A whole training run of a network that finds objects, resolved in full."""

    name: str
    task: Literal["detection"]
    model: DetectorSettings
    data: ObjectDataSettings
    augmentation: DetectionAugmentation
    validation: DetectionValidationSettings

    @model_validator(mode="after")
    def _images_are_prepared_by_processes(self) -> "DetectionRecipe":
        if not self.run.loader_processes:
            raise ValueError("run.loader_processes is 0; images are prepared by processes, set 1 or more")
        return self
