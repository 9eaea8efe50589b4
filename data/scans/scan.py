"""A scan of one or several channels: volumes of one body on one grid, that of the first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medssm.data.scans.formats.voxels import times
from medssm.data.scans.geometry import is_same_grid
from medssm.data.scans.volume import Volume, read_volume, read_volumes
from medssm.errors import DataError, GeometryError, UsageError

# The least share of the first channel's grid that another channel must cover to be of the same part of the body.
_COVERED = 0.5
_PLANES_AT_ONCE = 16


@dataclass(frozen=True)
class Scan:
    """The channels of a scan in the order in which a network takes them, all on the grid of the first.

    Attributes:
        channels: at least one.
        notes: what a user should know of the reading of any of them.
    """

    channels: tuple[Volume, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, *volumes: Volume) -> "Scan":
        """The scan of these channels; those on another grid are resampled onto that of the first, with a note.

        Raises: GeometryError if a channel covers less than half of the first one's grid.
        """
        first, *others = volumes
        notes, channels = list(first.notes), [first]
        for volume in others:
            notes += volume.notes
            if volume.shape != first.shape or not is_same_grid(first.shape, first.affine, volume.affine):
                notes.append(f"{volume.path}: lies on another grid than {first.path.name} and is resampled onto that")
                volume = _resampled(volume, first)
            channels.append(volume)
        return cls(tuple(channels), tuple(dict.fromkeys(notes)))

    @property
    def first(self) -> Volume:
        """The channel whose geometry an output has."""
        return self.channels[0]

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """(X, Y, Z) of each channel."""
        return tuple(channel.array for channel in self.channels)


def read_scan(files: Sequence[Path], names: Sequence[str], *, fill_gaps: bool = False) -> Scan:
    """The scan in some files: one for each channel, or one that holds all of them.

    Args:
        names: of the channels that there must be.
        fill_gaps: as for `read_volume`.

    Raises: what `read_volume` and `Scan.of` raise; DataError if the channels are more or fewer than the names.
    """
    if len(names) == 1 and len(files) == 1:
        return Scan.of(read_volume(files[0], fill_gaps=fill_gaps))
    if len(files) > 1:
        volumes = [read_volume(file, fill_gaps=fill_gaps) for file in files]
    else:
        volumes = read_volumes(files[0], fill_gaps=fill_gaps)
    return Scan.of(*with_all_channels(volumes, names))


def with_all_channels(volumes: Sequence[Volume], names: Sequence[str]) -> Sequence[Volume]:
    """The volumes themselves.

    Raises: DataError if they are not as many as the channels' names.
    """
    if len(volumes) != len(names):
        found = "1 channel" if len(volumes) == 1 else f"{len(volumes)} channels"
        raise DataError(
            f"{volumes[0].path}: has {found}, where {len(names)} are needed ({', '.join(names)}); give all of them, "
            "in this order"
        )
    return volumes


def in_order_of(names: Sequence[str], files: Mapping[str, Path]) -> list[Path]:
    """The file of each channel in the order of the names, whatever the case of their letters.

    Raises: UsageError if a channel has no file, or a file no channel.
    """
    by_name = {name.casefold(): file for name, file in files.items()}
    wanted = [name.casefold() for name in names]
    missing = [name for name in names if name.casefold() not in by_name]
    unknown = [name for name in files if name.casefold() not in wanted]
    if missing or unknown:
        fault = f"{unknown[0]!r} is none of them" if unknown else f"{missing[0]!r} has no file"
        raise UsageError(f"channel {fault}: the network's channels are {', '.join(names)}; give a file for each")
    return [by_name[name] for name in wanted]


def _resampled(volume: Volume, like: Volume) -> Volume:
    """The volume on another grid by trilinear interpolation, its edge values outside; float32, slab by slab."""
    from scipy import ndimage  # takes a third of a second to import, and most scans need none of it

    to_voxel = np.linalg.solve(volume.affine, like.affine)
    _refuse_elsewhere(volume, like, to_voxel)
    array = np.empty(like.shape, np.float32, order="F")
    source = np.asarray(volume.array, np.float32)
    for start in range(0, like.shape[2], _PLANES_AT_ONCE):
        planes = slice(start, min(start + _PLANES_AT_ONCE, like.shape[2]))
        offset = to_voxel[:3, 3] + to_voxel[:3, 2] * start
        shape = (*like.shape[:2], planes.stop - start)
        array[:, :, planes] = ndimage.affine_transform(
            source, to_voxel[:3, :3], offset, output_shape=shape, order=1, mode="nearest"
        )
    return replace(volume, array=array, affine=like.affine, header=None)


def _refuse_elsewhere(volume: Volume, like: Volume, to_voxel: np.ndarray) -> None:
    """Raises GeometryError if the volume is of another part of the body than the grid it is to lie on."""
    places = np.stack(np.meshgrid(*(np.linspace(0, size - 1, 16) for size in like.shape)), axis=-1).reshape(-1, 3)
    there = places @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    inside = np.all((there >= -0.5) & (there <= np.array(volume.shape) - 0.5), axis=1).mean()
    if inside < _COVERED:
        raise GeometryError(
            f"{volume.path}: covers {inside:.0%} of the grid of {like.path.name} ({times(like.shape)} voxels), so the "
            "two are not of the same part of a body; give channels that were registered to each other"
        )
