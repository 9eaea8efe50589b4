"""HMDB-51: 6766 videos of 51 actions and three splits, each a file per action that says what every video is for.

Kuehne et al., ICCV 2011; serre-lab.clps.brown.edu (hmdb51_org.rar and test_train_splits.rar).
"""

import re
from pathlib import Path

from medssm.data.layouts.actions.lists import Listed, Lists, nearby_folders, numbered_lines
from medssm.data.layouts.faults import Fault
from medssm.errors import DataError, quoted

SPLITS = (1, 2, 3)
UNUSED, TRAINING, VALIDATION = "0", "1", "2"
_NAME = re.compile(r"(.+)_test_split(\d)\.txt")


def find_hmdb51_lists(folder: Path) -> Path | None:
    """The folder of the lists, testTrainMulti_7030_splits as it is called in the archive."""
    return next((place for place in nearby_folders(folder) if next(place.glob("*_test_split?.txt"), None)), None)


def read_hmdb51_lists(folder: Path, split: int) -> Lists:
    """The lists of a split; the classes are numbered in the order of their names.

    Raises: DataError if there is none.
    """
    names = sorted(path.name for path in folder.glob("*_test_split?.txt"))
    classes = [found[1] for name in names if (found := _NAME.fullmatch(name)) and found[2] == str(split)]
    if not classes:
        raise DataError(
            f"{folder}: has no CLASS_test_split{split}.txt; unpack the archive of splits again, or choose another "
            "data.split"
        )
    lists = Lists([folder / f"{name}_test_split{split}.txt" for name in sorted(classes)], tuple(sorted(classes)))
    for label, file in enumerate(lists.files):
        _read(file, label, lists)
    return lists


def _read(file: Path, label: int, lists: Lists) -> None:
    """Lines such as `April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1`: 1 to train on, 2 to test, 0 to leave out."""
    parts = {TRAINING: lists.training, VALIDATION: lists.validation, UNUSED: lists.unused}
    for line, words in numbered_lines(file):
        purpose = words[-1]
        if len(words) < 2 or purpose not in parts:
            message = f"line {line}: {quoted(' '.join(words))} does not end in 0, 1 or 2; unpack the splits again"
            lists.faults.append(Fault(file, "list-line", message))
            continue
        name = " ".join(words[:-1])
        parts[purpose].append(Listed((name.rpartition(".")[0] or name,), label))
