"""Folders with a binary mask for each organ, as TotalSegmentator writes them: read, and joined into one label map."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medssm.data.scans.alignment import around, turned_like
from medssm.data.scans.geometry import grid_offset, is_same_grid
from medssm.data.scans.label_values import label_array, slabs
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.scans.volume import Volume, overlapping_labels, read_layers, read_volume, volume_stem
from medssm.errors import DataError, GeometryError, one_line, without_path

# A file of one of these names is a mask of an organ; the others in its folder are masks, too.
_ORGANS = (
    *BTCV_ORGANS.values(),
    *("kidney left", "kidney right", "adrenal gland left", "adrenal gland right", "oesophagus", "portal vein"),
    *("duodenum", "small bowel", "colon", "rectum", "urinary bladder", "bladder", "prostate", "uterus", "postcava"),
    *("heart", "trachea", "thyroid gland", "brainstem", "spinal cord", "sternum", "sacrum"),
    *("lung left", "lung right", "lung upper lobe left", "lung lower lobe left", "lung upper lobe right"),
    *("lung middle lobe right", "lung lower lobe right", "lungs", "kidneys", "femur left", "femur right"),
    *("hip left", "hip right", "femoral head left", "femoral head right", "parotid left", "parotid right"),
    *("mandible", "optic chiasm", "optic nerve left", "optic nerve right", "gtv", "ctv", "ptv"),
)


@dataclass(frozen=True, eq=False)
class LabelLayers:
    """Organs on one grid; a second layer holds what overlaps the first.

    Attributes:
        layers: unsigned integers (X, Y, Z) each; a label value occurs in one of them only.
        affine: (4, 4) voxel indices to RAS+ mm.
        names: label value -> name, without background; empty where the files hold none.
        path: the file or folder.
        notes: what a user should know of the reading, one sentence each.
        is_segmentation: what lies outside of the grid is background, as in a segmentation of 3D Slicer.
    """

    layers: tuple[np.ndarray, ...]
    affine: np.ndarray
    names: dict[int, str]
    path: Path
    notes: tuple[str, ...] = ()
    is_segmentation: bool = False

    @property
    def grid(self) -> Volume:
        """The grid that all layers lie on, with the voxels of the first."""
        return self._volume(self.layers[0])

    def _volume(self, layer: np.ndarray) -> Volume:
        return Volume(layer, self.affine, path=self.path, is_segmentation=self.is_segmentation)

    def turned_like(self, like: Volume) -> "LabelLayers":
        """The same with axes that run as those of `like` do; nothing is resampled.

        Raises: GeometryError if the two do not lie on one grid.
        """
        turned = [turned_like(self._volume(layer), like) for layer in self.layers]
        check_same_grid(turned[0], like)
        return replace(self, layers=tuple(volume.array for volume in turned), affine=turned[0].affine)

    def as_one(self) -> np.ndarray:
        """The label map (X, Y, Z).

        Raises: DataError if organs overlap, since a voxel of a label map has one label.
        """
        first, *others = self.layers
        for other in others:
            if overlapping := overlapping_labels(np.stack([first, other], -1)):
                shown = one_line(" and ".join(self.names.get(label) or f"label {label}" for label in overlapping), 120)
                raise DataError(
                    f"{self.path}: masks overlap ({shown}), and a label map holds one organ in a voxel; leave some out"
                )
            first = np.maximum(first, other)
        return first


def on_one_grid(first: LabelLayers, second: LabelLayers) -> tuple[LabelLayers, LabelLayers]:
    """Both label maps on the grid of the first, or, where that one is cropped to what it shows, on one that holds both.

    Raises: GeometryError if the two do not lie on one grid.
    """
    if not first.is_segmentation:
        return first, second.turned_like(first.grid)
    if not second.is_segmentation:
        return first.turned_like(second.grid), second
    grid = first.grid
    whole = around(grid, turned_like(second.grid, grid))
    return first.turned_like(whole), second.turned_like(whole)


def check_same_grid(first: Volume, second: Volume) -> None:
    """Raises GeometryError unless the two have one shape and put every voxel in the same place."""
    pair = f"{first.path} and {second.path}"
    if first.shape != second.shape:
        raise GeometryError(f"{pair}: shapes {first.shape} and {second.shape} differ; they are not one case")
    if not is_same_grid(first.shape, first.affine, second.affine):
        apart = grid_offset(first.shape, first.affine, second.affine)
        raise GeometryError(f"{pair}: their affines place a voxel {apart:.3g} mm apart; they are not on one grid")


def folded(name: str) -> str:
    """A name without what two spellings of it differ in: case, accents' encoding, punctuation, order of words.

    >>> folded("kidney_left") == folded("Left Kidney")
    True
    """
    words = re.split(r"[\W_]+", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(sorted(filter(None, words))) or name


def is_organ_name(name: str) -> bool:
    """Whether a file of this name is known to hold the mask of an organ."""
    return folded(name) in _KNOWN


_KNOWN = frozenset(map(folded, _ORGANS))


def read_label_file(path: Path) -> LabelLayers:
    """The label map of a file, with the names that it holds.

    Raises: DataError if it cannot be read or is no label map; GeometryError if its grid is impossible.
    """
    first, *others = map(labels_of, read_layers(path))
    return replace(first, layers=(*first.layers, *(layer for other in others for layer in other.layers)))


def labels_of(volume: Volume) -> LabelLayers:
    """The label map that a volume is, with the names that its file holds.

    Raises: DataError if it is no label map.
    """
    labels, notes = label_array(volume)
    names = {label: name for label, name in volume.label_names.items() if label and name.strip()}
    said = tuple(f"{volume.path}: {without_path(volume.path, note)}" for note in volume.notes)
    return LabelLayers((labels,), volume.affine, names, volume.path, (*said, *notes), volume.is_segmentation)


def case_and_organ(stem: str) -> tuple[str, str] | None:
    """What the name of a mask says that has its case before the organ; None of another name.

    >>> case_and_organ("pat1_kidney_left"), case_and_organ("liver"), case_and_organ("pat1_frame2")
    (('pat1', 'kidney_left'), None, None)
    """
    cuts = (match.start() for match in re.finditer(r"[-_. ]", stem) if match.start())
    return next(((stem[:cut], stem[cut + 1 :]) for cut in cuts if is_organ_name(stem[cut + 1 :])), None)


def read_organ_masks(files: Sequence[Path], case: str = "") -> LabelLayers:
    """Binary masks, a file for each organ, as one: labels 1, 2 ... in the order of the files, named by the files.

    Args:
        files: not empty; all on the grid of the first, perhaps turned.
        case: what stands before the organs in the names of the files.

    Raises:
        DataError: a file holds more than one label.
        GeometryError: a mask lies on another grid than the first.
    """
    first = read_volume(files[0])
    kind = np.min_scalar_type(len(files))
    layers: list[np.ndarray] = []
    notes: list[str] = [f"{files[0]}: {without_path(files[0], note)}" for note in first.notes]
    for label, path in enumerate(files, start=1):
        volume = first if label == 1 else turned_like(read_volume(path), first)
        check_same_grid(first, volume)
        values, said = label_array(Volume(volume.array, volume.affine, path=path))
        notes += said
        _check_binary(path, values)
        layer = next((layer for layer in layers if not _overlap(layer, values)), None)
        if layer is None:
            layers.append(layer := np.zeros(first.shape, kind, order="F"))
        for slab in slabs(layer):
            layer[slab][values[slab] != 0] = label
    names = {label: volume_stem(path)[len(case) :].lstrip("-_. ") for label, path in enumerate(files, start=1)}
    return LabelLayers(tuple(layers), first.affine, names, files[0].parent, tuple(notes))


def _check_binary(path: Path, values: np.ndarray) -> None:
    highest = int(values.max(initial=0))
    for slab in slabs(values):
        if ((values[slab] != 0) & (values[slab] != highest)).any():
            raise DataError(
                f"{path}: holds several labels, but its folder holds a file for each organ; give binary masks, or put "
                "label maps of cases in a folder of their own"
            )


def _overlap(layer: np.ndarray, mask: np.ndarray) -> bool:
    return any((layer[slab].astype(bool) & (mask[slab] != 0)).any() for slab in slabs(layer))
