"""What the classes of a network are called."""

from collections.abc import Callable, Sequence

from medssm.checkpoints import WeightsMetadata
from medssm.data.layouts.actions.names import HMDB51_ACTIONS, UCF101_ACTIONS, kinetics400_actions
from medssm.data.layouts.ade20k.categories import ADE20K_NAMES
from medssm.data.layouts.coco.categories import CATEGORIES
from medssm.data.layouts.imagenet import synsets
from medssm.models import model_info
from medssm.models.heads import head_info

# The published heads of the first two have 400 and 60 outputs.
_ACTIONS: dict[str, Callable[[], Sequence[str]]] = {
    "mamband-video-ucf101": lambda: UCF101_ACTIONS,
    "mamband-video-hmdb51": lambda: HMDB51_ACTIONS,
    "mamband-video-k400": kinetics400_actions,
}
# Of detectors and of segmenters.
_OF_PIXELS: dict[str, Sequence[str]] = {"detection": tuple(CATEGORIES.values()), "semantic": ADE20K_NAMES}
_IMAGENET = 1000


def class_names(metadata: WeightsMetadata) -> tuple[str, ...]:
    """The names of the classes that weights tell apart: those in the file, else those of the published data set.

    They may be fewer than the network has outputs; the others are of classes that never occur.
    """
    info = model_info(metadata.model)
    if metadata.class_names:
        count = max(metadata.class_names) + 1
        return tuple(metadata.class_names.get(label, f"class {label}") for label in range(count))
    if metadata.head:
        names = _OF_PIXELS[head_info(metadata.head).task]
        return tuple(names) if metadata.num_classes == len(names) else _numbered(metadata.num_classes)
    if metadata.model in _ACTIONS and metadata.num_classes == info.num_classes:
        return tuple(_ACTIONS[metadata.model]())
    if info.task == "classification" and metadata.num_classes == _IMAGENET:
        return synsets.class_names(synsets.imagenet_classes())
    return _numbered(metadata.num_classes)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"class {label}" for label in range(count))
