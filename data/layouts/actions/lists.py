"""What the lists of a data set say: its classes, and the videos of each part."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from medssm.data.layouts.faults import Fault
from medssm.data.layouts.folders import folders_in


class Listed(NamedTuple):
    """A video that a list names.

    Attributes:
        names: of its file, without folder and ending; the first is the usual one.
        label: the number of its class, from 0.
    """

    names: tuple[str, ...]
    label: int


@dataclass
class Lists:
    """The lists of one split.

    Attributes:
        files: the lists themselves.
        classes: in the order of their numbers.
        unused: videos that are listed for neither part.
        faults: what could not be understood.
    """

    files: list[Path]
    classes: tuple[str, ...]
    training: list[Listed] = field(default_factory=list)
    validation: list[Listed] = field(default_factory=list)
    unused: list[Listed] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def parts(self) -> dict[str, list[Listed]]:
        return {"training": self.training, "validation": self.validation}


def nearby_folders(folder: Path) -> Iterator[Path]:
    """A folder, and those in it and in them: where archives leave their lists."""
    yield folder
    for child in folders_in(folder):
        yield child
        if any(word in child.name.lower() for word in ("list", "split", "annotation")):
            yield from folders_in(child)


def numbered_lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """The words of every line that has some, with its number from 1."""
    for number, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        if words := line.split():
            yield number, words
