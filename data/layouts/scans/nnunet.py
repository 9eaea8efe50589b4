"""nnU-Net's raw folder: cases are what lies in imagesTr, one file per channel, and dataset.json names the labels."""

from dataclasses import replace
from pathlib import Path

from medssm.data.layouts.scans.declared import declared_channels, declared_labels
from medssm.data.layouts.scans.layout import case_id, list_in, read_json, volumes_in
from medssm.data.layouts.scans.splits import with_default_split
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.volume import volume_stem
from medssm.errors import DataError, UsageError

_OWN_KEYS = {"channel_names", "file_ending"}


def find_nnunet(folder: Path, fold: int) -> Path | None:
    """The dataset.json of a folder if it lists no cases, but says how the files are called."""
    path = list_in(folder, fold)
    try:
        content = read_json(path) if path else None
    except DataError:
        return None
    is_own = isinstance(content, dict) and "training" not in content and bool(content.keys() & _OWN_KEYS)
    return path if is_own else None


def read_nnunet(path: Path, fold: int) -> ScanDataset:
    """The cases in imagesTr, split as splits_final.json has it.

    Raises: DataError if one of the two lists cannot be understood; UsageError if there is no such fold.
    """
    folder, content = path.parent, read_json(path)
    ending = str(content.get("file_ending", ".nii.gz"))
    training = tuple(
        ScanCase(id, image, folder / "labelsTr" / f"{id}{ending}")
        for image in volumes_in(folder / "imagesTr")
        if (id := case_id(image)) != volume_stem(image)
    )
    dataset = ScanDataset(
        name=str(content.get("name") or folder.resolve().name),
        folder=folder,
        source=path,
        training=training,
        validation=(),
        test=tuple(ScanCase(case_id(image), image) for image in volumes_in(folder / "imagesTs")),
        label_names=declared_labels(path, content),
        channel_names=declared_channels(path, content),
    )
    splits = folder / "splits_final.json"
    return _split_as_listed(dataset, splits, fold) if splits.is_file() else with_default_split(dataset)


def _split_as_listed(dataset: ScanDataset, path: Path, fold: int) -> ScanDataset:
    splits = read_json(path)
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
