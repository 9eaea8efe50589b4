"""Preprocessed cases on disk: the second epoch and the second run read no raw volume again.

One safetensors file per case, mapped into memory when read, so that only the voxels of a crop are fetched. The name is
a hash of everything that changes the content: the files of image and label (path, size, time of change), the
preprocessing, and the version of the code that does it.
"""

import errno
import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medssm.data.progress import tracked
from medssm.data.scans.cases import ScanCase, unlabelled
from medssm.data.scans.files_of import files_of_scan
from medssm.data.scans.network_grid import PreprocessedCase, preprocess_scan, read_scan_and_labels
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.transforms.candidates import NUM_LABELS, CropCandidates, crop_candidates
from medssm.errors import DataError
from medssm.files import atomic_path, cache_folder, remove_abandoned

# Raise this whenever the same input and preprocessing would give other voxels or other entries.
CONTENT_VERSION = 3
KEPT_UNUSED_DAYS = 60
_CHECKSUM = "crc32"

Held = TypeVar("Held", Tensor, CropCandidates)


@dataclass(frozen=True)
class CachedCase:
    """A preprocessed case with what random crops need.

    Attributes:
        id: the case's name in its dataset.
        image: (C, D, H, W) float32, mapped from disk: copy before changing it.
        label: (D, H, W) uint8, 255 where nothing is known, or None.
        affine: (4, 4) float64 from voxel to RAS+ mm.
        candidates: voxels that a crop may be centred on; None without a label.
        annotated: the label values that were drawn; None for all.
        file_counts: (256,) int64, how many voxels each label has in the case's files; None without a label.
    """

    id: str
    image: Tensor
    label: Tensor | None
    affine: np.ndarray
    candidates: CropCandidates | None
    file_counts: Tensor | None = None
    annotated: frozenset[int] | None = None

    @property
    def reference(self) -> Tensor:
        """The label map of a case that has one, (D, H, W) uint8.

        Raises: DataError if it has none, as the next two.
        """
        return self._of_labels(self.label)

    @property
    def centres(self) -> CropCandidates:
        """The candidates of a case with labels."""
        return self._of_labels(self.candidates)

    @property
    def stored_counts(self) -> Tensor:
        """The counts in the files of a case with labels, (256,) int64."""
        return self._of_labels(self.file_counts)

    def _of_labels(self, held: Held | None) -> Held:
        if held is None:
            raise unlabelled(self.id)
        return held


class PreprocessedCases(Sequence[CachedCase]):
    """The cases of a dataset on the network's grid, made at first use and kept on disk.

    Args:
        cases: what to preprocess.
        preprocessing: how.
        folder: where the files lie; by default `preprocessed` in the user's cache folder.
    """

    def __init__(self, cases: Iterable[ScanCase], preprocessing: Preprocessing, folder: Path | None = None) -> None:
        self.cases = tuple(cases)
        self.preprocessing = preprocessing
        self.folder = folder or cache_folder() / "preprocessed"

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> CachedCase:  # type: ignore[override]
        """The case, read from its cache file, which is written first if it is absent or damaged."""
        case = self.cases[index]
        path = self.path(index)
        cached = _read(path, case)
        if cached is None:
            scan, labels = read_scan_and_labels(case, self.preprocessing)
            prepared = preprocess_scan(scan, self.preprocessing, labels)
            if self.path(index) != path:
                raise DataError(f"{case.image}: it or its labels were changed while they were read; start again later")
            _write(path, prepared, labels)
            cached = _read(path, case)
        if cached is None:
            raise DataError(f"{path}: cannot be read back after writing it; check the disk or set MEDSSM_CACHE")
        return cached

    def path(self, index: int) -> Path:
        """The cache file of a case."""
        return self.folder / f"{content_key(self.cases[index], self.preprocessing)}.safetensors"

    def prepare(self) -> None:
        """Preprocesses every case that is not in the cache yet or damaged there.

        Files that nothing has used for long are dropped, and so is what killed processes left half-written.
        """
        remove_unused(self.folder)
        remove_abandoned(self.folder)
        missing = [index for index in range(len(self)) if not _is_intact(self.path(index))]
        for index in tracked(missing, len(missing), "Preprocessing"):
            self.path(index).unlink(missing_ok=True)
            self[index]


def content_key(case: ScanCase, preprocessing: Preprocessing) -> str:
    """A hash of all that decides the preprocessed voxels of a case."""
    content = {
        "version": CONTENT_VERSION,
        "preprocessing": preprocessing.model_dump(mode="json"),
        "images": [_fingerprint(file) for file in case.images],
        "labels": [_fingerprint(file) for file in case.label_files],
        "ignored": case.ignored,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def remove_unused(folder: Path, days: float = KEPT_UNUSED_DAYS) -> None:
    """Deletes the cache files that were not read for this many days."""
    oldest = time.time() - days * 86400
    for path in folder.glob("*.safetensors"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _fingerprint(path: Path) -> list[tuple[str, int, int]]:
    """Path, size and time of change of all files of a scan or label map."""
    if not path.exists():
        raise DataError(f"{path}: is not there; medssm data check lists missing files")
    states = [(file, file.stat()) for file in files_of_scan(path)]
    return [(str(file.resolve()), status.st_size, status.st_mtime_ns) for file, status in states]


def _write(path: Path, case: PreprocessedCase, labels: np.ndarray | None) -> None:
    tensors = {"image": case.image, "affine": torch.from_numpy(np.ascontiguousarray(case.affine))}
    if case.label is not None and labels is not None:
        counts = torch.from_numpy(np.bincount(labels.ravel(order="K"), minlength=NUM_LABELS))
        candidates = asdict(crop_candidates(case.body, case.label))
        tensors |= {"label": case.label, "file_counts": counts, **candidates}
    try:
        with atomic_path(path, is_private=True) as temporary:
            save_file(tensors, temporary, metadata={_CHECKSUM: _checksum(tensors)})
    except (OSError, SafetensorError) as error:
        if not _is_disk_full(error):
            raise
        need = sum(tensor.nbytes for tensor in tensors.values()) / 2**20
        raise DataError(
            f"{path.parent}: the disk is full and a preprocessed case needs {need:.0f} MiB; "
            "free space there or set MEDSSM_CACHE to another disk"
        ) from error


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 of the tensors' bytes in the order of their names: it is to find damage, not forgery."""
    value = 0
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name].contiguous().view(-1).numpy().data.cast("B"), value)
    return f"{value:08x}"


def _is_intact(path: Path) -> bool:
    """Whether a cache file holds what was written to it; reads all of it."""
    try:
        with safe_open(path, framework="pt") as file:
            noted = (file.metadata() or {}).get(_CHECKSUM)
            return noted == _checksum({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (FileNotFoundError, SafetensorError):
        return False


def _is_disk_full(error: Exception) -> bool:
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)


def _read(path: Path, case: ScanCase) -> CachedCase | None:
    """The cached case, or None where its file is absent or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
        os.utime(path)
        label = tensors.get("label")
        candidates = None
        if label is not None:
            candidates = CropCandidates(tensors["organs"], tensors["organ_counts"], tensors["background"])
        counts = tensors.get("file_counts")
        affine = tensors["affine"].numpy()
        return CachedCase(case.id, tensors["image"], label, affine, candidates, counts, case.annotated)
    except (FileNotFoundError, SafetensorError, KeyError):
        return None
