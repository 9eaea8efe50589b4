"""Kinetics-400: some 240 000 training and 20 000 validation clips of ten seconds, as far as they can still be had.

Kay et al., arXiv:1705.06950; the lists and archives of what was left are at github.com/cvdfoundation/kinetics-dataset.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from medssm.data.layouts.actions.lists import Listed, Lists, nearby_folders
from medssm.data.layouts.faults import Fault
from medssm.errors import DataError, quoted, reason_of

SPLITS = (1,)
COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_LONGEST_HEADER = 1000
_PARTS = {"train": "training", "val": "validation", "validate": "validation", "validation": "validation"}


def find_kinetics400_lists(folder: Path) -> Path | None:
    """The folder of the CSV files."""
    return next((place for place in nearby_folders(folder) if next(_csv_files(place), None)), None)


def read_kinetics400_lists(folder: Path, split: int) -> Lists:
    """The lists of training and validation; the classes are numbered in the order of their names.

    What part a row belongs to says its column `split`, or else the name of the file. Rows of the test are left out.
    """
    files = sorted(_csv_files(folder))
    faults: list[Fault] = []
    rows = dict.fromkeys(row for file in files for row in _rows(file, faults))
    classes = tuple(sorted({label for _, label, _ in rows}))
    numbers = {name: number for number, name in enumerate(classes)}
    lists = Lists(files, classes, faults=faults)
    for part, label, names in rows:
        lists.parts[part].append(Listed(names, numbers[label]))
    if not lists.training and not lists.validation:
        raise DataError(f"{folder}: its CSV files list no videos to train on or to validate; download them again")
    return lists


def _csv_files(folder: Path) -> Iterator[Path]:
    for file in folder.glob("*.csv"):
        with open(file, encoding="utf-8-sig", errors="replace") as lines:
            header = lines.readline(_LONGEST_HEADER)  # of whatever lies there: no more of it is read
        if set(COLUMNS) <= set(header.strip().split(",")):
            yield file


def _rows(file: Path, faults: list[Fault]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Part, class and names of each clip."""
    by_name = next((part for word, part in _PARTS.items() if word in file.stem.lower()), None)
    for row in _of_csv(file, faults):
        part = _PARTS.get(row["split"].strip().lower()) if row.get("split") else by_name
        if part is None:
            continue
        try:
            yield part, row["label"].strip(), _names(row)
        except (TypeError, ValueError, AttributeError, OverflowError):
            message = f"has a row without label, id or times: {quoted(list(row.values()))}; download it again"
            faults.append(Fault(file, "list-line", message))


def _of_csv(file: Path, faults: list[Fault]) -> Iterator[dict[str, str]]:
    with open(file, newline="", encoding="utf-8-sig", errors="replace") as lines:
        try:
            yield from csv.DictReader(lines)
        except csv.Error as error:
            faults.append(Fault(file, "list-line", f"is no table ({reason_of(error, 100)}); download it again"))


def _names(row: dict[str, str]) -> tuple[str, ...]:
    """What the file of a clip is called: its id with the seconds from and to, or its id alone."""
    start, end = (int(float(row[key])) for key in COLUMNS[2:])
    name = row["youtube_id"].strip()
    return f"{name}_{start:06d}_{end:06d}", name
