"""What a recipe says that trains a network to recognise actions in videos."""

from typing import Literal

from pydantic import Field, model_validator

from medssm.data.layouts.actions import ActionSetName
from medssm.data.transforms.clips import ClipAugmentation
from medssm.data.transforms.mixing import MixingSettings
from medssm.data.transforms.settings import Positive
from medssm.tasks.settings import DatasetSettings, NetworkSettings, Recipe
from medssm.training.section import Section


class ClipModelSettings(NetworkSettings):
    """The network.

    Attributes:
        num_classes: None for as many as the data set has; outputs beyond those are of classes that never occur.
        input_size: (T, H, W) in frames and pixels.
        dropout_rate, drop_path_rate: None for the published ones.
        pretrained: weights to start from, a file or a run folder: the network's own, or those of the one for images
            that it is inflated from; "published" fetches these. None for random ones.
        gradient_checkpointing: trades time for memory.
    """

    num_classes: int | None = Field(None, gt=1)
    input_size: tuple[Positive, Positive, Positive]
    dropout_rate: float | None = Field(None, ge=0, lt=1)
    drop_path_rate: float | None = Field(None, ge=0, lt=1)
    pretrained: str | None = None
    gradient_checkpointing: bool = False


class ClipDataSettings(DatasetSettings):
    """The videos.

    Attributes:
        folder: the data set, or "synthetic" for one of eight drawn motions; None if it must be given with --data.
        layout: whose lists and names of files it has.
        split: which of its splits.
        max_broken_share: of the videos may be unreadable, or missing where a whole copy can be had. A broken clip of
            the training is replaced by another one, of the validation left out; more than this share ends the run.
        synthetic_training, synthetic_validation: clips per class of the synthetic one.
    """

    layout: ActionSetName
    split: int = Field(1, gt=0)
    max_broken_share: float = Field(0.05, ge=0, lt=1)
    synthetic_training: int = Field(120, gt=0)
    synthetic_validation: int = Field(20, gt=0)


class SamplingSettings(Section):
    """Which frames of a video make a clip.

    Attributes:
        kind: "strided" takes every `stride`-th frame from a random one on, in validation from the middle; "segments"
            takes one frame of each of as many equal parts as a clip has frames.
        copies: of the same frames in a step of the training, each augmented on its own.
    """

    kind: Literal["strided", "segments"]
    stride: int = Field(2, gt=0)
    copies: int = Field(1, gt=0)


class ClipEvaluationSettings(Section):
    """How a video of the validation becomes inputs of the network, over whose scores the mean is taken.

    Attributes:
        short_side: of frames in pixels, after resizing.
        views, crops: clips in time, and crops along the longer side, while training.
        test_views, test_crops: the same when weights are measured (`medssm validate`) or used.
        batch_size: videos per call of the network while training; fewer when more views are taken.
    """

    short_side: int = Field(gt=0)
    views: int = Field(1, gt=0)
    crops: int = Field(1, gt=0)
    test_views: int = Field(1, gt=0)
    test_crops: int = Field(1, gt=0)
    batch_size: int = Field(8, gt=0)


class VideoRecipe(Recipe):
    """A whole training run of a network that recognises actions, resolved in full."""

    task: Literal["video"]
    model: ClipModelSettings
    data: ClipDataSettings
    sampling: SamplingSettings
    augmentation: ClipAugmentation
    mixing: MixingSettings
    validation: ClipEvaluationSettings

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> "VideoRecipe":
        if not self.run.loader_processes:
            raise ValueError("run.loader_processes is 0; videos are decoded by processes, set 1 or more")
        if self.mixing.mixes and self.run.batch_size * self.sampling.copies % 2:
            raise ValueError(f"run.batch_size is {self.run.batch_size}; mixing takes pairs of clips, make it even")
        return self
