"""A list of cases in a CSV file: a row a case, with its image, its label map and perhaps its fold and its patient.

A case of several channels has a column for each, called as the channel is, in place of the one called image.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from medssm.data.layouts.scans.declared import PARTS, Part, dataset_of, declared_beside
from medssm.data.layouts.scans.layout import case_id, listed_file
from medssm.data.layouts.scans.splits import with_split
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.finding import is_scan_file
from medssm.errors import DataError, quoted, reason_of

_COLUMNS = ("label", "case", "patient", "fold", "split", "annotated")
_SPLITS: dict[Part, tuple[str, ...]] = {
    "training": ("", "train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


def find_table(folder: Path, fold: int) -> Path | None:
    """The CSV file of a folder, or the file itself, that has a column with images and one called label.

    Raises: DataError if several have.
    """
    tables = [folder] if folder.is_file() else sorted(folder.glob("*.csv"))
    found = [path for path in tables if _lists_cases(path)]
    if len(found) > 1:
        raise DataError(f"{folder}: {found[0].name} and {found[1].name} both list cases; keep one of them there")
    return next(iter(found), None)


def read_table(path: Path, fold: int) -> ScanDataset:
    """The cases of the rows; the names of the labels are those of the dataset.json beside the table.

    Columns: image or one for each channel, label, and where wanted case, patient, fold (a number), split (train, val or
    test) and annotated (the labels that were drawn in a case, with semicolons between them). Files are named from the
    table's own folder; a case to test needs no label.

    Raises: DataError if the table cannot be understood; UsageError if there is no such fold.
    """
    parts: dict[Part, list[ScanCase]] = {part: [] for part in PARTS}
    channels, said = _channels(path), declared_beside(path.parent)
    for place, row in enumerate(table_rows(path, (*channels, *_COLUMNS)), start=2):
        part = next((part for part, words in _SPLITS.items() if row["split"].lower() in words), None)
        if part is None or not all(row[name] for name in channels) or not (row["fold"] or "0").isdecimal():
            raise DataError(
                f"{path}: line {place} needs an image{'' if channels == ['image'] else ' of each channel'}, a whole "
                f"number as its fold, and train, val or test as its split if it has them; found {quoted(row)}"
            )
        case = _case(path, row, channels)
        parts[part].append(replace(case, annotated=said.annotated(path, case.id, row["annotated"])))
    if channels != ["image"]:
        said = said._replace(channel_names=tuple(channels))
    return with_split(dataset_of(said, path.parent.resolve().name, path, parts), fold)


def _case(path: Path, row: Mapping[str, str], channels: Sequence[str]) -> ScanCase:
    image, *further = (listed_file(path, row[name]) for name in channels)
    label = listed_file(path, row["label"]) if row["label"] else None
    number = int(row["fold"][:9]) if row["fold"] else None
    case = row["case"] or case_id(image)
    return ScanCase(case, image, label, patient=row["patient"], fold=number, further=tuple(further))


def _channels(path: Path) -> list[str]:
    """The columns with images, as they are called."""
    names = [name for name in _header(path) if name.lower() not in _COLUMNS]
    return ["image"] if "image" in (name.lower() for name in names) else names


def _lists_cases(path: Path) -> bool:
    """Whether a table has images and label maps: a column called image, or others whose first files are there."""
    channels = _channels(path)
    if "label" not in (name.lower() for name in _header(path)):
        return False
    if channels == ["image"]:
        return True
    try:
        first = next(table_rows(path, channels), {})
    except DataError:
        return False
    return bool(channels) and all(name and is_scan_file(path.parent / name) for name in first.values())


def _header(path: Path) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            line = file.readline(1 << 16)
    except (OSError, UnicodeDecodeError):
        return []
    return [column.strip().strip('"') for column in line.split(_delimiter(line))]


def table_rows(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """These columns of each line, "" where it has none of them; the letters' case in their names does not count.

    Raises: DataError if it is no table.
    """
    header = _header(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, header, delimiter=_delimiter(file.readline()))
            for row in reader:
                found = {str(name).lower(): value for name, value in row.items()}
                yield {column: (found.get(column.lower()) or "").strip() for column in columns}
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: is no table in UTF-8 ({reason_of(error)}); save it as such") from error


def _delimiter(line: str) -> str:
    return max(",;\t", key=line.count)
