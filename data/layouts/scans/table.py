"""A list of cases in a CSV file: a row a case, with its image, its label map and perhaps its fold and its patient."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from medssm.data.layouts.scans.declared import PARTS, Part, dataset_of, declared_beside
from medssm.data.layouts.scans.layout import case_id, listed_file
from medssm.data.layouts.scans.splits import with_split
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.errors import DataError, quoted, reason_of

_COLUMNS = ("image", "label", "case", "patient", "fold", "split")
_SPLITS: dict[Part, tuple[str, ...]] = {
    "training": ("", "train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


def find_table(folder: Path, fold: int) -> Path | None:
    """The CSV file of a folder, or the file itself, that has the columns image and label.

    Raises: DataError if several have.
    """
    tables = [folder] if folder.is_file() else sorted(folder.glob("*.csv"))
    found = [path for path in tables if {"image", "label"} <= set(_header(path))]
    if len(found) > 1:
        raise DataError(f"{folder}: {found[0].name} and {found[1].name} both list cases; keep one of them there")
    return next(iter(found), None)


def read_table(path: Path, fold: int) -> ScanDataset:
    """The cases of the rows; the names of the labels are those of the dataset.json beside the table.

    Columns: image, label, and where wanted case, patient, fold (a number) and split (train, val or test). Files are
    named from the table's own folder; a case to test needs no label.

    Raises: DataError if the table cannot be understood; UsageError if there is no such fold.
    """
    parts: dict[Part, list[ScanCase]] = {part: [] for part in PARTS}
    for place, row in enumerate(table_rows(path, _COLUMNS), start=2):
        part = next((part for part, words in _SPLITS.items() if row["split"].lower() in words), None)
        if part is None or not row["image"] or not (row["fold"] or "0").isdecimal():
            raise DataError(
                f"{path}: line {place} needs an image, a whole number as its fold, and train, val or test as its split "
                f"if it has them; found {quoted(row)}"
            )
        image = listed_file(path, row["image"])
        label = listed_file(path, row["label"]) if row["label"] else None
        number = int(row["fold"][:9]) if row["fold"] else None
        parts[part].append(ScanCase(row["case"] or case_id(image), image, label, patient=row["patient"], fold=number))
    dataset = dataset_of(declared_beside(path.parent), path.parent.resolve().name, path, parts)
    return with_split(dataset, fold)


def _header(path: Path) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            line = file.readline(1 << 16)
    except (OSError, UnicodeDecodeError):
        return []
    return [column.strip().strip('"').lower() for column in line.split(_delimiter(line))]


def table_rows(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """These columns of each line, "" where it has none of them; names of columns are in small letters.

    Raises: DataError if it is no table.
    """
    header = _header(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, header, delimiter=_delimiter(file.readline()))
            for row in reader:
                yield {column: (row.get(column) or "").strip() for column in columns}
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: is no table in UTF-8 ({reason_of(error)}); save it as such") from error


def _delimiter(line: str) -> str:
    return max(",;\t", key=line.count)
