"""Which cases a dataset folder has, and which of them train and which validate.

Four layouts are known: BTCV (`imagesTr`, `labelsTr`, `dataset_0.json`), a Medical Segmentation Decathlon folder
(`dataset.json` with a list of cases), an nnU-Net raw folder (`dataset.json` with `channel_names`), and BTCV's two
folders with no list at all.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.scans.volume import volume_stem, volume_suffix
from medssm.errors import DataError, UsageError

WHERE_BTCV_IS = (
    "BTCV is had, after registering, from Synapse (project syn3193805, 'Multi-Atlas Labeling Beyond the Cranial "
    "Vault', abdomen); lay it out as DIR/imagesTr/img0001.nii.gz, DIR/labelsTr/label0001.nii.gz, give --data DIR, "
    "or try --data phantom, which needs no download"
)

# The split of the published work (TransUNet, UNETR, Mamba-ND): 24 cases train, 6 validate.
PUBLISHED_TRAINING = frozenset((*range(1, 11), *range(21, 35)))
PUBLISHED_VALIDATION = frozenset(range(35, 41))

# The share of cases that validate where nobody has said which.
_VALIDATION_SHARE = 0.2

_IMAGE_AND_LABEL_FOLDERS = (("imagesTr", "labelsTr"), ("img", "label"), ("Training/img", "Training/label"))


@dataclass(frozen=True)
class Case:
    """One scan, with its label map where there is one; `image` may be a DICOM folder."""

    id: str
    image: Path
    label: Path | None = None


@dataclass(frozen=True)
class Dataset:
    """The cases of a folder.

    Attributes:
        name: as the list says, else the folder's.
        folder: where it lies.
        source: the file that lists the cases, or the folder if none does.
        label_names: label value -> name, without background.
        channel_names: one per channel of an image.
    """

    name: str
    folder: Path
    source: Path
    training: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]
    label_names: dict[int, str]
    channel_names: tuple[str, ...] = ("CT",)

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases in the order training, validation, test."""
        return self.training + self.validation + self.test


def load_dataset(folder: str | Path, fold: int = 0) -> Dataset:
    """The dataset in `folder`, every file of which exists.

    The list's own split is used; where it has none, the published 24/6 for BTCV's names, `splits_final.json` for
    nnU-Net, else a fifth of the cases, chosen by a hash of their names so that it never changes.

    Args:
        fold: which `dataset_<fold>.json` or which entry of `splits_final.json`.

    Raises: DataError in one sentence if there is no dataset, or a listed file is missing.
    """
    dataset = read_datalist(folder, fold)
    files = [file for case in dataset.cases for file in (case.image, case.label) if file]
    missing = [file for file in files if not file.exists()]
    if missing:
        raise DataError(
            f"{dataset.source}: {len(missing)} of {len(files)} listed files are missing, first {missing[0]}; "
            f"copy them there (medssm data check {dataset.folder} lists all)"
        )
    if not dataset.training:
        raise DataError(f"{dataset.source}: lists no case to train on; add cases to 'training'")
    if unlabelled := [case for case in dataset.training + dataset.validation if case.label is None]:
        raise DataError(f"{dataset.source}: {len(unlabelled)} cases have no label, first {unlabelled[0].id}; add them")
    return dataset


def read_datalist(folder: str | Path, fold: int = 0) -> Dataset:
    """The dataset as its list or its folders say, whether the files exist or not.

    Raises: DataError if there is no dataset, or its list cannot be understood.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such dataset folder. {WHERE_BTCV_IS}")
    for path in _lists(folder, fold):
        if path.is_file():
            content = _read_json(path)
            if not isinstance(content, dict):
                raise DataError(f"{path}: holds no JSON object; write a Decathlon or nnU-Net datalist")
            is_nnunet = "training" not in content and ("channel_names" in content or "file_ending" in content)
            return _nnunet(path, content, fold) if is_nnunet else _decathlon(path, content)
    return _unlisted(folder)


def is_scan_folder(folder: Path, fold: int = 0) -> bool:
    """Whether the folder has a list of cases, or BTCV's folders."""
    return any(path.is_file() for path in _lists(folder, fold)) or image_and_label_folders(folder) is not None


def _lists(folder: Path, fold: int) -> tuple[Path, Path]:
    return folder / f"dataset_{fold}.json", folder / "dataset.json"


def image_and_label_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders with training images and label maps, whatever they are called; None if there are none."""
    pairs = ((folder / images, folder / labels) for images, labels in _IMAGE_AND_LABEL_FOLDERS)
    return next((pair for pair in pairs if pair[0].is_dir() and pair[1].is_dir()), None)


def volumes_in(folder: Path) -> list[Path]:
    """The volume files in a folder by name; macOS's `._` companions are none."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if volume_suffix(path) and not path.name.startswith("."))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not valid JSON ({error}); correct it or remove it") from error


def _decathlon(path: Path, content: Mapping[str, Any]) -> Dataset:
    """A list of {image, label}; its counts (numTraining, numTest) are not to be trusted and not read."""
    cases = {part: tuple(_listed_cases(path, content.get(part, []))) for part in ("training", "validation", "test")}
    dataset = Dataset(
        name=str(content.get("name") or path.parent.resolve().name),
        folder=path.parent,
        source=path,
        **cases,
        label_names=_label_names(path, content, cases["training"]),
        channel_names=_channel_names(path, content),
    )
    return dataset if "validation" in content else with_default_split(dataset)


def _listed_cases(path: Path, entries: Any) -> list[Case]:
    if not isinstance(entries, list):
        raise DataError(f"{path}: 'training', 'validation' and 'test' must be lists; found {type(entries).__name__}")
    return [_listed_case(path, entry) for entry in entries]


def _listed_case(path: Path, entry: Any) -> Case:
    entry = {"image": entry} if isinstance(entry, str) else entry
    image = entry.get("image") if isinstance(entry, dict) else None
    label = entry.get("label") if isinstance(entry, dict) else None
    if not isinstance(image, str) or not isinstance(label, str | None):
        raise DataError(f"{path}: a case must be {{'image': FILE, 'label': FILE}} with one file each; found {entry!r}")
    file = path.parent / image
    return Case(case_id(file), file, path.parent / label if label else None)


def case_id(image: Path) -> str:
    """A case's name: its image's without the format and without nnU-Net's channel number."""
    return re.sub(r"_0000$", "", volume_stem(image))


def _label_names(path: Path, content: Mapping[str, Any], training: Sequence[Case] = ()) -> dict[int, str]:
    """Label value -> name, from {"1": "spleen"} (Decathlon) or {"spleen": 1} (nnU-Net)."""
    labels = content.get("labels")
    if labels is None and training and all(_btcv_number(case) for case in training):
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


def _channel_names(path: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    named = content.get("channel_names", content.get("modality")) or {"0": "CT"}
    names = tuple(map(str, named.values() if isinstance(named, dict) else [named]))
    if len(names) != 1:
        raise DataError(f"{path}: images of {len(names)} channels ({', '.join(names)}); only one channel is supported")
    return names


def _nnunet(path: Path, content: Mapping[str, Any], fold: int) -> Dataset:
    """nnU-Net's raw folder: cases are what lies in imagesTr, one file per channel."""
    folder, ending = path.parent, str(content.get("file_ending", ".nii.gz"))
    training = tuple(
        Case(id, image, folder / "labelsTr" / f"{id}{ending}")
        for image in volumes_in(folder / "imagesTr")
        if (id := case_id(image)) != volume_stem(image)
    )
    dataset = Dataset(
        name=str(content.get("name") or folder.resolve().name),
        folder=folder,
        source=path,
        training=training,
        validation=(),
        test=tuple(Case(case_id(image), image) for image in volumes_in(folder / "imagesTs")),
        label_names=_label_names(path, content),
        channel_names=_channel_names(path, content),
    )
    splits = folder / "splits_final.json"
    return _split_as_listed(dataset, splits, fold) if splits.is_file() else with_default_split(dataset)


def _split_as_listed(dataset: Dataset, path: Path, fold: int) -> Dataset:
    splits = _read_json(path)
    try:
        if not 0 <= fold < len(splits):
            raise UsageError(f"{path}: has the folds 0 to {len(splits) - 1}; fold {fold} is none of them")
        parts = [tuple(map(str, splits[fold][part])) for part in ("train", "val")]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: must be a list of {{'train': [case, ...], 'val': [case, ...]}}; correct it"
        ) from error
    by_id = {case.id: case for case in dataset.training}
    unknown = sorted({id for part in parts for id in part} - by_id.keys())
    if unknown:
        raise DataError(f"{path}: names {len(unknown)} cases that are not in imagesTr, first {unknown[0]}; correct it")
    training, validation = (tuple(by_id[id] for id in part) for part in parts)
    return replace(dataset, source=path, training=training, validation=validation)


def _unlisted(folder: Path) -> Dataset:
    """BTCV's folders without a list: label0001 belongs to img0001."""
    pair = image_and_label_folders(folder)
    images = volumes_in(pair[0]) if pair else []
    if not pair or not images:
        raise DataError(f"{folder}: no dataset here (no dataset.json and no imagesTr with labelsTr). {WHERE_BTCV_IS}")
    training = tuple(Case(case_id(image), image, _label_of(image, pair[1])) for image in images)
    if not all(_btcv_number(case) for case in training):
        raise DataError(
            f"{folder}: no dataset.json, and names such as {images[0].name} are not BTCV's (img0001.nii.gz); "
            "write a dataset.json that lists 'training' and names the 'labels'"
        )
    test = tuple(Case(case_id(image), image) for image in volumes_in(folder / "imagesTs"))
    dataset = Dataset(folder.resolve().name, folder, folder, training, (), test, dict(BTCV_ORGANS))
    return with_default_split(dataset)


def _label_of(image: Path, labels: Path) -> Path:
    name = re.sub(r"^img", "label", image.name)
    return labels / name if (labels / name).exists() or not (labels / image.name).exists() else labels / image.name


def _btcv_number(case: Case) -> int | None:
    match = re.fullmatch(r"img(\d{4})", case.id)
    return int(match[1]) if match else None


def with_default_split(dataset: Dataset) -> Dataset:
    """The dataset with its training cases split: as published for BTCV's names, else by a hash of the names.

    The hash keeps every other case where it is when one is added. A single case only trains.
    """
    numbers = [_btcv_number(case) or 0 for case in dataset.training]
    if numbers and set(numbers) <= PUBLISHED_TRAINING | PUBLISHED_VALIDATION and set(numbers) & PUBLISHED_VALIDATION:
        is_validation = [number in PUBLISHED_VALIDATION for number in numbers]
    else:
        ranked = sorted(dataset.training, key=lambda case: hashlib.sha256(case.id.encode()).digest())
        count = max(1, round(len(ranked) * _VALIDATION_SHARE)) if len(ranked) > 1 else 0
        chosen = {case.id for case in ranked[:count]}
        is_validation = [case.id in chosen for case in dataset.training]
    parts: tuple[list[Case], list[Case]] = ([], [])
    for case, validates in zip(dataset.training, is_validation, strict=True):
        parts[validates].append(case)
    return replace(dataset, training=tuple(parts[0]), validation=tuple(parts[1]))
