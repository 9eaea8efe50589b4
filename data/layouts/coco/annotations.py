"""The annotations of one JSON file as arrays, mapped from disk."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

from medssm.data.layouts.coco.shapes import decoded


@dataclass(frozen=True)
class Annotations:
    """N images and their M annotations, sorted by image.

    Arrays, as a million objects would be copied into every process of a loader: this one is handed over by the name of
    its file, and its arrays are mapped from disk.

    Attributes:
        file: where the arrays lie.
        source: the JSON file.
        categories: identity -> name, by identity; a label is a position in it.
        image_ids: (N,) int64.
        names: (N, longest) uint8, the images' file names in bytes, filled up with zeros.
        sizes: (N, 2) int32, height and width in pixels.
        first: (N + 1,) int64; the annotations of image i are first[i]:first[i + 1].
        ids: (M,) int64.
        labels: (M,) int32.
        boxes: (M, 4) float64, left, top, width, height in pixels.
        areas: (M,) float64, of the shapes in pixels.
        is_crowd: (M,) bool; such a region holds many objects and is no target.
        has_shape: (M,) bool; where it is false, no mask could be made.
        counts, ends: (bytes,) uint8 and (M,) int64, the shapes' compressed run lengths and where each ends.
    """

    file: Path
    source: Path
    categories: dict[int, str]
    image_ids: np.ndarray
    names: np.ndarray
    sizes: np.ndarray
    first: np.ndarray
    ids: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    has_shape: np.ndarray
    counts: np.ndarray
    ends: np.ndarray

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return open_annotations, (self.file,)

    def __len__(self) -> int:
        return len(self.image_ids)

    def name(self, image: int) -> str:
        """The file name of an image, relative to the folder of its part."""
        return bytes(self.names[image]).rstrip(b"\0").decode()

    def of(self, image: int) -> slice:
        """The annotations of an image."""
        return slice(int(self.first[image]), int(self.first[image + 1]))

    def run_lengths(self, annotation: int) -> bytes:
        """The shape of an annotation, compressed as pycocotools takes it."""
        start = int(self.ends[annotation - 1]) if annotation else 0
        return self.counts[start : int(self.ends[annotation])].tobytes()

    def mask(self, image: int, annotation: int) -> np.ndarray:
        """The mask (H, W) uint8 of an annotation of an image."""
        height, width = (int(side) for side in self.sizes[image])
        return decoded(self.run_lengths(annotation), height, width)


def open_annotations(file: Path) -> Annotations:
    """The annotations that `read_annotations` has written to a file."""
    with safe_open(file, framework="pt") as arrays:
        metadata = arrays.metadata()
        fields = {name: arrays.get_tensor(name).numpy() for name in arrays.keys()}  # noqa: SIM118
    categories = {int(identity): name for identity, name in json.loads(metadata["categories"])}
    return Annotations(file, Path(metadata["source"]), categories, **fields)
