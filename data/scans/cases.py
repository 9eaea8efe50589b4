"""The cases of a dataset of scans, whatever layout they were found in."""

from dataclasses import dataclass
from pathlib import Path

from medssm.errors import DataError


def unlabelled(case: object) -> DataError:
    """The error of a case without labels where some are needed."""
    return DataError(f"{case}: has no label map; list it among the cases to test, or add its labels")


@dataclass(frozen=True)
class ScanCase:
    """One scan, with its labels where there are any.

    Attributes:
        image: a file, or a DICOM folder; of its first channel, or of all where one file holds them.
        annotated: the label values that were drawn in this case; None for all that the dataset names. What has another
            one is labelled 0 as well, so that 0 does not say that nothing is there.
        further: a file for each of the other channels, in the dataset's order.
        label: a label map, or the folder with the masks.
        masks: binary masks of the labels 1, 2 ... in this order; empty where one file holds all labels.
        ignored: the label value of voxels of which nothing is known; None if there are none.
        patient: whose scan it is, as the list says; "" where the names of the files tell.
        fold: the fold in which it validates, as the list says; None where it says nothing.
    """

    id: str
    image: Path
    label: Path | None = None
    masks: tuple[Path, ...] = ()
    ignored: int | None = None
    patient: str = ""
    fold: int | None = None
    further: tuple[Path, ...] = ()
    annotated: frozenset[int] | None = None

    @property
    def images(self) -> tuple[Path, ...]:
        """The files with its voxels, one for each channel or one for all."""
        return (self.image, *self.further)

    @property
    def reference(self) -> Path:
        """The label map of a case that has one.

        Raises: DataError if it has none.
        """
        if self.label is None:
            raise unlabelled(self.image)
        return self.label

    @property
    def label_files(self) -> tuple[Path, ...]:
        """The files with its labels; none for a case to test."""
        return self.masks or ((self.label,) if self.label else ())


@dataclass(frozen=True)
class ScanDataset:
    """The cases of a folder.

    Attributes:
        name: as the list says, else the folder's.
        folder: where it lies.
        source: the file that lists the cases, or the folder if none does.
        label_names: label value -> name, without background.
        channel_names: one per channel of an image; empty where nothing says what the images are.
        unused: files beside the cases that belong to none of them.
    """

    name: str
    folder: Path
    source: Path
    training: tuple[ScanCase, ...]
    validation: tuple[ScanCase, ...]
    test: tuple[ScanCase, ...]
    label_names: dict[int, str]
    channel_names: tuple[str, ...] = ()
    unused: tuple[Path, ...] = ()

    @property
    def cases(self) -> tuple[ScanCase, ...]:
        """All cases in the order training, validation, test."""
        return self.training + self.validation + self.test
