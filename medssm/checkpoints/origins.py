"""What is known of weights that say nothing of themselves: what their network was published with."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medssm.checkpoints.metadata import WeightsMetadata
from medssm.checkpoints.recognition import Fit
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.scans.preprocessing import Preprocessing
from medssm.models import head_info, model_info
from medssm.models.info import HeadTask, ModelInfo, PublishedDense, PublishedWeights, VolumeInput


def published_metadata(fit: Fit, path: Path) -> WeightsMetadata:
    """The metadata of a published file, by the model and head that it was found to be of."""
    info = model_info(fit.model)
    if fit.head:
        return _dense_metadata(info, fit, path)
    is_volume = isinstance(info.input, VolumeInput)
    return WeightsMetadata(
        model=fit.model,
        num_classes=fit.num_classes,
        in_channels=fit.in_channels,
        class_names=_class_names(info, fit.num_classes),
        preprocessing=Preprocessing(spacing=info.spacing).model_dump(mode="json") if is_volume else asdict(info.input),
        input_size=info.input_size,
        flips=dict.fromkeys("xyz", "as-published") if is_volume and not info.is_ours else {},
        **_origin(info.weights, path),
    )


def _dense_metadata(info: ModelInfo, fit: Fit, path: Path) -> WeightsMetadata:
    """Of a detector or a segmenter; its schedule is not in the entries, and licence and place are those of any."""
    head, published = head_info(fit.head), _published(info, fit.head, path)
    names = _dense_names(head.task)
    return WeightsMetadata(
        model=fit.model,
        head=fit.head,
        num_classes=fit.num_classes,
        in_channels=fit.in_channels,
        class_names=dict(enumerate(names)) if fit.num_classes == len(names) else {},
        preprocessing=asdict(published.input if published else head.input),
        input_size=(),
        **_origin(published.weights if published else None, path),
    )


def _dense_names(task: HeadTask) -> Sequence[str]:
    """Of the classes that published heads know; the datasets' readers are not needed for weights of scans."""
    if task == "detection":
        from medssm.data.layouts.coco import NAMES

        return NAMES
    from medssm.data.layouts.ade20k import ADE20K_NAMES

    return ADE20K_NAMES


def _published(info: ModelInfo, head: str, path: Path) -> PublishedDense | None:
    """What was published of a head on a model, with the schedule that the file's name tells, if it does."""
    entries = [entry for entry in info.dense if entry.head == head]
    named = [entry for entry in entries if entry.schedule in path.name]
    return next(iter(named or entries), None)


def _origin(weights: PublishedWeights | None, path: Path) -> dict[str, Any]:
    if weights is None:
        return {"licence": "", "source": path.name}
    return {"licence": weights.licence, "source": f"{weights.repository or weights.page} ({path.name})"}


def _class_names(info: ModelInfo, num_classes: int) -> dict[int, str]:
    """Names of the classes that a published network of so many outputs was trained on, where they are known."""
    if info.task == "segmentation":
        numbered = {label: f"class {label}" for label in range(1, num_classes)}
        return BTCV_ORGANS if num_classes == len(BTCV_ORGANS) + 1 else numbered
    if info.task == "classification" and num_classes == info.num_classes:
        from timm.data import ImageNetInfo  # takes a second to import

        imagenet = ImageNetInfo()
        return {index: imagenet.index_to_description(index) for index in range(num_classes)}
    return {}
