"""The cases of a dataset of scans, whatever layout they were found in."""

from dataclasses import dataclass
from pathlib import Path

from medssm.errors import DataError


@dataclass(frozen=True)
class ScanCase:
    """One scan, with its label map where there is one; `image` may be a DICOM folder."""

    id: str
    image: Path
    label: Path | None = None

    @property
    def reference(self) -> Path:
        """The label map of a case that has one.

        Raises: DataError if it has none.
        """
        if self.label is None:
            raise DataError(f"{self.image}: has no label map; list it among the cases to test, or add its labels")
        return self.label


@dataclass(frozen=True)
class ScanDataset:
    """The cases of a folder.

    Attributes:
        name: as the list says, else the folder's.
        folder: where it lies.
        source: the file that lists the cases, or the folder if none does.
        label_names: label value -> name, without background.
        channel_names: one per channel of an image.
    """

    name: str
    folder: Path
    source: Path
    training: tuple[ScanCase, ...]
    validation: tuple[ScanCase, ...]
    test: tuple[ScanCase, ...]
    label_names: dict[int, str]
    channel_names: tuple[str, ...] = ("CT",)

    @property
    def cases(self) -> tuple[ScanCase, ...]:
        """All cases in the order training, validation, test."""
        return self.training + self.validation + self.test
