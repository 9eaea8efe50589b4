"""Which of the images in a folder are the slices of the scan."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from medssm.data.scans.formats.dicom.grid import normal_of
from medssm.data.scans.formats.dicom.headers import Damaged, DicomContents, Other, SliceHeader
from medssm.errors import DataError

# A scout is one to three pictures; a volume has more slices than that.
_FEWEST_SLICES = 4
# Pictures of one series are slices of one stack as long as their last pixels lie nearer than this share of a pixel to
# each other when the first ones are laid on each other: scanners write cosines and spacings with rounding of their own.
_SAME_STACK = 0.25

Stack = list[SliceHeader]


def choose_series(contents: DicomContents, folder: Path) -> tuple[Stack, tuple[str, ...]]:
    """The slices of the one series that is a volume, and sentences about what was left out.

    Localisers, pictures without a position (screenshots, dose reports) and colour pictures are no slices; beside a
    longer series, neither are up to three pictures of their own, nor within a series those that are fewer than half
    and lie in other planes (reformations).

    Raises: DataError if there is no volume, or if there are several: the message lists them; or if a file is damaged
        that may belong to it.
    """
    stacks = [stack for series in _by_series(contents.headers) for stack in _candidates(_stacks(series))]
    volumes = [stack for stack in stacks if len(stack) >= _FEWEST_SLICES] or stacks
    if not volumes:
        _refuse_damaged(contents.damaged, None)
        raise _no_volume(contents.headers, folder)
    if len(volumes) > 1:
        listed = "; ".join(map(_describe, volumes[:6]))
        advice = "give one file of the series that is meant"
        if len({header.path.parent for header in volumes[0]}) > 1:
            advice = "put the files of each into a folder of its own"
        raise DataError(f"{folder}: {len(volumes)} series could be the scan ({listed}); {advice}")
    return volumes[0], _told(contents, volumes[0], folder, contents.headers)


def series_of(wanted: Path, contents: DicomContents) -> tuple[Stack, tuple[str, ...]]:
    """The slices of the series that the file `wanted` belongs to, and what of that series was left out.

    Raises: DataError if that file is no slice of a volume.
    """
    _refuse_damaged([file for file in contents.damaged if file.path == wanted], None)
    own = next((header for header in contents.headers if header.path == wanted), None)
    series = [header for header in contents.headers if own and header.series == own.series]
    found = [stack for stack in _stacks(series) if any(header.path == wanted for header in stack)]
    if not found:
        _refuse_unplaced(series)
        raise DataError(f"{wanted}: this file is no slice of a volume; give one of the axial scan")
    largest = max(found, key=len)
    return largest, _told(contents, largest, wanted, series)


def _by_series(headers: Iterable[SliceHeader]) -> list[Stack]:
    series: dict[tuple[str, ...], Stack] = {}
    for header in headers:
        series.setdefault(header.series, []).append(header)
    return list(series.values())


def _stacks(series: Iterable[SliceHeader]) -> list[Stack]:
    """The slices of a series, apart where they differ in shape, planes or size of pixels."""
    stacks: list[Stack] = []
    for header in filter(_is_slice, series):
        fitting = next((stack for stack in stacks if _fits(header, stack[0])), None)
        if fitting is None:
            stacks.append([header])
        else:
            fitting.append(header)
    return stacks


def _candidates(stacks: list[Stack]) -> list[Stack]:
    """The stacks of a series that may be its volume: those with as many slices as half of the largest one has, and
    those beside it in the same planes, which are more than a scout or a report."""
    largest = max(stacks, key=len, default=[])
    return [
        stack
        for stack in stacks
        if 2 * len(stack) >= len(largest) or (len(stack) >= _FEWEST_SLICES and _is_parallel(stack[0], largest[0]))
    ]


def _is_slice(header: SliceHeader) -> bool:
    is_single = header.frames == 1 and header.pixels.is_grey
    return is_single and not header.is_localiser and header.position is not None and header.axes is not None


def _fits(header: SliceHeader, first: SliceHeader) -> bool:
    """Whether two slices have the same pixels in the same planes, but for rounding."""
    if header.shape != first.shape or (header.pixel_spacing is None) != (first.pixel_spacing is None):
        return False
    sizes = [np.array(slice.pixel_spacing or (1.0, 1.0))[:, None] for slice in (header, first)]
    steps = header.directions * sizes[0] - first.directions * sizes[1]
    rows, columns = header.shape
    apart = np.linalg.norm(steps, axis=1) @ (columns - 1, rows - 1)
    return bool(apart <= _SAME_STACK * sizes[1].min())


def _is_parallel(header: SliceHeader, other: SliceHeader) -> bool:
    return bool(np.linalg.norm(np.cross(normal_of(header), normal_of(other))) < 0.01)


def _refuse_unplaced(headers: Iterable[SliceHeader]) -> None:
    """Raises DataError if images, none of which is a slice, lack but their place in the body."""
    for header in headers:
        if header.frames > 1:
            raise DataError(
                f"{header.path}: multi-frame DICOM is not read where its {header.frames} frames do not say where each "
                "lies; convert it to NIfTI (dcm2niix does)"
            )


def _no_volume(headers: Sequence[SliceHeader], folder: Path) -> DataError:
    _refuse_unplaced(headers)
    series = _by_series(headers)
    for images in series:
        lacking = [name for name, value in _place(images[0]).items() if value is None]
        if lacking and len(images) >= _FEWEST_SLICES:
            return DataError(
                f"{images[0].path}: has no {' and no '.join(lacking)}, so it lies nowhere; export the series again"
            )
    found = "; ".join(map(_describe, series[:6])) or "no image at all"
    return DataError(f"{folder}: no DICOM series that is a volume ({found}); give the folder of the axial scan")


def _place(header: SliceHeader) -> dict[str, np.ndarray | None]:
    return {"ImagePositionPatient": header.position, "ImageOrientationPatient": header.axes}


def _describe(images: Stack) -> str:
    first = images[0]
    name = first.description or "no description"
    kind = ", localiser" if first.is_localiser else ""
    number = f"number {first.number}, " if first.number else ""
    return (
        f"'{name}', {number}{len(images)} images of {first.shape[1]}x{first.shape[0]}{kind}, such as {first.path.name}"
    )


def _told(contents: DicomContents, chosen: Stack, asked: Path, headers: Iterable[SliceHeader]) -> tuple[str, ...]:
    """What was left out: images of other series and of the own one, files without images, damaged ones.

    Raises: DataError if a damaged one may be a slice that is missing now.
    """
    _refuse_damaged(contents.damaged, chosen[0].series)
    kept = {id(header) for header in chosen}
    rest = [header for header in headers if id(header) not in kept]
    images = [group for series in _by_series(rest) for group in _groups(series)]
    notes = []
    if images:
        more = f" and {len(images) - 6} more" if len(images) > 6 else ""
        listed = "; ".join(map(_describe, images[:6]))
        notes.append(f"{asked}: read {_describe(chosen)}; left out {listed}{more}")
    if contents.others:
        notes.append(f"{asked}: ignored {_described_others(contents.others)}")
    if contents.damaged:
        count, first = len(contents.damaged), contents.damaged[0].path.name
        files = "damaged files" if count > 1 else "damaged file"
        notes.append(f"{asked}: left out {count} {files} of other series, such as {first}")
    remarks = {remark for header in chosen for remark in header.pixels.remarks}
    return (*notes, *(f"{asked}: {remark}" for remark in sorted(remarks)))


def _groups(images: Stack) -> list[Stack]:
    """The images of a series, apart as `_stacks` has them, then those that are no slices."""
    flat = [header for header in images if not _is_slice(header)]
    return [*_stacks(images), *([flat] if flat else [])]


def _described_others(others: Sequence[Other]) -> str:
    of_each = {other.modality: other.path.name for other in reversed(others)}
    listed = [f"{name} ({modality})" for modality, name in sorted(of_each.items(), key=lambda item: item[1])]
    files = "files that hold" if len(others) > 1 else "file that holds"
    return f"{len(others)} DICOM {files} no image, such as {', '.join(listed[:6])}"


def _refuse_damaged(damaged: Iterable[Damaged], series: tuple[str, ...] | None) -> None:
    """Raises the first error of files that may belong to the series; to any, if that is None."""
    for file in damaged:
        if series is None or file.series is None or file.series == series:
            raise file.error
