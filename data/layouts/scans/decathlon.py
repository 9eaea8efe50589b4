"""A list of cases and their label maps: BTCV's dataset_0.json, a folder of the Decathlon, or a datalist of MONAI."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from medssm.data.layouts.scans.declared import Declared, Parts, as_object, dataset_of, declared, name_of_list
from medssm.data.layouts.scans.layout import case_id, list_in, listed_file, read_json
from medssm.data.layouts.scans.splits import btcv_number, own_split, with_split
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.scans.volume import volume_suffix
from medssm.errors import DataError, quoted

_PATIENT_KEYS = ("patient", "patient_id", "subject", "subject_id")


def find_decathlon(folder: Path, fold: int) -> Path | None:
    """The list of a folder if it lists cases, or is no list that could be understood."""
    path = list_in(folder, fold)
    try:
        content = read_json(path) if path else {}
    except DataError:
        return path
    return path if not isinstance(content, dict) or "training" in content else None


def read_decathlon(path: Path, fold: int) -> ScanDataset:
    """A list of {image, label}; its counts (numTraining, numTest) are not to be trusted and not read.

    Raises: DataError if the list cannot be understood; UsageError if there is no such fold.
    """
    content = as_object(path, read_json(path))
    training, validation = (_listed_cases(path, content, part) for part in ("training", "validation"))
    test = [case for part in ("test", "testing") for case in _listed_cases(path, content, part)]
    if "labels" not in content and training and all(btcv_number(case) for case in training):
        content = {**content, "labels": {str(label): name for label, name in BTCV_ORGANS.items()}}
    said = declared(path, content)
    parts: Parts = {
        "training": _annotated(path, said, content, "training", training),
        "validation": _annotated(path, said, content, "validation", validation),
        "test": test,
    }
    dataset = dataset_of(said, name_of_list(content, path), path, parts)
    if "validation" not in content:
        return with_split(dataset, fold)
    if any(case.fold is not None for case in training):
        raise DataError(f"{path}: lists 'validation' and gives cases a 'fold', which is two splits; keep one of them")
    return dataset if path.name == f"dataset_{fold}.json" else own_split(dataset, fold)


def _listed_cases(path: Path, content: Mapping[str, Any], part: str) -> list[ScanCase]:
    entries = content.get(part, [])
    if not isinstance(entries, list):
        raise DataError(f"{path}: 'training', 'validation' and 'test' must be lists; found {type(entries).__name__}")
    return [_listed_case(path, entry) for entry in entries]


def _annotated(
    path: Path, said: Declared, content: Mapping[str, Any], part: str, cases: list[ScanCase]
) -> list[ScanCase]:
    """The cases of a part with the labels that were drawn in each, where the list says it."""
    listed = [entry if isinstance(entry, dict) else {} for entry in content.get(part, [])]
    return [
        replace(case, annotated=said.annotated(path, case.id, entry.get("annotated")))
        for case, entry in zip(cases, listed, strict=True)
    ]


def _listed_case(path: Path, entry: Any) -> ScanCase:
    entry = {"image": entry} if isinstance(entry, str) else entry
    said = entry if isinstance(entry, dict) else {}
    image, label, fold = _only(said.get("image")), _only(said.get("label")), said.get("fold")
    images = image if isinstance(image, list) else [image]
    if not images or not all(isinstance(name, str) for name in images) or not isinstance(label, str | None):
        raise DataError(
            f"{path}: a case must be {{'image': FILE, 'label': FILE}} with one file each, or as the image a list of "
            f"one for each channel; found {quoted(entry)}"
        )
    if fold is not None and (not isinstance(fold, int) or isinstance(fold, bool)):
        raise DataError(f"{path}: the 'fold' of a case must be a whole number; found {quoted(fold)}")
    files = [listed_file(path, name) for name in images]
    first, *further = _numbered(files[0]) if len(files) == 1 else files
    patient = next((str(said[key]) for key in _PATIENT_KEYS if said.get(key) is not None), "")
    # MONAI gives -1 to cases that validate in no fold.
    at = fold if fold is not None and fold >= 0 else None
    return ScanCase(
        case_id(first),
        first,
        listed_file(path, label) if label else None,
        patient=patient,
        fold=at,
        further=tuple(further),
    )


def _only(files: Any) -> Any:
    """The file of a list of one."""
    return files[0] if isinstance(files, list) and len(files) == 1 else files


def _numbered(image: Path) -> list[Path]:
    """The files of an image, which the first version of nnU-Net lists without the numbers of its channels."""
    suffix = volume_suffix(image)
    if not suffix or image.exists():
        return [image]
    stem = image.name[: len(image.name) - len(suffix)]
    files = (image.with_name(f"{stem}_{number:04}{suffix}") for number in count())
    return list(takewhile(Path.exists, files)) or [image]
