"""nnU-Net's raw folder: cases are what lies in imagesTr, one file per channel, and dataset.json names the labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medssm.data.layouts.scans.channels import numbered_files
from medssm.data.layouts.scans.declared import Parts, as_object, dataset_of, declared, name_of_list
from medssm.data.layouts.scans.layout import list_in, listed_file, numbered_channel, read_json, volumes_in
from medssm.data.layouts.scans.splits import check_fold, with_split
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.formats import known_formats
from medssm.data.scans.volume import volume_stem, volume_suffix
from medssm.errors import DataError, quoted

_OWN_KEYS = {"channel_names", "file_ending", "dataset"}


def find_nnunet(folder: Path, fold: int) -> Path | None:
    """The dataset.json of a folder if it lists no cases as the Decathlon does, but has a key of nnU-Net's own."""
    path = list_in(folder, fold)
    try:
        content = read_json(path) if path else None
    except DataError:
        return None
    is_own = isinstance(content, dict) and "training" not in content and bool(content.keys() & _OWN_KEYS)
    return path if is_own else None


def read_nnunet(path: Path, fold: int) -> ScanDataset:
    """The cases in imagesTr, or of the list's `dataset`, split as splits_final.json has it.

    Raises: DataError if one of the two lists cannot be understood, or a case has other channels than it names;
        UsageError if there is no such fold.
    """
    folder, content = path.parent, as_object(path, read_json(path))
    said = declared(path, content)
    names = said.channel_names
    training = _listed(path, content["dataset"]) if "dataset" in content else _in_folders(folder, content, names)
    test = [_case(path, id, images, None, names) for id, images in _images(folder / "imagesTs", {}).items()]
    parts: Parts = {"training": training, "test": test}
    dataset = dataset_of(said, name_of_list(content, path), path, parts)
    splits = folder / "splits_final.json"
    return _split_as_listed(dataset, splits, fold) if splits.is_file() else with_split(dataset, fold)


def _in_folders(folder: Path, content: Mapping[str, Any], names: Sequence[str]) -> list[ScanCase]:
    labels = {volume_stem(label): label for label in volumes_in(folder / "labelsTr")}
    ending = str(content.get("file_ending", ".nii.gz"))
    if not volume_suffix(Path(f"x{ending}")):
        raise DataError(f"{folder / 'dataset.json'}: files of {quoted(ending)} cannot be read; give {known_formats()}")
    cases = []
    for id, images in _images(folder / "imagesTr", labels).items():
        label = labels.get(id) or listed_file(folder / "labelsTr/x", f"{id}{ending}")
        cases.append(_case(folder / "dataset.json", id, images, label, names))
    return cases


def _case(source: Path, id: str, images: Sequence[Path], label: Path | None, names: Sequence[str]) -> ScanCase:
    first, *further = numbered_files(source, id, images, names)
    return ScanCase(id, first, label, further=tuple(further))


def _images(folder: Path, labels: Mapping[str, Path]) -> dict[str, list[Path]]:
    """The images of each case."""
    images: dict[str, list[Path]] = {}
    for image in volumes_in(folder):
        images.setdefault(_case_of(image, labels), []).append(image)
    return images


def _case_of(image: Path, labels: Mapping[str, Path]) -> str:
    """The case of an image, whose last digits are its channel unless a label map is called like the whole of it."""
    stem = volume_stem(image)
    if (numbered := numbered_channel(image)) is None:
        return stem
    names = (numbered[0], stem, f"{numbered[0]}_0000")
    return next((name for name in names if name in labels), numbered[0])


def _listed(path: Path, entries: Any) -> list[ScanCase]:
    """The cases of {case: {images: [file of each channel], label: file}}."""
    if not isinstance(entries, dict):
        raise DataError(f"{path}: 'dataset' must give each case its files; found {quoted(entries)}")
    cases = []
    for id, entry in entries.items():
        images, label = (entry.get(key) if isinstance(entry, dict) else None for key in ("images", "label"))
        files = images if isinstance(images, list) and all(isinstance(image, str) for image in images) else []
        if not files or not isinstance(label, str):
            raise DataError(
                f"{path}: case {quoted(id)} must be {{'images': [FILE], 'label': FILE}}; found {quoted(entry)}"
            )
        first, *further = [listed_file(path, image) for image in files]
        cases.append(ScanCase(id, first, listed_file(path, label), further=tuple(further)))
    return cases


def _split_as_listed(dataset: ScanDataset, path: Path, fold: int) -> ScanDataset:
    splits = read_json(path)
    try:
        check_fold(replace(dataset, source=path), fold, range(len(splits)))
        parts = [tuple(map(str, splits[fold][part])) for part in ("train", "val")]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: must be a list of {{'train': [case, ...], 'val': [case, ...]}}; correct it"
        ) from error
    by_id = {case.id: case for case in dataset.training}
    unknown = sorted({id for part in parts for id in part} - by_id.keys())
    if unknown:
        raise DataError(
            f"{path}: names {len(unknown)} cases that are not in imagesTr, first {quoted(unknown[0])}; correct it"
        )
    training, validation = (tuple(by_id[id] for id in part) for part in parts)
    return replace(dataset, training=training, validation=validation)
