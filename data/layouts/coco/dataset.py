"""Which images train and which validate, and what is known of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from medssm.data.images.reading import read_image
from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.coco.annotations import Annotations
from medssm.data.layouts.coco.layout import CocoParts, find_coco_parts
from medssm.data.layouts.coco.reading import read_annotations
from medssm.errors import DataError

# Smaller images are no training images, as in MMDetection's `filter_cfg`.
SMALLEST_SIDE = 32


@dataclass(frozen=True)
class CocoImage:
    """One image and its objects.

    Attributes:
        path: of the file.
        id: in the annotations.
        size: (H, W) in pixels, as the annotations have it.
        boxes: (n, 4) float32 in pixels: left, top, right, bottom, within the image.
        labels: (n,) int64 from 0.
        masks: (n, H, W) uint8.
    """

    path: Path
    id: int
    size: tuple[int, int]
    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray

    def read(self) -> Image.Image:
        """The image itself, as `read_annotated_image`."""
        return read_annotated_image(self.path, self.size)


class CocoImages(Sequence[CocoImage]):
    """The images of one part, each with its masks made when it is asked for.

    An object that is a crowd region, or has no area, no box within the image or no shape, is left out, as MMDetection
    leaves it out of training; `annotations` has all of them.

    Args:
        indices: which images of the annotations.
    """

    def __init__(self, folder: Path, annotations: Annotations, indices: np.ndarray) -> None:
        self.folder, self.annotations, self.indices = folder, annotations, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> CocoImage:  # type: ignore[override]
        return self.image(place)

    def image(self, place: int, with_masks: bool = True) -> CocoImage:
        """One image; without masks, which take most of the time, `masks` is that of no object."""
        known, image = self.annotations, int(self.indices[place])
        height, width = (int(side) for side in known.sizes[image])
        within = known.of(image)
        corners = clipped_corners(known.boxes[within], height, width)
        chosen = np.flatnonzero(_is_target(known, within, corners))
        masks = [known.mask(image, within.start + int(i)) for i in chosen] if with_masks else []
        return CocoImage(
            path=self.path(place),
            id=int(known.image_ids[image]),
            size=(height, width),
            boxes=corners[chosen].astype(np.float32),
            labels=known.labels[within][chosen].astype(np.int64),
            masks=np.stack(masks) if masks else np.zeros((0, height, width), np.uint8),
        )

    def path(self, place: int) -> Path:
        """The file of an image."""
        return self.folder / self.annotations.name(int(self.indices[place]))

    @property
    def sizes(self) -> np.ndarray:
        """(images, 2) int32, height and width in pixels."""
        return self.annotations.sizes[self.indices]


@dataclass(frozen=True)
class CocoDataset:
    """The images of a folder.

    Attributes:
        source: the folder.
        categories: identity -> name, by identity; a label is a position in it.
        training: images with objects; may be empty.
        validation: all of them; may be empty.
    """

    source: Path
    categories: dict[int, str]
    training: CocoImages | None
    validation: CocoImages | None

    @property
    def validated(self) -> CocoImages:
        """The images to validate on.

        Raises: DataError if there are none.
        """
        if not self.validation:
            raise DataError(f"{self.source}: has no images to validate on; add annotations/instances_val2017.json")
        return self.validation

    @property
    def names(self) -> tuple[str, ...]:
        """Of the categories, by label."""
        return tuple(self.categories.values())


def load_coco(folder: str | Path) -> CocoDataset:
    """The images in `folder` with their annotations; no image is opened.

    Raises: DataError in one sentence if there is no dataset, a list is not in COCO's format, or the parts' categories
        are not the same.
    """
    folder = Path(folder)
    layout = coco_parts(folder)
    training = layout.training and read_annotations(layout.training.annotations)
    validation = layout.validation and read_annotations(layout.validation.annotations)
    known = [annotations.categories for annotations in (training, validation) if annotations]
    if known[0] != known[-1]:
        raise DataError(f"{folder}: training and validation list other categories; write the same list in both files")
    training_images = validation_images = None
    if training and layout.training:
        training_images = CocoImages(layout.training.images, training, with_objects(training))
    if validation and layout.validation:
        validation_images = CocoImages(layout.validation.images, validation, np.arange(len(validation)))
    return CocoDataset(folder, known[0], training_images, validation_images)


def coco_parts(folder: Path) -> CocoParts:
    """The parts of a folder.

    Raises: DataError if it holds no list of annotations.
    """
    layout = find_coco_parts(folder)
    if layout is None:
        what = "no list of annotations in it" if folder.is_dir() else "no such folder"
        raise DataError(f"{folder}: {what}. {LAYOUTS['coco'].where}")
    return layout


def read_annotated_image(path: Path, size: tuple[int, int]) -> Image.Image:
    """The RGB image on the grid that annotations for an image of this size, (H, W), were drawn on.

    That is the one of the stored pixels, whatever rotation EXIF notes; unless only the rotated image has the size.

    Raises: DataError if there is no image, or none of the two has the size.
    """
    image = read_image(path, upright=False)
    if image.size == size[::-1]:
        return image
    rotated = read_image(path)
    if rotated.size != size[::-1]:
        raise DataError(
            f"{path}: has {image.width}x{image.height} pixels, but the annotations are for {size[1]}x{size[0]}; "
            "get the image that belongs to them"
        )
    return rotated


def with_objects(annotations: Annotations) -> np.ndarray:
    """Indices (n,) of the images that have an annotation, a crowd region too, and are not very small.

    Source: `filter_empty_gt` and `min_size` of MMDetection's CocoDataset.
    """
    return np.flatnonzero((np.diff(annotations.first) > 0) & (annotations.sizes.min(1) >= SMALLEST_SIDE))


def clipped_corners(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes (n, 4) of left, top, width, height as left, top, right, bottom within an image."""
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    return corners.clip(0, [width, height, width, height])


def _is_target(known: Annotations, within: slice, corners: np.ndarray) -> np.ndarray:
    """Which annotations of an image a detector learns from; their sides are at least a pixel, as in MMDetection."""
    is_within = (corners[:, 2:] > corners[:, :2]).all(1)
    is_large = (known.boxes[within, 2:] >= 1).all(1) & (known.areas[within] > 0)
    return is_within & is_large & known.has_shape[within] & ~known.is_crowd[within]
