"""The elements of a DICOM file up to its pixels, read by pydicom, whose exceptions end here."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import SEEK_END, BufferedReader
from math import isfinite
from typing import BinaryIO
from zipfile import BadZipFile

from pydicom import Dataset, config
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import PersonName

from medssm.data.scans.formats.dicom.files import DicomFile
from medssm.errors import DataError, one_line, quoted

# What pydicom raises for bytes that are none of DICOM, where it unpacks, decodes, looks up or counts; and zips.
UNREADABLE = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    struct.error,
    zlib.error,
    BadZipFile,
)

_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
# The groups of radiotherapy hold contours of many megabytes and nothing that a scan has.
_RADIOTHERAPY = range(0x3002, 0x3012)
_UNDEFINED = 0xFFFFFFFF
_TEXT = (str, int, float, PersonName)

_KEYWORDS = (
    "SpecificCharacterSet",
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "SeriesDescription",
    "PatientID",
    "SliceThickness",
    "SpacingBetweenSlices",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "RescaleIntercept",
    "RescaleSlope",
    "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
_WANTED = [Tag(keyword) for keyword in _KEYWORDS]


@dataclass(frozen=True)
class PixelPlace:
    """Where the pixels lie in a file: its tag, the offset of the value in bytes, and its length, None if undefined."""

    tag: int
    offset: int
    length: int | None


@dataclass(frozen=True)
class Elements:
    """The elements of a file, or of an item of a sequence in it, whose values are asked for by keyword.

    Attributes:
        file: for messages.
        pixels: where they lie; None where there are none.
        size: of the file in bytes.
    """

    file: DicomFile
    dataset: Dataset
    pixels: PixelPlace | None = None
    size: int = 0

    def text(self, keyword: str) -> str:
        """A value as one line of text, several with backslashes between them; "" where absent or no text."""
        value = self._value(keyword)
        parts = value if isinstance(value, MultiValue) else [value]
        return one_line("\\".join(str(part) for part in parts if isinstance(part, _TEXT))).strip("\0 ")

    def numbers(self, keyword: str) -> list[float]:
        """The finite numbers of a value; none where it is absent or empty.

        Raises: DataError if it is no list of numbers.
        """
        value = self._value(keyword)
        parts = value if isinstance(value, MultiValue) else [value]
        try:
            numbers = [float(part) for part in parts if part not in (None, "")]  # type: ignore[arg-type]
        except (ValueError, TypeError, OverflowError) as error:
            raise self._no_number(keyword, value) from error
        if not all(map(isfinite, numbers)):
            raise self._no_number(keyword, value)
        return numbers

    def whole(self, keyword: str, otherwise: int) -> int:
        """A whole number.

        Raises: DataError if it is none.
        """
        numbers = self.numbers(keyword)
        if not numbers:
            return otherwise
        if len(numbers) > 1 or numbers[0] != int(numbers[0]):
            raise self._no_number(keyword, self._value(keyword))
        return int(numbers[0])

    def items(self, keyword: str) -> "list[Elements]":
        """The items of a sequence; none where it is absent.

        Raises: DataError if it is damaged.
        """
        found = self._value(keyword)
        return [Elements(self.file, item) for item in found] if isinstance(found, Sequence) else []

    def is_cut(self, keyword: str) -> bool:
        """Whether a value ends before its length does, as where a file is cut off; to be asked before the value is."""
        element = self._element(keyword)
        return isinstance(element, RawDataElement) and len(element.value or b"") < element.length != _UNDEFINED

    @property
    def meta(self) -> "Elements":
        """Those of the meta header, empty where there is none."""
        return Elements(self.file, getattr(self.dataset, "file_meta", Dataset()))

    def _value(self, keyword: str) -> object:
        try:
            return self.dataset[keyword].value if keyword in self.dataset else None
        except (*UNREADABLE, OSError) as error:
            raise self._no_number(keyword, self._raw(keyword)) from error

    def _raw(self, keyword: str) -> object:
        value = getattr(self._element(keyword), "value", "unreadable")
        return value[:80].decode("latin-1") if isinstance(value, bytes) else value

    def _element(self, keyword: str) -> object:
        try:
            return self.dataset.get_item(keyword)
        except (*UNREADABLE, OSError):
            return None

    def _no_number(self, keyword: str, value: object) -> DataError:
        shown = quoted(str(value) if isinstance(value, MultiValue) else value)
        return DataError(f"{self.file.path}: {keyword} is {shown}, which cannot be; export the series again")


def read_elements(file: DicomFile) -> Elements:
    """What a file says of itself before its pixels; to be asked for within `lenient`.

    Raises: DataError if it cannot be read.
    """
    try:
        with _Bounded(file.open()) as stream:
            at_pixels = _PixelsFound(stream)
            dataset = read_partial(stream, at_pixels, force=True, specific_tags=list(_WANTED))
            return Elements(file, dataset, at_pixels.place, stream.size)
    except (*UNREADABLE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of pydicom for an item that has no tag
        raise DataError(f"{file.path}: cut off or damaged; copy or export the series again") from error


def cut_off(file: DicomFile) -> DataError:
    """The error of a slice whose pixels are not all there."""
    return DataError(f"{file.path}: this slice is cut off or damaged; copy or export the series again")


class _Bounded(BufferedReader):
    """A file of which no more is asked for than is there, whatever a length in it says."""

    name = ""  # which pydicom notes

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)  # type: ignore[arg-type]
        self.size = self.seek(0, SEEK_END)
        self.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise ValueError  # as pydicom does to inflate what `DicomFile.open` has not, for being out of order
        return super().read(min(size, max(0, self.size - self.tell())))


class _PixelsFound:
    """Ends the reading where pixels begin, and remembers where that is."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.place: PixelPlace | None = None

    def __call__(self, tag: BaseTag, vr: str | None, length: int) -> bool:
        if tag in _PIXELS:
            self.place = PixelPlace(int(tag), self.stream.tell(), None if length == _UNDEFINED else length)
            return True
        return tag >> 16 in _RADIOTHERAPY


@contextmanager
def lenient() -> Iterator[None]:
    """Lets pydicom read on where a value is strange, and print nothing: values are judged where they are used."""
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield
