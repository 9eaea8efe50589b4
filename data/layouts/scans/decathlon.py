"""A list of cases and their label maps: BTCV's dataset_0.json, or a folder of the Medical Segmentation Decathlon."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medssm.data.layouts.scans.declared import declared_channels, declared_labels
from medssm.data.layouts.scans.layout import case_id, list_in, read_json
from medssm.data.layouts.scans.splits import with_default_split
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.errors import DataError


def find_decathlon(folder: Path, fold: int) -> Path | None:
    """The list of a folder, whatever it says."""
    return list_in(folder, fold)


def read_decathlon(path: Path, fold: int) -> ScanDataset:
    """A list of {image, label}; its counts (numTraining, numTest) are not to be trusted and not read.

    Raises: DataError if the list cannot be understood.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds no JSON object; write a Decathlon or nnU-Net datalist")
    return _listed(path, content)


def _listed(path: Path, content: Mapping[str, Any]) -> ScanDataset:
    cases = {part: tuple(_listed_cases(path, content.get(part, []))) for part in ("training", "validation", "test")}
    dataset = ScanDataset(
        name=str(content.get("name") or path.parent.resolve().name),
        folder=path.parent,
        source=path,
        **cases,
        label_names=declared_labels(path, content, cases["training"]),
        channel_names=declared_channels(path, content),
    )
    return dataset if "validation" in content else with_default_split(dataset)


def _listed_cases(path: Path, entries: Any) -> list[ScanCase]:
    if not isinstance(entries, list):
        raise DataError(f"{path}: 'training', 'validation' and 'test' must be lists; found {type(entries).__name__}")
    return [_listed_case(path, entry) for entry in entries]


def _listed_case(path: Path, entry: Any) -> ScanCase:
    entry = {"image": entry} if isinstance(entry, str) else entry
    image = entry.get("image") if isinstance(entry, dict) else None
    label = entry.get("label") if isinstance(entry, dict) else None
    if not isinstance(image, str) or not isinstance(label, str | None):
        raise DataError(f"{path}: a case must be {{'image': FILE, 'label': FILE}} with one file each; found {entry!r}")
    file = path.parent / image
    return ScanCase(case_id(file), file, path.parent / label if label else None)
