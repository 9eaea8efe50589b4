"""What is known of a model besides its layers: what it was published with, and where its weights are.

Nothing here needs torch, so that models are listed without it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from medssm.models.variant import Variant

TaskName = Literal["segmentation", "classification", "video"]
# What a head on a backbone's pyramid does: finds objects, or tells the class of every pixel.
HeadTask = Literal["detection", "semantic"]

# Colour statistics of ImageNet, for values in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# The same as detectors and segmenters have them: those of pixel values from 0 to 255, rounded.
PIXEL_MEAN = (123.675 / 255, 116.28 / 255, 103.53 / 255)
PIXEL_STD = (58.395 / 255, 57.12 / 255, 57.375 / 255)


@dataclass(frozen=True)
class Options:
    """What a network is built with; None for what was published.

    Attributes:
        dropout_rate, drop_path_rate: of activations, and the largest rate of stochastic depth.
        input_size: what windows or learned positions are laid out for; networks that have neither leave it unread.
        features_only: the network gives its pyramid of feature maps in place of logits.
        pyramid_for: the task of the head that takes the pyramid; of networks that were published with other windows for
            it.
        arguments: by which the network differs from its variant, checked; those that `Variant.arguments` names.
    """

    in_channels: int
    num_classes: int
    dropout_rate: float | None = None
    drop_path_rate: float | None = None
    input_size: tuple[int, ...] | None = None
    features_only: bool = False
    pyramid_for: HeadTask | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def rates(self, dropout_rate: float, drop_path_rate: float) -> tuple[float, float]:
        """The two rates that are asked for, or those that were published, which are given."""
        return (
            dropout_rate if self.dropout_rate is None else self.dropout_rate,
            drop_path_rate if self.drop_path_rate is None else self.drop_path_rate,
        )


@dataclass(frozen=True)
class VolumeInput:
    """Scans.

    Attributes:
        spacing: voxel size (x, y, z) in mm of the grid that the network was made for.
    """

    spacing: tuple[float, float, float]


@dataclass(frozen=True)
class ImageInput:
    """How an RGB image becomes an input in evaluation.

    Attributes:
        mean, std: of the colours, for values in [0, 1].
        crop_pct: side of the crop over side of the resized image, which is rounded down.
        crop_mode: "center" resizes the shorter side and keeps the ratio; "squash" resizes both to a square.
        interpolation: of resizing.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop_pct: float = 0.875
    crop_mode: Literal["center", "squash"] = "center"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"


@dataclass(frozen=True)
class ClipInput:
    """How a video becomes an input in evaluation; the number of frames is the first of `ModelInfo.input_size`.

    Attributes:
        mean, std: of the colours, for values in [0, 1].
        sampling: "strided" takes every `frame_stride`-th frame from the middle of the video, starting over at its end;
            "segments" takes one frame of each of as many equal parts as the clip has frames.
        views, crops: clips in time, and crops along the longer side, over which the scores are averaged.
        short_side: in pixels, after resizing.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    sampling: Literal["strided", "segments"] = "strided"
    frame_stride: int = 2
    views: int = 1
    crops: int = 1
    short_side: int = 256


@dataclass(frozen=True)
class DetectionInput:
    """How an RGB image becomes the input of a detector in evaluation.

    Attributes:
        mean, std: of the colours, for values in [0, 1].
        short_side, long_side: in pixels: the image is resized, its ratio kept, until either is reached.
        multiple: of which sides are made by zeros at the right and the bottom.
    """

    mean: tuple[float, ...] = PIXEL_MEAN
    std: tuple[float, ...] = PIXEL_STD
    short_side: int = 800
    long_side: int = 1333
    multiple: int = 32


@dataclass(frozen=True)
class SemanticInput:
    """How an RGB image becomes the input of a network for label maps in evaluation.

    Attributes:
        mean, std: of the colours, for values in [0, 1].
        short_side, long_side: in pixels: the image is resized, its ratio kept, until either is reached.
        window, stride: (h, w) of the windows that slide over the image, and their steps; None for the whole image at
            once, of any size, without padding.
    """

    mean: tuple[float, ...] = PIXEL_MEAN
    std: tuple[float, ...] = PIXEL_STD
    short_side: int = 512
    long_side: int = 2048
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None


SEMANTIC_INPUT = SemanticInput()


@dataclass(frozen=True)
class PublishedResult:
    """A figure that the authors report; `remark` says how far it can be relied on."""

    metric: str
    value: float
    dataset: str
    source: str
    remark: str = ""


@dataclass(frozen=True)
class PublishedCost:
    """Size and cost of one input as the authors state them.

    Attributes:
        parameters: in millions.
        multiply_adds: in 10^9; tables mostly call them FLOPs. None where nothing was stated.
        counts: what their counter adds to convolutions and linear layers: "attention" (its two products), "norms" (as
            fvcore counts them: 5 a value of a LayerNorm, 2 of a BatchNorm) and "scan" (`scan_steps` multiply-adds for
            each token, channel and state).
        remark: why ours is another figure, where it is.
    """

    parameters: float
    multiply_adds: float | None
    source: str
    counts: tuple[Literal["attention", "norms", "scan"], ...] = ()
    scan_steps: int = 0
    remark: str = ""


@dataclass(frozen=True)
class PublishedWeights:
    """Where the authors put a weights file, and under which licence.

    Attributes:
        repository, filename: on huggingface.co; empty where it is not there.
        url: of the file itself, where no client is needed; empty if there is none.
        page: where a person finds the file.
        size: of the file in bytes, None where it is not known.
        revision: the commit on huggingface.co that is meant; empty for that of the first download.
        sha256: of the file, in hexadecimal digits; empty where it is not known, and that of the first download counts.
    """

    licence: str
    filename: str
    repository: str = ""
    url: str = ""
    page: str = ""
    size: int | None = None
    revision: str = ""
    sha256: str = ""

    @property
    def whereabouts(self) -> str:
        """Where to get the file, in words."""
        if self.repository:
            return f"{self.filename} in huggingface.co/{self.repository}"
        return self.url or f"{self.filename} at {self.page}".removeprefix(" at ")


@dataclass(frozen=True)
class PublishedDense:
    """A detector or segmenter on a model's pyramid, as the authors publish it.

    Attributes:
        head: one of `medssm.models.list_heads()`. schedule: how long it was trained, as its authors say it.
        results: box and mask AP of COCO's val2017, or mIoU of ADE20K's validation images.
        input: how an image becomes an input in evaluation.
        cost: its multiply-adds are of an input of `cost_size` (H, W), which the tables do not always state.
        cost_layout: side of the image that windows are laid out for in that count; None for the published windows.
    """

    head: str
    schedule: str
    results: tuple[PublishedResult, ...]
    input: DetectionInput | SemanticInput
    cost: PublishedCost | None = None
    cost_size: tuple[int, int] = (800, 1280)
    weights: PublishedWeights | None = None
    cost_layout: int | None = None

    @property
    def score(self) -> str:
        """The results in words, without the data set."""
        return ", ".join(f"{result.metric} {result.value:.1f}" for result in self.results)


def published_detector(
    head: str,
    schedule: str,
    ap: tuple[float, float],
    cost: PublishedCost,
    weights: PublishedWeights | None = None,
    remark: str = "",
) -> PublishedDense:
    """An entry for a detector with the average precisions `ap` of boxes and masks, in percent."""
    results = tuple(
        PublishedResult(metric, value, "COCO val2017", cost.source, remark)
        for metric, value in zip(("box AP", "mask AP"), ap, strict=True)
    )
    return PublishedDense(head, schedule, results, DetectionInput(), cost, (800, 1280), weights)


def published_segmenter(
    miou: tuple[float, ...],
    cost: PublishedCost,
    weights: PublishedWeights | None = None,
    image: SemanticInput = SEMANTIC_INPUT,
    remark: str = "",
) -> PublishedDense:
    """An entry for a UPerNet with the mean overlap `miou` of single-scale and, where it is known, multi-scale tests."""
    results = tuple(
        PublishedResult(metric, value, "ADE20K validation", cost.source, remark)
        for metric, value in zip(("mIoU", "mIoU (several scales)"), miou, strict=False)
    )
    size = (image.short_side, image.long_side)
    return PublishedDense("upernet", "160k", results, image, cost, size, weights)


@dataclass(frozen=True)
class ModelInfo:
    """One entry of the model table.

    Attributes:
        name: what a user types. aliases: other spellings, such as the paper's. title: one line for the table.
        system: the family of architectures.
        input_size: of one input as published: the training crop (D, H, W) in voxels, an image (H, W) in pixels, or a
            clip (T, H, W) in frames and pixels.
        patch_size: what an input's size must be a multiple of.
        input: what the values of an input are.
        in_channels, num_classes: as published.
        is_ours: it is no published model, but made for this project.
        result, cost, weights: None where nothing was published.
        stem_entry: a weight whose second axis is the input's channels; head_entry: a bias with one value for each
            class. The sizes of a weights file are read from these two. Entries that begin like head_entry, up to its
            last but one dot, are left out when the number of classes is another one.
        variant: the network itself, from the file of its architecture, which is not read before it is asked for.
        pyramid_part: the part of the network of `features_only` that is the `backbone` of detectors and segmenters;
            empty for all of it.
        neck_groups: of the GroupNorm after each convolution of a detector's feature pyramid; 0 for no norm.
        dense: what was published of detectors and segmenters on it.
    """

    name: str
    title: str
    system: str
    task: TaskName
    input_size: tuple[int, ...]
    patch_size: tuple[int, ...]
    input: VolumeInput | ImageInput | ClipInput
    in_channels: int
    num_classes: int
    stem_entry: str
    head_entry: str
    variant: "Callable[[], Variant]"
    pyramid_part: str = ""
    neck_groups: int = 0
    is_ours: bool = False
    result: PublishedResult | None = None
    cost: PublishedCost | None = None
    weights: PublishedWeights | None = None
    dense: tuple[PublishedDense, ...] = ()
    aliases: tuple[str, ...] = ()

    def backbone_entry(self, entry: str) -> str:
        """What an entry of the network is called in a detector or a segmenter."""
        return f"backbone.{entry.removeprefix(f'{self.pyramid_part}.')}"

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size (x, y, z) in mm of the grid that a network for volumes was made for."""
        assert isinstance(self.input, VolumeInput)
        return self.input.spacing
