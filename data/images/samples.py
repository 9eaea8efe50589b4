"""A million images in little memory."""

import os
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np


@dataclass(frozen=True)
class ImageSample:
    """One image and the index of its class."""

    path: Path
    label: int


class ImageSamples(Sequence[ImageSample]):
    """Images and their classes, each made an ImageSample when it is asked for.

    ImageNet's 1.28 million as objects would take most of a gigabyte, and again in every worker process: counting
    references to them copies the memory that processes share. Here the names are one block of bytes.

    Args:
        groups: (folder, names relative to it, label of each), in the order in which the images are to stand.
    """

    def __init__(self, groups: Iterable[tuple[Path, Sequence[str], Sequence[int]]] = ()) -> None:
        self._folders: list[Path] = []
        encoded: list[bytes] = []
        counts, labels = [], []
        for folder, names, own_labels in groups:
            self._folders.append(folder)
            encoded += map(os.fsencode, names)
            counts.append(len(names))
            labels.append(np.asarray(own_labels, np.int32))
        self._names = b"".join(encoded)
        self._ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
        self._folder_ends = np.cumsum(counts, dtype=np.int64)
        self.labels = np.concatenate(labels) if labels else np.empty(0, np.int32)

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> ImageSample: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[ImageSample, ...]: ...

    def __getitem__(self, index: int | slice) -> ImageSample | tuple[ImageSample, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        i = range(len(self))[index]
        start = int(self._ends[i - 1]) if i else 0
        name = os.fsdecode(self._names[start : int(self._ends[i])])
        folder = self._folders[int(np.searchsorted(self._folder_ends, i, side="right"))]
        return ImageSample(folder / name, int(self.labels[i]))

    def relabelled(self, new_labels: np.ndarray) -> "ImageSamples":
        """The same images; label k becomes new_labels[k], (classes,)."""
        samples = copy(self)
        samples.labels = new_labels[self.labels]
        return samples

    def __repr__(self) -> str:
        return f"ImageSamples({len(self)} images)"
