"""Which images train and which validate, and what is known of each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from medssm.data.images.names import image_names
from medssm.data.images.reading import read_image
from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.coco.annotations import Annotations
from medssm.data.layouts.coco.layout import CocoParts, Part, coco_folder, find_coco_parts
from medssm.data.layouts.coco.reading import read_annotations
from medssm.data.layouts.faults import some
from medssm.errors import DataError, GeometryError

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
        corners = clipped_corners(known.boxes[within], known.sizes[image])
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
    def left_out(self) -> str:
        """How many objects and images nothing is learned from, and why, in words; "" if there are none."""
        known = self.annotations
        objects = known.boxes[~known.is_crowd], known.areas[~known.is_crowd], known.has_shape[~known.is_crowd]
        boxes, areas, has_shape = objects
        counts = {
            "without an outline": np.count_nonzero(~has_shape),
            "without an area": np.count_nonzero(areas <= 0),
            "whose box is smaller than a pixel": np.count_nonzero((boxes[:, 2:] < 1).any(1)),
            "whose box is outside of the image": len(boxes) - np.count_nonzero(_is_inside(known)[~known.is_crowd]),
            f"on images of less than {SMALLEST_SIDE} pixels": np.count_nonzero(_is_small(known)[~known.is_crowd]),
        }
        return ", ".join(f"{count} {why}" for why, count in counts.items() if count)

    @property
    def refusal(self) -> str:
        """Why nothing can be learned from these images, in words; "" if something can."""
        known = self.annotations
        every = slice(0, len(known.ids))
        targets = _is_target(known, every, clipped_corners(known.boxes, _sizes_of_objects(known)))
        if (targets & ~_is_small(known)).any():
            return ""
        if not len(known.ids):
            return "lists no annotations; export the dataset in COCO's format again"
        if known.is_crowd.all():
            return "lists crowd regions alone (iscrowd), of which nothing is learned; list objects"
        if not known.has_shape[~known.is_crowd].any():
            return (
                f"none of its {np.count_nonzero(~known.is_crowd)} objects has an outline that can be used "
                "(segmentation), of which masks are learned; outline them, or write each box as a polygon of four "
                "points where boxes alone matter"
            )
        return f"none of its objects can be learned from: {self.left_out}; correct them"

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
    folder = _dataset_folder(Path(folder))
    layout = coco_parts(folder)
    training, validation = (_read(folder, part) for part in (layout.training, layout.validation))
    known = [images.annotations.categories for images in (training, validation) if images]
    if known[0] != known[-1]:
        raise DataError(f"{folder}: training and validation list other categories; write the same list in both files")
    if training:
        training = CocoImages(training.folder, training.annotations, with_objects(training.annotations))
    return CocoDataset(folder, known[0], training, validation)


def _read(folder: Path, part: Part | None) -> CocoImages | None:
    """All images of a part.

    Raises: DataError if some are not there.
    """
    if part is None:
        return None
    annotations = read_annotations(part.annotations)
    names = [annotations.name(image) for image in range(len(annotations))]
    part = located(part, folder, names)
    if missing := missing_images(part, names):
        raise DataError(f"{part.annotations}: {missing} (medssm data check {folder} lists all that is wrong)")
    return CocoImages(part.images, annotations, np.arange(len(annotations)))


def _dataset_folder(path: Path) -> Path:
    """The folder of a dataset, which may be named by one of its lists.

    Raises: DataError for another file.
    """
    if not path.is_file():
        return path
    if (folder := coco_folder(path)) is None:
        raise DataError(
            f"{path}: is a file; give the folder of the dataset, with its lists in annotations/instances_train.json "
            "and annotations/instances_val.json, and its images in train and val"
        )
    return folder


def coco_parts(folder: Path) -> CocoParts:
    """The parts of a folder.

    Raises: DataError if it holds no list of annotations.
    """
    layout = find_coco_parts(folder)
    if layout is None:
        what = "no list of annotations in it" if folder.is_dir() else "no such folder"
        raise DataError(f"{folder}: {what}. {LAYOUTS['coco'].where}")
    return layout


def located(part: Part, folder: Path, names: Sequence[str]) -> Part:
    """A part with the folder that its file names are relative to: its own, or else the whole dataset's."""
    places = (part.images, folder, folder / "images")
    found = next((place for place in places if names and (place / names[0]).is_file()), part.images)
    return replace(part, images=found)


def missing_images(part: Part, names: Collection[str]) -> str:
    """Which listed images are not there, in words; "" if all are."""
    unknown = sorted(set(names) - _images_in(part))
    if missing := [name for name in unknown if not (part.images / name).is_file()]:
        return f"{some(missing, 'listed image')} not in {part.images}; unpack the archive of images again"
    return ""


def unlisted_images(part: Part, names: Collection[str]) -> list[str]:
    """Images that are there but not listed, sorted."""
    return sorted(_images_in(part) - set(names))


def _images_in(part: Part) -> set[str]:
    return set(image_names(part.images)) if part.images.is_dir() else set()


def read_annotated_image(path: Path, size: tuple[int, int]) -> Image.Image:
    """The RGB image on the grid that annotations for an image of this size, (H, W), were drawn on.

    That is the one of the stored pixels, whatever rotation EXIF notes; unless only the rotated image has the size.

    Raises: DataError if there is no image; GeometryError if none of the two has the size.
    """
    image = read_image(path, upright=False)
    if image.size == size[::-1]:
        return image
    rotated = read_image(path)
    if rotated.size != size[::-1]:
        raise GeometryError(
            f"{path}: has {image.width}x{image.height} pixels, but the annotations are for {size[1]}x{size[0]}; "
            "get the image that belongs to them"
        )
    return rotated


def with_objects(annotations: Annotations) -> np.ndarray:
    """Indices (n,) of the images that have an annotation, a crowd region too, and are not very small.

    Source: `filter_empty_gt` and `min_size` of MMDetection's CocoDataset.
    """
    return np.flatnonzero((np.diff(annotations.first) > 0) & (annotations.sizes.min(1) >= SMALLEST_SIDE))


def clipped_corners(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) of left, top, width, height as left, top, right, bottom within an image.

    Args:
        sizes: (2,) or (n, 2), height and width of the image or of that of each.
    """
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    return corners.clip(0, sizes[..., [1, 0, 1, 0]])


def _sizes_of_objects(known: Annotations) -> np.ndarray:
    """(M, 2), height and width of the image of each annotation."""
    return known.sizes.repeat(np.diff(known.first), axis=0)


def _is_small(known: Annotations) -> np.ndarray:
    """(M,), which annotations are of images that are too small to train."""
    return np.asarray((_sizes_of_objects(known) < SMALLEST_SIDE).any(1))


def _is_inside(known: Annotations) -> np.ndarray:
    """(M,), of which annotations some of the box lies within the image."""
    corners = clipped_corners(known.boxes, _sizes_of_objects(known))
    return np.asarray((corners[:, 2:] > corners[:, :2]).all(1))


def _is_target(known: Annotations, within: slice, corners: np.ndarray) -> np.ndarray:
    """Which annotations of an image a detector learns from; their sides are at least a pixel, as in MMDetection."""
    is_within = (corners[:, 2:] > corners[:, :2]).all(1)
    is_large = (known.boxes[within, 2:] >= 1).all(1) & (known.areas[within] > 0)
    return is_within & is_large & known.has_shape[within] & ~known.is_crowd[within]
