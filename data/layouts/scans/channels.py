"""The channels of a dataset's scans: which files they are in, and what they are called where no list says it."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from medssm.data.layouts.scans.layout import numbered_channel
from medssm.data.scans.cases import ScanCase
from medssm.data.scans.volume import volume_stem
from medssm.errors import DataError, one_line

_SEPARATORS = "-_. "


def channel_names(source: Path, said: Sequence[str], cases: Iterable[ScanCase]) -> tuple[str, ...]:
    """The names of the channels: as the list says, else by the words in which the files of a case differ.

    A case with one file may hold all channels in it, which is seen when it is read.

    Raises: DataError if a case has other channels than the list says, or than the other cases.
    """
    every = list(cases)
    several = [case for case in every if case.further]
    if not several:
        return tuple(said)
    names = tuple(said) or _words(several[0].images)
    for case in several:
        if len(case.images) != len(names):
            raise _other_channels(source, case.images, names)
        if not said and _words(case.images) != names:
            raise DataError(
                f"{source}: case {case.id} has the channels {_shown(_words(case.images))}, and {several[0].id} has "
                f"{_shown(names)}; name them alike, or write 'channel_names' into a dataset.json"
            )
    if alone := next((case for case in every if not case.further), None):
        raise DataError(
            f"{source}: case {alone.id} has one image, {alone.image.name}, and {several[0].id} has {len(names)} "
            f"({_shown(names)}); add the others, or take the case out"
        )
    return names


def numbered_files(source: Path, case: str, files: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """The files of a case in nnU-Net's numbering, case_0000, case_0001 ..., which are as many as the names.

    Raises: DataError if one is missing, or one has no name.
    """
    if len(files) == 1 and len(names) < 2:
        return list(files)
    numbers = {(numbered_channel(file) or (case, 0))[1]: file for file in files}
    if len(names) > 1 and (missing := [place for place in range(len(names)) if place not in numbers]):
        there = ", ".join(file.name for file in files)
        raise DataError(
            f"{source}: case {case} has no image of channel {missing[0]} ({names[missing[0]]}), only {there}; add "
            f"{case}_{missing[0]:04}, or take the case out"
        )
    if len(numbers) != len(names or numbers) or sorted(numbers) != list(range(len(numbers))):
        raise _other_channels(source, files, names)
    return [numbers[place] for place in range(len(numbers))]


def _other_channels(source: Path, images: Sequence[Path], names: Sequence[str]) -> DataError:
    files = one_line(", ".join(image.name for image in images), 100)
    named = f"names {len(names)} ({_shown(names)})" if names else "none"
    return DataError(
        f"{source}: images of {len(images)} channels ({files}), and 'channel_names' {named}; name each of them, or "
        "give the files of those alone that are named"
    )


def _words(images: Sequence[Path]) -> tuple[str, ...]:
    """What each file's name has behind that in which all are alike, such as flair and t1; numbers where it is little.

    >>> _words([Path("B_01_flair.nii.gz"), Path("B_01_t1.nii.gz"), Path("B_01_t1ce.nii.gz")])
    ('flair', 't1', 't1ce')
    """
    parts = [re.split(f"[{_SEPARATORS}]", volume_stem(image)) for image in images]
    alike = 0
    while all(len(part) > alike + 1 and part[alike] == parts[0][alike] for part in parts):
        alike += 1
    words = tuple("_".join(part[alike:]) for part in parts)
    is_telling = len(set(words)) == len(words) and not any(re.fullmatch(r"\d*", word) for word in words)
    return words if is_telling else tuple(f"channel {place}" for place in range(1, len(images) + 1))


def _shown(names: Sequence[str]) -> str:
    return one_line(", ".join(names), 100)
