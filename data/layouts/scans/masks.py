"""A folder a case with a scan and, below it, a binary mask for each organ, as TotalSegmentator's data set has it."""

from pathlib import Path

from medssm.data.layouts.folders import folders_in
from medssm.data.layouts.scans.declared import PARTS, Declared, Part, dataset_of
from medssm.data.layouts.scans.layout import volumes_in
from medssm.data.layouts.scans.splits import with_split
from medssm.data.layouts.scans.table import table_rows
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.volume import volume_stem
from medssm.errors import DataError

_MASK_FOLDERS = ("segmentations", "masks", "labels", "structures")
_MODALITIES = {"ct": "CT", "mri": "MRI", "mr": "MRI", "pet": "PET"}
_SPLIT: dict[str, Part] = {"train": "training", "val": "validation", "test": "test"}


def find_masks(folder: Path, fold: int) -> Path | None:
    """The folder itself if one of its folders holds one scan and a folder of masks."""
    return folder if any(_mask_folder(case) and len(volumes_in(case)) == 1 for case in folders_in(folder)) else None


def read_masks(folder: Path, fold: int) -> ScanDataset:
    """The cases; their labels are 1, 2 ... in the order of the names of all masks, and meta.csv splits them if it can.

    Raises: DataError if a case has several scans; UsageError if there is no such fold.
    """
    found = {case: masks for case in folders_in(folder) if (masks := _mask_folder(case))}
    organs = sorted({volume_stem(mask) for masks in found.values() for mask in volumes_in(masks)})
    split = _split(folder / "meta.csv")
    cases = {folder: _case(folder, masks, organs) for folder, masks in found.items()}
    parts = {part: [case for case in cases.values() if split.get(case.id, "training") == part] for part in PARTS}
    kinds = {_MODALITIES.get(volume_stem(case.image).lower(), "") for case in cases.values()}
    said = Declared(dict(enumerate(organs, start=1)), channel_names=tuple(kinds - {""}) if len(kinds) == 1 else ())
    dataset = dataset_of(said, folder.resolve().name, folder, parts)
    return with_split(dataset, fold)


def _case(folder: Path, masks: Path, organs: list[str]) -> ScanCase:
    scans = volumes_in(folder)
    if len(scans) != 1:
        raise DataError(
            f"{folder}: holds {len(scans)} scans beside the masks of organs in {masks.name}; leave one of them there"
        )
    there = {volume_stem(mask): mask for mask in volumes_in(masks)}
    files = tuple(there.get(organ) or masks / f"{organ}.nii.gz" for organ in organs)
    return ScanCase(folder.name, scans[0], masks, files)


def _mask_folder(case: Path) -> Path | None:
    return next((case / name for name in _MASK_FOLDERS if volumes_in(case / name)), None)


def _split(path: Path) -> dict[str, Part]:
    """Case -> part, of TotalSegmentator's table; empty where there is none, or it names no validation cases."""
    if not path.is_file():
        return {}
    try:
        rows = list(table_rows(path, ("image_id", "split")))
    except DataError:
        return {}
    split = {row["image_id"]: _SPLIT[row["split"]] for row in rows if row["split"] in _SPLIT}
    return split if "validation" in split.values() else {}
