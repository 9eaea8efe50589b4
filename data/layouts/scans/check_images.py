"""Faults of one image: what its header and its voxels can have wrong."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from medssm.data.layouts.findings import Remark
from medssm.data.scans.cases import ScanCase
from medssm.data.scans.plausibility import ValueSummary, not_hounsfield, strange_size, summarise_values
from medssm.data.scans.scan import Scan, with_all_channels
from medssm.data.scans.volume import Volume, read_volume, read_volumes
from medssm.errors import DataError, GeometryError, without_path


def read_checked(path: Path) -> tuple[Volume | None, list[Remark]]:
    """The volume, or None, and what was wrong with its file or its size."""
    volumes, findings = _read_checked(path, partial(_read_one, path))
    return (volumes[0] if volumes else None), findings


def scan_checked(case: ScanCase, names: Sequence[str]) -> tuple[Scan | None, list[Remark]]:
    """The channels of a case whose files are there, or None, and what was wrong with any of them.

    Args:
        names: of the dataset's channels; none where nothing names them, which are as many as there are files.
    """
    findings: list[Remark] = []
    volumes: list[Volume] = []
    holds_all = len(case.images) == 1 and len(names) > 1
    for path in case.images:
        found, remarks = _read_checked(path, partial(read_volumes if holds_all else _read_one, path))
        volumes += found
        findings += remarks
    if len(volumes) < len(case.images):
        return None, findings
    try:
        scan = Scan.of(*(with_all_channels(volumes, names) if names else volumes))
    except (DataError, GeometryError) as error:
        return None, [*findings, Remark(case.image, "channels", without_path(case.image, error))]
    own = {note for volume in volumes for note in volume.notes}
    other = (note for note in scan.notes if note not in own)
    return scan, [*findings, *(Remark(case.image, "channels", note, is_note=True) for note in other)]


def _read_one(path: Path) -> list[Volume]:
    return [read_volume(path)]


def _read_checked(path: Path, read: Callable[[], list[Volume]]) -> tuple[list[Volume], list[Remark]]:
    try:
        volumes = read()
    except GeometryError as error:
        return [], [Remark(path, "spacing", without_path(path, error))]
    except (DataError, OSError) as error:
        return [], [Remark(path, "unreadable", without_path(path, error))]
    notes = [Remark(path, "header", without_path(path, note), is_note=True) for note in volumes[0].notes]
    strange = [Remark(path, "spacing", why) for why in (strange_size(volumes[0]),) if why]
    return volumes, [*strange, *notes]


@dataclass(frozen=True)
class VoxelStatistics:
    """What the voxels of an image tell.

    Attributes:
        digest: a hash of the values, whatever type stores them.
    """

    values: ValueSummary
    digest: str


def voxel_statistics(array: np.ndarray) -> VoxelStatistics:
    """The values of an image (X, Y, Z) and their hash, slice by slice."""
    digest = hashlib.blake2b(repr(array.shape).encode(), digest_size=16)
    for k in range(array.shape[2]):
        digest.update(np.asarray(array[..., k], np.float32).tobytes(order="F"))
    return VoxelStatistics(summarise_values(array), digest.hexdigest())


def check_image(path: Path, statistics: VoxelStatistics, modality: str = "", is_ct: bool = True) -> Iterator[Remark]:
    """NaN, infinity, nothing in the picture, or values of what should be a CT that are no Hounsfield units.

    Args:
        modality: that the scan's header names, such as "MR"; "" where it names none.
    """
    values = statistics.values
    if values.not_finite:
        yield Remark(
            path,
            "not-finite",
            f"{values.not_finite} voxels are NaN or infinite; replace them, or export the scan again",
        )
    if values.lowest >= values.highest:
        value = f"every voxel is {values.lowest:g}" if values.lowest < np.inf else "no voxel is a number"
        yield Remark(path, "constant", f"{value}; export the scan again")
    elif is_ct and (strange := not_hounsfield(values, modality)):
        advice = "give the training an intensity window of its own (--set data.preprocessing.intensity=[low,high])"
        yield Remark(path, "intensity", f"{strange}; {advice}", is_note=True)
