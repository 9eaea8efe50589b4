"""UCF-101: 13 320 videos of 101 actions and three splits, each a list to train on and one to test.

Soomro, Zamir & Shah, arXiv:1212.0402; crcv.ucf.edu/data/UCF101.php (UCF101.rar and the train/test splits).
"""

from pathlib import Path

from medssm.data.layouts.actions.lists import Listed, Lists, nearby_folders, numbered_lines
from medssm.data.layouts.faults import Fault
from medssm.errors import DataError, one_line

SPLITS = (1, 2, 3)
CLASSES = "classInd.txt"
_MOST_DIGITS = 6  # of a class


def find_ucf101_lists(folder: Path) -> Path | None:
    """The folder of the lists, ucfTrainTestlist as it is called in the archive."""
    return next((place for place in nearby_folders(folder) if (place / CLASSES).is_file()), None)


def read_ucf101_lists(folder: Path, split: int) -> Lists:
    """The lists of a split.

    Raises: DataError if one is not there.
    """
    files = [folder / CLASSES, folder / f"trainlist0{split}.txt", folder / f"testlist0{split}.txt"]
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: is missing; unpack the archive of splits again, or choose another data.split")
    rows = [words for _, words in numbered_lines(files[0]) if words[1:]]
    by_number = {int(number): name for number, name, *_ in rows if number.isdecimal() and len(number) < _MOST_DIGITS}
    lists = Lists(files, tuple(name for _, name in sorted(by_number.items())))
    if sorted(by_number) != list(range(1, len(by_number) + 1)):
        message = "does not number the classes from 1 on without a gap; unpack the archive of splits again"
        lists.faults.append(Fault(files[0], "classes", message))
    for file, part in zip(files[1:], (lists.training, lists.validation), strict=True):
        part += _listed(file, lists)
    return lists


def _listed(file: Path, lists: Lists) -> list[Listed]:
    """Lines such as `Archery/v_Archery_g08_c01.avi 3`; the class is told by the folder, the number is its check."""
    labels = {name: label for label, name in enumerate(lists.classes)}
    found = []
    for line, words in numbered_lines(file):
        folder, _, name = words[0].replace("\\", "/").rpartition("/")
        label, shown = labels.get(folder), one_line(folder or "no class", 60)
        if label is None:
            message = f"line {line}: {shown} is none of the {len(labels)} classes of {CLASSES}"
            lists.faults.append(Fault(file, "unknown-class", message))
        elif words[1:] and words[1] != str(label + 1):
            given = one_line(words[1], 20)
            message = f"line {line}: gives {shown} the number {given}, but {CLASSES} has {label + 1}"
            lists.faults.append(Fault(file, "class-number", message))
        else:
            found.append(Listed((name.rpartition(".")[0] or name,), label))
    return found
