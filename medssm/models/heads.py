"""Every head by name: what makes a detector or a segmenter of a backbone of the registry."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from medssm.errors import UsageError
from medssm.models.info import HeadTask, ModelInfo


@dataclass(frozen=True)
class HeadInfo:
    """One entry of the table of heads.

    Attributes:
        name: what a user types. title: one line for the table.
        num_classes: as published, without the background.
        class_entry: the bias of the last layer, named as in the whole network. background: outputs that it has beside
            those of the classes.
        build: the network, of what is known of a backbone, the backbone, the number of classes and the rate of dropout
            (None for the published one).
    """

    name: str
    title: str
    task: HeadTask
    num_classes: int
    class_entry: str
    background: int
    build: Callable[[ModelInfo, nn.Module, int, float | None], nn.Module]


def list_heads(task: HeadTask | None = None) -> list[str]:
    """The names that `create_model(head=...)` takes, of one task or of all."""
    return [head.name for head in HEADS.values() if task in (None, head.task)]


def head_info(name: str) -> HeadInfo:
    """What is known of a head.

    Raises: UsageError on an unknown name.
    """
    if name not in HEADS:
        nearest = difflib.get_close_matches(name, HEADS, n=1, cutoff=0.5)
        raise UsageError(f"no head is called {name!r}; {f'did you mean {nearest[0]}?' if nearest else _known()}")
    return HEADS[name]


def _known() -> str:
    return f"there are {', '.join(HEADS)}"


def _mask_rcnn(info: ModelInfo, backbone: nn.Module, num_classes: int, dropout_rate: float | None) -> nn.Module:
    from medssm.models.detection import mask_rcnn

    _refuse_dropout("mask-rcnn", dropout_rate)
    return mask_rcnn(backbone, num_classes, neck_groups=info.neck_groups)


def _cascade_mask_rcnn(info: ModelInfo, backbone: nn.Module, num_classes: int, dropout_rate: float | None) -> nn.Module:
    from medssm.models.detection import cascade_mask_rcnn

    _refuse_dropout("cascade-mask-rcnn", dropout_rate)
    return cascade_mask_rcnn(backbone, num_classes, neck_groups=info.neck_groups)


def _refuse_dropout(name: str, rate: float | None) -> None:
    if rate:
        raise UsageError(f"{name}: dropout_rate is {rate}, but this head has no dropout; leave it out")


def _upernet(info: ModelInfo, backbone: nn.Module, num_classes: int, dropout_rate: float | None) -> nn.Module:
    from medssm.models.upernet import upernet

    return upernet(backbone, num_classes, dropout_rate)


HEADS = {
    head.name: head
    for head in (
        HeadInfo("mask-rcnn", "Mask R-CNN", "detection", 80, "roi_head.bbox_head.fc_cls.bias", 1, _mask_rcnn),
        HeadInfo(
            "cascade-mask-rcnn",
            "Cascade Mask R-CNN",
            "detection",
            80,
            "roi_head.bbox_head.0.fc_cls.bias",
            1,
            _cascade_mask_rcnn,
        ),
        HeadInfo("upernet", "UPerNet", "semantic", 150, "decode_head.conv_seg.bias", 0, _upernet),
    )
}
