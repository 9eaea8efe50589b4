"""What is known of a model besides its layers: what it was published with, and where its weights are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

StateDict = dict[str, Tensor]


@dataclass(frozen=True)
class PublishedResult:
    """A figure that the authors report; `remark` says how far it can be relied on."""

    metric: str
    value: float
    dataset: str
    source: str
    remark: str


@dataclass(frozen=True)
class PublishedWeights:
    """Where the authors put a weights file, and under which licence."""

    repository: str
    filename: str
    licence: str


@dataclass(frozen=True)
class ModelInfo:
    """One entry of the model table.

    Attributes:
        name: what a user types. title: one line for the table.
        system: the family of architectures. task: "segmentation".
        window: the training crop (D, H, W) in voxels; other sizes work too. patch_size: what an input's size must be a
            multiple of.
        spacing: voxel size (x, y, z) in mm of the grid that it was made for.
        in_channels, num_classes: as published.
        is_ours: it is no published model, but made for this project.
        result, weights: None where nothing was published.
        stem_entry: a weight whose second axis is the input's channels; head_entry: a bias with one value for each
            class. The sizes of a weights file are read from these two.
        build: the network, for (in_channels, num_classes, dropout_rate or None for the published one, features_only).
        from_published: published entries to those of the network.
    """

    name: str
    title: str
    system: str
    task: str
    window: tuple[int, ...]
    patch_size: tuple[int, ...]
    spacing: tuple[float, float, float]
    in_channels: int
    num_classes: int
    is_ours: bool
    result: PublishedResult | None
    weights: PublishedWeights | None
    stem_entry: str
    head_entry: str
    build: Callable[[int, int, float | None, bool], nn.Module]
    from_published: Callable[[Mapping[str, Tensor]], StateDict]
