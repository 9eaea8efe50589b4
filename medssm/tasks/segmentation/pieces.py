"""Pieces of a label that do not touch, slab by slab: the numbers of all voxels of a whole body would fill memory."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from medssm.data.scans.label_values import slabs

# Voxels that touch by a face, an edge or a corner are one piece; what leaks out of a hole does so through a face.
TOUCHING = np.ones((3, 3, 3), dtype=bool)
BY_FACES = np.abs(np.indices((3, 3, 3)) - 1).sum(axis=0) < 2

# Bytes for each voxel of a slab while its pieces are numbered and counted.
BYTES_OF_VOXEL = 24

Slab = tuple[slice, ...]
Part = Callable[[np.ndarray], np.ndarray]


class Pieces(NamedTuple):
    """The pieces of a part of a label map.

    Attributes:
        labels: (X, Y, Z), perhaps the box around an organ.
        part: tells of the labels of a slab which voxels belong to the part, boolean.
        touching: (3, 3, 3) boolean, which neighbours of a voxel are one with it.
        piece_of: (1 + n,) int32, a number within a slab, counted on from slab to slab, to the number of the whole
            piece from 1; 0 to 0.
        sizes: (count,) int64, the voxels of each piece.
    """

    labels: np.ndarray
    part: Part
    touching: np.ndarray
    piece_of: np.ndarray
    sizes: np.ndarray

    def numbers(self) -> Iterator[tuple[Slab, np.ndarray]]:
        """Each slab, and for its voxels the number of their piece, 0 for none; labels gone by may be changed."""
        for slab, numbers, before in _numbered(self.labels, self.part, self.touching):
            here = self.piece_of[before : before + int(numbers.max(initial=0)) + 1].copy()
            here[0] = 0
            yield slab, here[numbers]

    def voxels(self, where: Callable[[Slab], np.ndarray]) -> np.ndarray:
        """How many voxels each piece has, (count,) int64, of those that `where` tells of a slab."""
        total = np.zeros(len(self.sizes) + 1, np.int64)
        for slab, numbers in self.numbers():
            total += np.bincount(numbers[where(slab)], minlength=len(total))
        return total[1:]


def find_pieces(labels: np.ndarray, part: Part, touching: np.ndarray = TOUCHING) -> Pieces:
    """The pieces of the part of a label map (X, Y, Z) that `part` tells."""
    last = None
    joined: list[np.ndarray] = []
    sizes = [np.zeros(1, np.int64)]
    for slab, numbers, before in _numbered(labels, part, touching):
        sizes.append(np.bincount(numbers.ravel(order="K"))[1:])
        axis = len(slab) - 1  # slabs follow one another along this axis
        numbers[numbers > 0] += before
        if last is not None:
            joined.append(_touching(last, numbers.take(0, axis), touching.take(2, axis)))
        last = numbers.take(-1, axis)
    of_numbers = np.concatenate(sizes)
    piece_of, count = _whole(len(of_numbers) - 1, joined)
    total = np.bincount(piece_of, of_numbers, minlength=count + 1).astype(np.int64)  # floats are exact up to 2^53
    return Pieces(labels, part, touching, piece_of, total[1:])


def pieces_of_label(labels: np.ndarray, label: int) -> Pieces:
    """The pieces of one label in a label map (X, Y, Z)."""
    return find_pieces(labels, lambda slab: slab == label)


def _numbered(labels: np.ndarray, part: Part, touching: np.ndarray) -> Iterator[tuple[Slab, np.ndarray, int]]:
    """Each slab, the numbers of its own pieces from 1, int32, and how many the slabs before it have."""
    from scipy import ndimage  # takes a third of a second to import, and most predictions need none

    before = 0
    for slab in slabs(labels):
        numbers, count = ndimage.label(part(labels[slab]), touching)
        yield slab, numbers, before
        before += count


def _whole(found: int, joined: list[np.ndarray]) -> tuple[np.ndarray, int]:
    """The piece of each number of a slab's piece, from 1, and how many pieces there are.

    Args:
        joined: pairs (2, n) of numbers of one piece.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    piece_of = np.arange(found + 1, dtype=np.int32)
    if not joined:
        return piece_of, found
    one, other = np.concatenate(joined, axis=1) - 1
    graph = coo_array((np.ones(len(one)), (one, other)), shape=(found, found))
    count, whole = connected_components(graph) if found else (0, piece_of[1:])
    piece_of[1:] = whole + 1
    return piece_of, int(count)


def _touching(below: np.ndarray, above: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Pairs (2, n) of the numbers of pieces that touch, of two planes that lie on each other; 0 is no piece.

    Args:
        reach: (3, 3) boolean, which voxels of the other plane a voxel touches.
    """
    pairs = []
    padded = np.pad(below, 1)
    for shift in np.argwhere(reach):
        part = tuple(slice(start, start + size) for start, size in zip(shift, above.shape, strict=True))
        both = (padded[part] > 0) & (above > 0)
        pairs.append(np.unique(np.stack([padded[part][both], above[both]]), axis=1))
    return np.unique(np.concatenate(pairs, axis=1), axis=1)
