"""What the classes of a network are called."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medssm.checkpoints import WeightsMetadata
from medssm.errors import UsageError
from medssm.models import model_info
from medssm.models.heads import head_info
from medssm.tasks import task_of


def class_names(metadata: WeightsMetadata) -> tuple[str, ...]:
    """The names of the classes that weights tell apart: those in the file, else those of the published data set.

    They may be fewer than the network has outputs; the others are of classes that never occur.
    """
    if metadata.class_names:
        count = max(metadata.class_names) + 1
        return tuple(metadata.class_names.get(label, f"class {label}") for label in range(count))
    published = head_info(metadata.head) if metadata.head else model_info(metadata.model)
    names = task_of(metadata).published_names(metadata.model) if metadata.num_classes == published.num_classes else ()
    return names or tuple(f"class {label}" for label in range(metadata.num_classes))


def labels_in_dataset(metadata: WeightsMetadata, names: Sequence[str], source: Path) -> np.ndarray:
    """(classes of the network,) int64, the dataset's label of each, by name; -1 for one that the dataset lacks.

    Args:
        names: of the dataset's classes. source: the dataset.

    Raises: UsageError if the network does not know all of them.
    """
    known = class_names(metadata)
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"{source}: has {len(names)} classes, of which {unknown[0]!r} is none of the weights' {len(known)}; give "
            "the dataset that they were trained for"
        )
    labels = [names.index(name) if name in names else -1 for name in known]
    return np.array(labels + [-1] * (metadata.num_classes - len(labels)))
