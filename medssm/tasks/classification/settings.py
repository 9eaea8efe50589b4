"""What a recipe says that trains a network to classify images."""

from typing import Literal

from pydantic import Field, model_validator

from medssm.data.transforms.images import ImageAugmentation
from medssm.data.transforms.mixing import MixingSettings
from medssm.data.transforms.settings import Positive
from medssm.tasks.settings import DatasetSettings, NetworkSettings, Recipe
from medssm.training.section import Section


class SelfDistillationSettings(Section):
    """A network learns from its own moving average (MESA), on the same mixed images.

    Attributes:
        loss: "cross-entropy" with the average's softmax for targets, or "divergence", the Kullback-Leibler one of the
            network's softmax from the average's, summed over classes. Both are means over images.
        weight: of that loss beside the ordinary one.
        temperature: the logits of both are divided by it.
        start_epoch: the first epoch, from 0, in which it counts.
    """

    loss: Literal["cross-entropy", "divergence"]
    weight: float = Field(gt=0)
    temperature: float = Field(1.0, gt=0)
    start_epoch: int = Field(ge=0)


class DistillationSettings(Section):
    """A network with a second head learns from a teacher, which sees the same mixed images in float32.

    Attributes:
        targets: "hard": the second head learns the teacher's best class; "soft": its probabilities.
        alpha: share of that loss.
        temperature: of the probabilities.
        teacher: a model of timm.
        weights: a file of its weights; None for those published at `url`.
    """

    targets: Literal["hard", "soft"] = "hard"
    alpha: float = Field(0.5, ge=0, le=1)
    temperature: float = Field(1.0, gt=0)
    teacher: str = "regnety_160"
    weights: str | None = None
    url: str = "https://dl.fbaipublicfiles.com/deit/regnety_160-a5fe301d.pth"


class ImageModelSettings(NetworkSettings):
    """The network.

    Attributes:
        num_classes: None for as many as the dataset has.
        pretrained: weights to start from: a run folder, a file, or "published"; with another number of classes the last
            layer begins with random ones, and with None all do.
        input_size: (H, W) in pixels.
        dropout_rate, drop_path_rate: None for the published ones.
        channels_last: how images and weights lie in memory; it changes the speed alone.
        gradient_checkpointing: trades time for memory.
    """

    num_classes: int | None = Field(None, gt=1)
    pretrained: str | None = None
    input_size: tuple[Positive, Positive] = (224, 224)
    dropout_rate: float | None = Field(None, ge=0, lt=1)
    drop_path_rate: float | None = Field(None, ge=0, lt=1)
    channels_last: bool = False
    gradient_checkpointing: bool = False


class ImageDataSettings(DatasetSettings):
    """The photographs.

    Attributes:
        folder: the dataset, or "synthetic" for one of ten drawn patterns; None if it must be given with --data.
        synthetic_training, synthetic_validation: images per class of that one.
        dtype: that images are rounded to before they are mixed.
    """

    synthetic_training: int = Field(100, gt=0)
    synthetic_validation: int = Field(20, gt=0)
    dtype: Literal["float32", "bfloat16"] = "float32"


class EvaluationSettings(Section):
    """How an image of the validation becomes an input.

    Attributes:
        crop_pct: side of the crop over side of the resized image, which is rounded down.
        crop_mode: "center" resizes the shorter side and keeps the ratio; "squash" resizes both to a square.
        batch_size: images per call of the network.
    """

    crop_pct: float = Field(0.875, gt=0, le=1)
    crop_mode: Literal["center", "squash"] = "center"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    batch_size: int = Field(128, gt=0)


class ClassificationRecipe(Recipe):
    """A whole training run of a network that classifies images, resolved in full."""

    task: Literal["classification"]
    model: ImageModelSettings
    data: ImageDataSettings
    augmentation: ImageAugmentation
    mixing: MixingSettings
    distillation: DistillationSettings | None
    self_distillation: SelfDistillationSettings | None
    validation: EvaluationSettings

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> "ClassificationRecipe":
        if self.self_distillation and not self.averaging:
            raise ValueError("self_distillation learns from the moving average; set averaging.decay")
        if not self.run.loader_processes:
            raise ValueError("run.loader_processes is 0; images are prepared by processes, set 1 or more")
        if self.mixing.mixes and self.run.batch_size % 2:
            raise ValueError(f"run.batch_size is {self.run.batch_size}; mixing takes pairs of images, make it even")
        return self
