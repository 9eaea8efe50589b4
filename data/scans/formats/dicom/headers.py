"""What each DICOM file of a folder says of itself: its slices, or that it holds no image, or what is wrong with it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medssm.data.scans.formats.dicom.files import DicomFile
from medssm.data.scans.formats.dicom.parsing import Elements, cut_off, lenient, read_elements
from medssm.data.scans.formats.dicom.pixels import PixelFormat, pixel_format
from medssm.errors import DataError, GeometryError

# Storage classes whose files hold slices (PS3.4, table B.5-1): without pixels such a file is cut off. They are told
# exactly, as others begin with the same digits: MR Spectroscopy (…1.1.4.2), RT Dose (…1.1.481.2), NM (…1.1.20).
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_CT, _MR, _PET = ("2", "2.1", "2.2"), ("4", "4.1", "4.4"), ("128", "130", "128.1")
_SLICE_CLASSES = {_STORAGE + ending for ending in (*_CT, *_MR, *_PET)}
# Images that are computed from a scan and lie on its grid: dose and segmentations are no scan.
_NO_SCAN = {_STORAGE + ending for ending in ("481.2", "66.4", "66.7")}


@dataclass(frozen=True)
class SliceHeader:
    """One image: a file, or a frame of one.

    Attributes:
        file: where it lies.
        frame: which of the file's, from 0.
        frames: more than 1 in a file whose frames do not tell where each of them lies.
        series: what keeps series apart; the series' UID, or, where anonymising has blanked it, what else tells.
        patient: what else a series may not mix: the patient's identity and the frame of reference.
        description, number, modality: the series as a person knows it.
        is_localiser: the scanner says that this is a scout.
        shape: (rows, columns).
        position: of the first voxel's centre, LPS+ mm; None in a file that lies nowhere, such as a screenshot.
        axes: (2, 3), LPS+ directions in which the column index and the row index grow.
        pixel_spacing: mm per (column, row) index; None where absent.
        thickness: mm between slices as the file claims it; 0 where it does not.
        pixels: how its values are stored.
    """

    file: DicomFile
    frame: int
    frames: int
    series: tuple[str, ...]
    patient: tuple[str, ...]
    description: str
    number: str
    modality: str
    is_localiser: bool
    position: np.ndarray | None
    axes: np.ndarray | None
    pixel_spacing: tuple[float, float] | None
    thickness: float
    pixels: PixelFormat

    @property
    def path(self) -> Path:
        """Of the file, for messages."""
        return self.file.path

    @property
    def name(self) -> str:
        """Of the image, for messages: the file's, and which of its frames."""
        return self.path.name if self.pixels.frames == 1 else f"frame {self.frame + 1} of {self.path.name}"

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.pixels.shape

    @property
    def directions(self) -> np.ndarray:
        """The axes (2, 3) of a slice.

        Raises: GeometryError if it has none.
        """
        if self.axes is None:
            raise GeometryError(f"{self.path}: has no ImageOrientationPatient, so it lies nowhere; export it again")
        return self.axes


@dataclass(frozen=True)
class Other:
    """A DICOM file without an image of a body: contours, plans, doses, segmentations, reports, documents."""

    path: Path
    modality: str


@dataclass(frozen=True)
class Damaged:
    """A file that cannot be read; `series` is None where it does not even tell of which series it is."""

    path: Path
    series: tuple[str, ...] | None
    error: DataError


@dataclass(frozen=True)
class DicomContents:
    """All files of a folder."""

    headers: tuple[SliceHeader, ...]
    others: tuple[Other, ...]
    damaged: tuple[Damaged, ...]


def read_headers(files: Iterable[DicomFile]) -> DicomContents:
    """The slices in files, the files that hold none, and those that are damaged."""
    headers: list[SliceHeader] = []
    others: list[Other] = []
    damaged: list[Damaged] = []
    for file in files:
        series = None
        try:
            with lenient():
                elements = read_elements(file)
                series = _series(elements)
                if _holds_no_image(elements):
                    others.append(Other(file.path, elements.text("Modality") or "no modality"))
                else:
                    headers += _slices(elements, series)
        except DataError as error:
            damaged.append(Damaged(file.path, series if series and series[0] else None, error))
    return DicomContents(tuple(headers), tuple(others), tuple(damaged))


def series_of_images(file: DicomFile) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The series and the patient of a file with images, as its slices have them; None of another or a damaged one."""
    try:
        with lenient():
            elements = read_elements(file)
            return None if _holds_no_image(elements) else (_series(elements) or (), _patient(elements))
    except DataError:
        return None


def _patient(elements: Elements) -> tuple[str, ...]:
    return elements.text("PatientID"), elements.text("FrameOfReferenceUID")


def _series(elements: Elements) -> tuple[str, ...] | None:
    """What keeps series apart; None in a file that ends before it has said so."""
    if elements.is_cut("SeriesInstanceUID"):
        return None
    if uid := elements.text("SeriesInstanceUID"):
        return (uid,)
    return ("", *map(elements.text, ("StudyInstanceUID", "FrameOfReferenceUID", "SeriesNumber", "SeriesDescription")))


def _holds_no_image(elements: Elements) -> bool:
    """Whether a file was never meant to hold an image of a body.

    Raises: DataError if it should, but ends before the pixels.
    """
    storage = elements.text("SOPClassUID") or elements.meta.text("MediaStorageSOPClassUID")
    if elements.pixels is None and (storage in _SLICE_CLASSES or not storage):
        raise cut_off(elements.file)
    return elements.pixels is None or storage in _NO_SCAN


def _slices(elements: Elements, series: tuple[str, ...] | None) -> Iterator[SliceHeader]:
    """The image of a file, or one for each of its frames where these say where they lie.

    Raises: DataError if a value cannot be, or there is not one description a frame.
    """
    frames = elements.whole("NumberOfFrames", 1)
    if not 1 <= frames < 1 << 31:
        raise DataError(f"{elements.file.path}: NumberOfFrames is {frames}, which cannot be; export the series again")
    described = elements.items("PerFrameFunctionalGroupsSequence")
    pixels = pixel_format(elements)
    if not described:
        yield _header(elements, [elements], series, 0, frames, pixels)
        return
    if len(described) != frames:
        raise DataError(
            f"{elements.file.path}: describes {len(described)} of its {frames} frames; export the series again"
        )
    shared = elements.items("SharedFunctionalGroupsSequence")[:1]
    for frame, own in enumerate(described):
        groups = [item for group in (own, *shared) for item in _groups(group)]
        yield _header(elements, [*groups, elements], series, frame, 1, pixels)


def _groups(group: Elements) -> Iterator[Elements]:
    """The macros of a functional group that say where a frame lies and what its values mean (PS3.3, C.7.6.16)."""
    for keyword in (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
        "CTImageFrameTypeSequence",
        "MRImageFrameTypeSequence",
    ):
        yield from group.items(keyword)[:1]


def _header(
    elements: Elements,
    places: list[Elements],
    series: tuple[str, ...] | None,
    frame: int,
    frames: int,
    pixels: PixelFormat,
) -> SliceHeader:
    """The header of a frame, of which the first of `places` that has a value tells it."""

    def numbers(keyword: str) -> list[float]:
        return next(filter(None, (place.numbers(keyword) for place in places)), [])

    position, axes, pixel = map(numbers, ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"))
    types = [place.text(keyword).upper() for place in places for keyword in ("FrameType", "ImageType")]
    return SliceHeader(
        file=elements.file,
        frame=frame,
        frames=frames,
        series=series or (),
        patient=_patient(elements),
        description=elements.text("SeriesDescription"),
        number=elements.text("SeriesNumber"),
        modality=elements.text("Modality"),
        is_localiser=any("LOCALIZER" in text for text in types),
        position=np.array(position) if len(position) == 3 and frames == 1 else None,
        axes=np.reshape(axes, (2, 3)) if len(axes) == 6 else None,
        pixel_spacing=(pixel[1], pixel[0]) if len(pixel) == 2 else None,
        thickness=next(iter(numbers("SliceThickness") or numbers("SpacingBetweenSlices")), 0.0),
        pixels=pixels.rescaled(numbers("RescaleSlope"), numbers("RescaleIntercept"), elements.text("Modality")),
    )
