"""Every head by name: what makes a detector or a segmenter of a backbone of the registry.

The heads' own files, and torch, are read when one is built.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medssm.errors import UsageError, quoted
from medssm.models.head_settings import adjusted
from medssm.models.info import DetectionInput, HeadTask, ModelInfo, SemanticInput

if TYPE_CHECKING:
    from torch import nn

HeadSettings = Mapping[str, int | float]


@dataclass(frozen=True)
class HeadInfo:
    """One entry of the table of heads.

    Attributes:
        name: what a user types. title: one line for the table.
        parts: what its entries begin with, beside the backbone's.
        num_classes: as published, without the background.
        class_entry: the bias of the last layer, named as in the whole network. background: outputs that it has beside
            those of the classes.
        input: how a photograph becomes an input, where a published network does not say otherwise.
        build: the network, of what is known of a backbone, the backbone, the number of classes, the rate of dropout
            (None for the published one) and settings by name that differ from the published ones.
    """

    name: str
    title: str
    task: HeadTask
    parts: tuple[str, ...]
    num_classes: int
    class_entry: str
    background: int
    input: DetectionInput | SemanticInput
    build: "Callable[[ModelInfo, nn.Module, int, float | None, HeadSettings], nn.Module]"


def list_heads(task: HeadTask | None = None) -> list[str]:
    """The names that `fresh_model(head=...)` takes, of one task or of all."""
    return [head.name for head in HEADS.values() if task in (None, head.task)]


def head_info(name: str) -> HeadInfo:
    """What is known of a head.

    Raises: UsageError on an unknown name.
    """
    if name not in HEADS:
        nearest = difflib.get_close_matches(name.lower(), HEADS, n=1, cutoff=0.5)
        raise UsageError(f"no head is called {quoted(name)}; {f'did you mean {nearest[0]}?' if nearest else _known()}")
    return HEADS[name]


def _known() -> str:
    return f"there are {', '.join(HEADS)}"


def _mask_rcnn(
    info: ModelInfo, backbone: "nn.Module", num_classes: int, dropout_rate: float | None, settings: HeadSettings
) -> "nn.Module":
    from medssm.models.detection import MASK_RCNN, mask_rcnn

    _refuse_dropout("mask-rcnn", dropout_rate)
    return mask_rcnn(backbone, num_classes, adjusted(MASK_RCNN, settings), neck_groups=info.neck_groups)


def _cascade_mask_rcnn(
    info: ModelInfo, backbone: "nn.Module", num_classes: int, dropout_rate: float | None, settings: HeadSettings
) -> "nn.Module":
    from medssm.models.detection import CASCADE_MASK_RCNN, cascade_mask_rcnn

    _refuse_dropout("cascade-mask-rcnn", dropout_rate)
    changed = adjusted(CASCADE_MASK_RCNN, settings)
    return cascade_mask_rcnn(backbone, num_classes, changed, neck_groups=info.neck_groups)


def _refuse_dropout(name: str, rate: float | None) -> None:
    if rate:
        raise UsageError(f"{name}: dropout_rate is {rate}, but this head has no dropout; leave it out")


def _upernet(
    info: ModelInfo, backbone: "nn.Module", num_classes: int, dropout_rate: float | None, settings: HeadSettings
) -> "nn.Module":
    from medssm.models.upernet import UPERNET, upernet

    return upernet(backbone, num_classes, dropout_rate, adjusted(UPERNET, settings))


_DETECTOR = ("neck.", "rpn_head.", "roi_head.")
_SEGMENTER = ("decode_head.", "auxiliary_head.")

HEADS = {
    head.name: head
    for head in (
        HeadInfo(
            "mask-rcnn",
            "Mask R-CNN",
            "detection",
            _DETECTOR,
            num_classes=80,
            class_entry="roi_head.bbox_head.fc_cls.bias",
            background=1,
            input=DetectionInput(),
            build=_mask_rcnn,
        ),
        HeadInfo(
            "cascade-mask-rcnn",
            "Cascade Mask R-CNN",
            "detection",
            _DETECTOR,
            num_classes=80,
            class_entry="roi_head.bbox_head.0.fc_cls.bias",
            background=1,
            input=DetectionInput(),
            build=_cascade_mask_rcnn,
        ),
        HeadInfo(
            "upernet",
            "UPerNet",
            "semantic",
            _SEGMENTER,
            num_classes=150,
            class_entry="decode_head.conv_seg.bias",
            background=0,
            input=SemanticInput(),
            build=_upernet,
        ),
    )
}
