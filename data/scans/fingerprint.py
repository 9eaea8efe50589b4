"""What is to be known of a dataset of scans before a training is planned: grids, values, and how much of each label."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from medssm.data.progress import tracked
from medssm.data.scans.cache import content_key
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.geometry import spacing_of
from medssm.data.scans.label_values import label_counts
from medssm.data.scans.labelled import IGNORED, read_labels
from medssm.data.scans.network_grid import to_ras
from medssm.data.scans.plausibility import not_hounsfield, summarise_values
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.scan import Scan, read_scan
from medssm.files import atomic_path, cache_folder

# Raise this whenever the same files would give other numbers.
_VERSION = 1
_SAMPLED = 4000  # labelled voxels of a case whose values are kept


class CaseFingerprint(BaseModel):
    """One case.

    Attributes:
        shape, spacing: (x, y, z) of its axes turned to the right, the front and the head; in voxels and mm.
        foreground: for each channel values of labelled voxels, evenly spread over them.
        strange: for each channel why its values are no Hounsfield units; "" if they may well be.
        voxels: label value -> voxels, without background.
    """

    model_config = ConfigDict(frozen=True)

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    foreground: tuple[tuple[float, ...], ...]
    strange: tuple[str, ...]
    voxels: dict[int, int]

    @property
    def voxel_volume(self) -> float:
        """In mm^3."""
        return float(np.prod(self.spacing))


def fingerprints(dataset: ScanDataset, cases: Sequence[ScanCase]) -> list[CaseFingerprint]:
    """Those of some labelled cases of a dataset, each read once and kept in the cache.

    Raises: DataError or GeometryError for a case that cannot be read.
    """

    def one(case: ScanCase) -> CaseFingerprint:
        return _kept(case) or _made(case, dataset.channel_names)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(tracked(pool.map(one, cases), len(cases), "Reading"))


def _kept(case: ScanCase) -> CaseFingerprint | None:
    try:
        return CaseFingerprint.model_validate_json(_path(case).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _made(case: ScanCase, channel_names: Sequence[str]) -> CaseFingerprint:
    scan = read_scan(case.images, channel_names or [""] * len(case.images))
    found = fingerprint_of(scan, read_labels(case, scan.first))
    with atomic_path(_path(case), is_private=True) as temporary:
        temporary.write_text(found.model_dump_json(), encoding="utf-8")
    return found


def fingerprint_of(scan: Scan, labels: np.ndarray) -> CaseFingerprint:
    """That of a scan and its labels (X, Y, Z) uint8, 255 where nothing is known."""
    array, affine = to_ras(labels, scan.first.affine)
    x, y, z = array.shape
    places = np.flatnonzero((labels.ravel(order="K") != 0) & (labels.ravel(order="K") != IGNORED))
    chosen = np.unravel_index(places[:: max(1, len(places) // _SAMPLED)], labels.shape, order=_order(labels))
    return CaseFingerprint(
        shape=(x, y, z),
        spacing=spacing_of(affine),
        foreground=tuple(_finite(array[chosen]) for array in scan.arrays),
        strange=tuple(not_hounsfield(summarise_values(v.array), v.modality) for v in scan.channels),
        voxels={label: count for label, count in label_counts(labels).items() if label not in (0, IGNORED)},
    )


def _order(labels: np.ndarray) -> Any:
    return "F" if labels.flags.f_contiguous else "C"


def _finite(values: np.ndarray) -> tuple[float, ...]:
    known = values.astype(np.float64)
    return tuple(known[np.isfinite(known)].tolist())


def _path(case: ScanCase) -> Path:
    key = hashlib.sha256(f"{_VERSION} {content_key(case, Preprocessing())}".encode()).hexdigest()[:32]
    return cache_folder() / "fingerprints" / f"{key}.json"
