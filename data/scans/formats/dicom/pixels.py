"""How the pixels of a slice are stored, and their values: decoded frames, rescaled.

Native pixels are read here. Compressed ones are decoded by GDCM from a file of our own that holds the frame and nothing
else, so that it can only decode: left to itself it would invert MONOCHROME1.
"""

import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from medssm.data.scans.formats.dicom.parsing import UNREADABLE, Elements, PixelPlace, cut_off
from medssm.errors import DataError, quoted

if TYPE_CHECKING:
    from medssm.data.scans.formats.dicom.headers import SliceHeader

_PIXEL_DATA = 0x7FE00010
_ITEM, _END = 0xFFFEE000, 0xFFFEE0DD
# What a compressed frame may decode to, in bytes: whatever real slices need, and no bomb.
_FREE, _MOST_TIMES = 4 << 20, 1000
# The brightest that a body can be: in a CT, padding beyond is none of it (metal saturates at 3071 HU in 12 bits).
_BRIGHTEST, _AIR = 3071, -1000
# "" without a meta header.
_NATIVE = (
    "",
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
_TABLE = "beware: its table of values (ModalityLUTSequence) was not applied"
_SECONDARY_CAPTURE = UID("1.2.840.10008.5.1.4.1.1.7")


@dataclass(frozen=True)
class PixelFormat:
    """How the pixels of a file are stored and what their values mean (PS3.5, section 8; PS3.3, C.7.6.3 and C.11.1).

    A slice's values are slope * stored + intercept, in CT Hounsfield units. The photometric interpretation does not
    enter: that MONOCHROME1 shows the lowest value as white concerns how a value is drawn after all other steps
    (PS3.3, C.7.6.3.1.2), not what it is.

    Attributes:
        shape: (rows, columns).
        is_grey: a pixel has one value, and that is no index into a palette.
        place: of the value in the file, which holds all frames.
        syntax: the transfer syntax's UID.
        allocated, stored, high_bit: bits of a pixel, those that count, and where the highest of these is.
        padding: the stored value, as unsigned bits, outside of the image; None where there is none.
        remarks: what is unusual, one sentence's part each.
    """

    shape: tuple[int, int]
    frames: int
    samples: int
    is_grey: bool
    place: PixelPlace
    syntax: str
    allocated: int
    stored: int
    high_bit: int
    is_signed: bool
    padding: int | None
    remarks: tuple[str, ...]
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def frame_bytes(self) -> int:
        """Of one frame when it is not compressed."""
        return self.shape[0] * self.shape[1] * self.samples * self.allocated // 8

    def rescaled(self, slope: list[float], intercept: list[float], modality: str) -> "PixelFormat":
        """The format of a frame whose header gives a slope and an intercept, each as a list of one or none."""
        remarks = (*self.remarks, *_remarks(slope, intercept, modality))
        known = slope[0] if slope and slope[0] else 1.0
        return replace(self, slope=known, intercept=intercept[0] if intercept else 0.0, remarks=remarks)


def pixel_format(elements: Elements) -> PixelFormat:
    """The format of a file's pixels, which are all there, without rescaling.

    Raises: DataError if the header contradicts itself, or the file is cut off.
    """
    path, place = elements.file.path, elements.pixels
    assert place is not None
    allocated = elements.whole("BitsAllocated", 16)
    stored = elements.whole("BitsStored", allocated)
    found = PixelFormat(
        shape=(elements.whole("Rows", 0), elements.whole("Columns", 0)),
        frames=elements.whole("NumberOfFrames", 1),
        samples=(samples := elements.whole("SamplesPerPixel", 1)),
        is_grey=samples == 1 and elements.text("PhotometricInterpretation") != "PALETTE COLOR",
        place=place,
        syntax=elements.meta.text("TransferSyntaxUID"),
        allocated=allocated,
        stored=stored,
        high_bit=elements.whole("HighBit", stored - 1),
        is_signed=elements.whole("PixelRepresentation", 0) == 1,
        padding=_padding(elements, allocated),
        remarks=(_TABLE,) if elements.items("ModalityLUTSequence") else (),
    )
    if min(*found.shape, found.samples) < 1 or max(found.shape) > 0xFFFF or found.samples > 4:
        rows, columns = found.shape
        raise DataError(f"{path}: {columns}x{rows} pixels of {found.samples} values cannot be; export the series again")
    if place.tag == _PIXEL_DATA and not (allocated in (1, 8, 16, 32) and 0 < stored <= allocated):
        raise DataError(
            f"{path}: {stored} of {allocated} bits a pixel cannot be, or are not read; export the series again"
        )
    if found.samples == 1:
        _check_complete(elements, found)
    return found


def _padding(elements: Elements, allocated: int) -> int | None:
    found = elements.numbers("PixelPaddingValue")[:1]
    return int(found[0]) & ((1 << allocated) - 1) if found else None


def _remarks(slope: list[float], intercept: list[float], modality: str) -> Iterator[str]:
    if slope and slope[0] == 0:
        yield "RescaleSlope is 0, which was taken as 1"
    if intercept and not slope:
        yield "RescaleSlope is missing, which was taken as 1"
    if modality == "CT" and not intercept:
        yield "RescaleIntercept is missing, so the stored values were taken as Hounsfield units"


def _check_complete(elements: Elements, pixels: PixelFormat) -> None:
    """Raises DataError if the pixels end before they should."""
    place = pixels.place
    try:
        if place.length is None:
            with elements.file.open() as stream:
                compressed = _bytes_of_items(stream, place.offset, elements.size)
            is_there = pixels.frame_bytes * pixels.frames <= _FREE + _MOST_TIMES * compressed
        else:
            is_there = pixels.frame_bytes * pixels.frames <= place.length and (
                place.offset + place.length <= elements.size
            )
    except (ValueError, struct.error):
        is_there = False
    if not is_there:
        raise cut_off(elements.file)


def _bytes_of_items(stream: BinaryIO, offset: int, size: int) -> int:
    """The bytes of all items of an encapsulated value (PS3.5, section A.4).

    Raises: ValueError or struct.error if one is cut off, or the value has no end.
    """
    stream.seek(offset)
    total = 0
    while True:
        group, element, length = struct.unpack("<HHL", stream.read(8))
        if (tag := group << 16 | element) == _END:
            return total
        if tag != _ITEM or stream.tell() + length > size:
            raise ValueError
        total += length
        stream.seek(length, 1)


def read_pixels(header: "SliceHeader") -> np.ndarray:
    """The values of a slice, (rows, columns), rescaled: whole numbers stay whole.

    Raises: DataError if they cannot be decoded.
    """
    pixels = header.pixels
    if pixels.place.tag != _PIXEL_DATA or pixels.allocated == 1:
        raise DataError(f"{header.path}: its pixels are no grey values of whole numbers; export the series again")
    try:
        with header.file.open() as stream:
            stored = _native(header, stream) if pixels.place.length is not None else _compressed(header, stream)
    except (*UNREADABLE, RuntimeError) as error:
        how = quoted(pixels.syntax)
        raise DataError(
            f"{header.path}: the pixels of this slice cannot be decoded (transfer syntax {how}); export the series "
            "again"
        ) from error
    values = _rescaled(_counted_bits(stored, pixels), pixels)
    if pixels.padding is not None and header.modality == "CT":
        is_padding = _unsigned(stored, pixels) == pixels.padding
        return np.where(is_padding & (values > _BRIGHTEST), np.asarray(_AIR, values.dtype), values)
    return values


def _native(header: "SliceHeader", stream: BinaryIO) -> np.ndarray:
    pixels = header.pixels
    if pixels.syntax not in _NATIVE:
        raise ValueError
    stream.seek(pixels.place.offset + header.frame * pixels.frame_bytes)
    order = ">" if pixels.syntax == ExplicitVRBigEndian else "<"
    kind = np.dtype(f"{order}u{pixels.allocated // 8}")
    return np.frombuffer(stream.read(pixels.frame_bytes), kind).reshape(pixels.shape).astype(kind.newbyteorder("="))


def _compressed(header: "SliceHeader", stream: BinaryIO) -> np.ndarray:
    pixels = header.pixels
    stream.seek(pixels.place.offset)
    with warnings.catch_warnings(), TemporaryDirectory(prefix="medssm-") as folder:
        warnings.simplefilter("ignore")
        path = Path(folder) / "frame.dcm"
        _write_frame(path, get_frame(stream, header.frame, number_of_frames=pixels.frames), pixels)
        stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
    return stored.reshape(pixels.shape)


def _write_frame(path: Path, frame: bytes, pixels: PixelFormat) -> None:
    """A file that holds a compressed frame and what is needed to decode it."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = _SECONDARY_CAPTURE, "1.2"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = pixels.allocated, pixels.stored, pixels.stored - 1
    dataset.PixelRepresentation = int(pixels.is_signed)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(pixels.syntax)
    dcmwrite(path, dataset, enforce_file_format=True)


def _unsigned(stored: np.ndarray, pixels: PixelFormat) -> np.ndarray:
    """All bits of a pixel as a number, in a type that holds more of them."""
    wide = stored.astype(np.int32) if pixels.allocated <= 16 else stored.astype(np.int64)
    return wide & ((1 << pixels.allocated) - 1)


def _counted_bits(stored: np.ndarray, pixels: PixelFormat) -> np.ndarray:
    """The values without what lies in the bits around them, such as overlays; (rows, columns)."""
    lowest = max(0, pixels.high_bit + 1 - pixels.stored) if pixels.high_bit < pixels.allocated else 0
    if pixels.place.length is None:
        lowest = 0  # a decoder hands values back, not bits
    values = (_unsigned(stored, pixels) >> lowest) & ((1 << pixels.stored) - 1)
    sign = 1 << (pixels.stored - 1)
    return (values ^ sign) - sign if pixels.is_signed else values


def _rescaled(values: np.ndarray, pixels: PixelFormat) -> np.ndarray:
    """slope * values + intercept: whole numbers where both are whole and small enough to be exact, else float32."""
    slope, intercept = pixels.slope, pixels.intercept
    if slope == int(slope) and intercept == int(intercept) and max(abs(slope), abs(intercept)) < 1 << 20:
        return (values if slope == 1 else values.astype(np.int64) * int(slope)) + int(intercept)
    with np.errstate(over="ignore"):
        return (values * slope + intercept).astype(np.float32)
