"""Faults of one image: what its header and its voxels can have wrong."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medssm.data.layouts.findings import Remark
from medssm.data.scans.plausibility import ValueSummary, not_hounsfield, strange_size, summarise_values
from medssm.data.scans.volume import Volume, read_volume
from medssm.errors import DataError, GeometryError, without_path


def read_checked(path: Path) -> tuple[Volume | None, list[Remark]]:
    """The volume, or None, and what was wrong with its file or its size."""
    try:
        volume = read_volume(path)
    except GeometryError as error:
        return None, [Remark(path, "spacing", without_path(path, error))]
    except (DataError, OSError) as error:
        return None, [Remark(path, "unreadable", without_path(path, error))]
    notes = [Remark(path, "header", without_path(path, note), is_note=True) for note in volume.notes]
    strange = [Remark(path, "spacing", why) for why in (strange_size(volume),) if why]
    return volume, [*strange, *notes]


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
