"""Which of the series in a folder is the scan."""

from collections.abc import Sequence
from pathlib import Path

from medssm.data.scans.formats.dicom.headers import SliceHeader
from medssm.errors import DataError

# A scout is one to three pictures; a volume has more slices than that.
_FEWEST_SLICES = 4

Series = list[SliceHeader]


def choose_series(headers: Sequence[SliceHeader], folder: Path) -> tuple[Series, tuple[str, ...]]:
    """The slices of the one series that is a volume, and a sentence about what was left out.

    Localisers, pictures without a position (screenshots, dose reports) and colour pictures are no slices; beside a
    longer series, neither are up to three pictures of their own.

    Raises: DataError if there is no volume, or if there are several: the message lists them.
    """
    series = _by_series(headers)
    stacks = [stack for stack in map(_slices, series) if stack]
    volumes = [stack for stack in stacks if len(stack) >= _FEWEST_SLICES] or stacks
    if not volumes:
        _check_single_frames(headers)
        found = "; ".join(map(_describe, series)) or "no image at all"
        raise DataError(f"{folder}: no DICOM series that is a volume ({found}); give the folder of the axial scan")
    if len(volumes) > 1:
        listed = "; ".join(map(_describe, volumes))
        raise DataError(
            f"{folder}: {len(volumes)} series could be the scan ({listed}); give one file of the series that is meant"
        )
    return volumes[0], _left_out(headers, volumes[0], folder)


def series_of(wanted: Path, headers: Sequence[SliceHeader]) -> tuple[Series, tuple[str, ...]]:
    """The slices of the series that the file `wanted` belongs to, and what of that series was left out.

    Raises: DataError if that file is no slice of a volume.
    """
    own = next((header for header in headers if header.path == wanted), None)
    series = [header for header in headers if own and header.series == own.series]
    stack = _slices(series)
    if not stack:
        _check_single_frames(series)
        raise DataError(f"{wanted}: this file is no slice of a volume; give one of the axial scan")
    return stack, _left_out(series, stack, wanted)


def _by_series(headers: Sequence[SliceHeader]) -> list[Series]:
    series: dict[tuple[str, ...], Series] = {}
    for header in headers:
        series.setdefault(header.series, []).append(header)
    return list(series.values())


def _slices(series: Series) -> Series:
    return [header for header in series if _is_slice(header)]


def _is_slice(header: SliceHeader) -> bool:
    is_single = header.frames == 1 and header.samples == 1
    return is_single and not header.is_localiser and header.position is not None and header.axes is not None


def _check_single_frames(headers: Sequence[SliceHeader]) -> None:
    """Raises DataError if one of the files, none of which is a slice, holds many of them."""
    if multi := next((header for header in headers if header.frames > 1), None):
        raise DataError(f"{multi.path}: multi-frame DICOM is not read; convert it to NIfTI (dcm2niix does)")


def _describe(series: Series) -> str:
    first = series[0]
    name = first.description or "no description"
    kind = ", localiser" if first.is_localiser else ""
    number = f"number {first.number}, " if first.number else ""
    return (
        f"'{name}', {number}{len(series)} images of {first.shape[1]}x{first.shape[0]}{kind}, such as {first.path.name}"
    )


def _left_out(headers: Sequence[SliceHeader], chosen: Series, asked: Path) -> tuple[str, ...]:
    kept = {header.path for header in chosen}
    others = _by_series([header for header in headers if header.path not in kept])
    if not others:
        return ()
    return (f"{asked}: read {_describe(chosen)}; left out {'; '.join(map(_describe, others))}",)
