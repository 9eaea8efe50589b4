"""What a label map says of each organ: volume, intensity, pieces, whether it is cut off, and with what confidence."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from medssm.data.scans.label_values import label_boxes
from medssm.data.scans.volume import Volume
from medssm.files import atomic_path, json_text, spreadsheet_cell
from medssm.tasks.segmentation.pieces import pieces_of_label


@dataclass(frozen=True)
class OrganStatistics:
    """One organ of one scan; None where it has no voxel or nothing is known.

    Attributes:
        volume_ml: in millilitres.
        intensity_mean, intensity_sd: of the scan's own values (Hounsfield units for CT).
        components: pieces that do not touch each other.
        touches_border: it reaches the edge of the scan, so the volume is that of a part.
        confidence: mean probability that the network gives the label.
    """

    label: int
    name: str
    voxels: int
    volume_ml: float
    intensity_mean: float | None
    intensity_sd: float | None
    components: int
    touches_border: bool
    confidence: float | None


def organ_statistics(
    volume: Volume, labels: np.ndarray, names: Mapping[int, str], confidence: Mapping[int, float] | None = None
) -> list[OrganStatistics]:
    """Statistics of every organ in `names`, in the order of their labels.

    Args:
        labels: (X, Y, Z) uint8 on the grid of the volume.
        confidence: label value -> mean probability.
    """
    count, mean, sd = _moments(volume.array, labels)
    boxes = label_boxes(labels, max(names, default=0))
    rows = []
    for label, name in sorted(names.items()):
        box = boxes.get(label)
        rows.append(
            OrganStatistics(
                label=label,
                name=name,
                voxels=int(count[label]),
                volume_ml=float(count[label]) * volume.voxel_volume / 1000,
                intensity_mean=_or_none(mean[label]),
                intensity_sd=_or_none(sd[label]),
                components=len(pieces_of_label(labels[box], label).sizes) if box else 0,
                touches_border=box is not None and _reaches_border(box, labels.shape),
                confidence=(confidence or {}).get(label) if box else None,
            )
        )
    return rows


def volumes_ml(volume: Volume, labels: np.ndarray, names: Mapping[int, str]) -> dict[str, float]:
    """Name -> volume in millilitres, of every organ in `names`; labels (X, Y, Z) uint8."""
    count = np.zeros(256, dtype=np.int64)
    for plane in _planes(labels):
        count += np.bincount(plane.ravel(order="K"), minlength=256)
    return {name: float(count[label]) * volume.voxel_volume / 1000 for label, name in sorted(names.items())}


def write_statistics(path: str | Path, rows: Sequence[OrganStatistics], scan: str, notes: Sequence[str] = ()) -> None:
    """Writes the table as CSV, or with the suffix .json as JSON with the scan's name and what is to be known of it."""
    path = Path(path)
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        if path.suffix == ".json":
            file.write(json_text({"scan": scan, "notes": [*notes], "organs": [asdict(row) for row in rows]}))
        else:
            writer = csv.DictWriter(file, [field.name for field in fields(OrganStatistics)])
            writer.writeheader()
            writer.writerows({key: spreadsheet_cell(value) for key, value in asdict(row).items()} for row in rows)


def _planes(array: np.ndarray) -> list[np.ndarray]:
    return [array[..., k] for k in range(array.shape[2])]


def _moments(array: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels, mean and standard deviation of the intensity for each of 256 labels, plane by plane in float64.

    Background is left out, which most voxels are; labels lie in Fortran's order, as most scans do. The means are of
    the voxels that hold a number, and NaN where there are none.
    """
    count, known, total, squares = np.zeros(256), np.zeros(256), np.zeros(256), np.zeros(256)
    for plane, plane_labels in zip(_planes(array), _planes(labels), strict=True):
        index = plane_labels.ravel(order="F")
        inside = np.flatnonzero(index)
        index, values = index[inside].astype(np.intp), plane.ravel(order="F")[inside].astype(np.float64)
        count += np.bincount(index, minlength=256)
        if not np.isfinite(values).all():
            index, values = index[np.isfinite(values)], values[np.isfinite(values)]
        known += np.bincount(index, minlength=256)
        total += np.bincount(index, values, 256)
        squares += np.bincount(index, values * values, 256)
    with np.errstate(invalid="ignore"):
        mean = total / known
        return count, mean, np.sqrt(np.maximum(squares / known - mean * mean, 0))


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _reaches_border(box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    return any(part.start == 0 or part.stop == size for part, size in zip(box, shape, strict=True))
