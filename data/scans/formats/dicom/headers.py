"""What each DICOM file of a folder says of itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medssm.errors import DataError, GeometryError

# Storage classes whose files hold slices of CT, MR and PET: one that cannot be read is damaged, not something else.
_SLICE_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.128",
)


@dataclass(frozen=True)
class SliceHeader:
    """One image file of a DICOM folder.

    Attributes:
        series: what keeps series apart; the series' UID, or, where anonymising has blanked it, what else tells.
        description, number: the series as a person knows it.
        is_localiser: the scanner says that this is a scout.
        shape: (rows, columns).
        frames: more than 1 in a multi-frame file.
        position: of the first voxel's centre, LPS+ mm; None in a file that lies nowhere, such as a screenshot.
        axes: (2, 3), LPS+ directions in which the column index and the row index grow.
        pixel_spacing: mm per (column, row) index; None where absent.
        thickness: mm between slices as the file claims it; 0 where it does not.
        uid: of this image; empty where anonymising has blanked it.
    """

    path: Path
    series: tuple[str, ...]
    description: str
    number: str
    is_localiser: bool
    shape: tuple[int, int]
    frames: int
    samples: int
    position: np.ndarray | None
    axes: np.ndarray | None
    pixel_spacing: tuple[float, float] | None
    thickness: float
    uid: str

    @property
    def directions(self) -> np.ndarray:
        """The axes (2, 3) of a slice.

        Raises: GeometryError if it has none.
        """
        if self.axes is None:
            raise GeometryError(f"{self.path}: has no ImageOrientationPatient, so it lies nowhere; export it again")
        return self.axes


def read_headers(files: Iterable[Path]) -> tuple[list[SliceHeader], list[Path]]:
    """The headers of the image files, and the files that hold no image (reports, contours, plans).

    Raises: DataError if a file says that it is a slice but cannot be read as one.
    """
    headers, others = [], []
    for path in files:
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(path))
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            if _storage_class(path).startswith(_SLICE_CLASSES):
                raise DataError(f"{path}: this slice is cut off or damaged; copy or export the series again") from error
            others.append(path)
        else:
            headers.append(_header(path, reader))
    return headers, others


def _storage_class(path: Path) -> str:
    """The media storage class in a file's meta header, which is always explicit little endian; "" if there is none."""
    with open(path, "rb") as file:
        start = file.read(1024)
    _, found, rest = start.partition(b"\x02\x00\x02\x00UI")
    return rest[2 : 2 + int.from_bytes(rest[:2], "little")].rstrip(b"\0 ").decode("ascii", "replace") if found else ""


def _header(path: Path, reader: sitk.ImageFileReader) -> SliceHeader:
    def text(tag: str) -> str:
        return reader.GetMetaData(tag).strip("\0 ") if reader.HasMetaDataKey(tag) else ""

    uid, number, description = text("0020|000e"), text("0020|0011"), text("0008|103e")
    position, axes, pixel = (_numbers(path, text(tag)) for tag in ("0020|0032", "0020|0037", "0028|0030"))
    return SliceHeader(
        path=path,
        series=(uid,) if uid else ("", text("0020|000d"), text("0020|0052"), number, description),
        description=description,
        number=number,
        is_localiser="LOCALIZER" in text("0008|0008").upper(),
        shape=(reader.GetSize()[1], reader.GetSize()[0]),
        frames=int(text("0028|0008") or 1),
        samples=reader.GetNumberOfComponents(),
        position=np.array(position) if len(position) == 3 else None,
        axes=np.reshape(axes, (2, 3)) if len(axes) == 6 else None,
        pixel_spacing=(pixel[1], pixel[0]) if len(pixel) == 2 else None,
        thickness=next(iter(_numbers(path, text("0018|0050") or text("0018|0088"))), 0.0),
        uid=text("0008|0018"),
    )


def _numbers(path: Path, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split("\\")] if text else []
    except ValueError as error:
        raise DataError(f"{path}: {text!r} is no list of numbers; export the series again") from error
