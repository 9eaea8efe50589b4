"""What a list declares of its labels and channels, in the Decathlon's words or nnU-Net's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medssm.data.layouts.scans.splits import btcv_number
from medssm.data.scans.cases import ScanCase
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.errors import DataError


def declared_labels(path: Path, content: Mapping[str, Any], training: Sequence[ScanCase] = ()) -> dict[int, str]:
    """Label value -> name, from {"1": "spleen"} (Decathlon) or {"spleen": 1} (nnU-Net)."""
    labels = content.get("labels")
    if labels is None and training and all(btcv_number(case) for case in training):
        return dict(BTCV_ORGANS)
    try:
        pairs = [(key, value) if str(key).isdigit() else (value, key) for key, value in labels.items()]  # type: ignore[union-attr]
        return {
            int(label): str(name) for label, name in sorted(pairs, key=lambda pair: int(pair[0])) if int(label) != 0
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: 'labels' must give each value one name, such as {{'0': 'background', '1': 'spleen'}} "
            f"(regions of several values are not supported); found {labels!r}"
        ) from error


def declared_channels(path: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of an image's channels, which must be one.

    Raises: DataError if there are several.
    """
    named = content.get("channel_names", content.get("modality")) or {"0": "CT"}
    names = tuple(map(str, named.values() if isinstance(named, dict) else [named]))
    if len(names) != 1:
        raise DataError(f"{path}: images of {len(names)} channels ({', '.join(names)}); only one channel is supported")
    return names
