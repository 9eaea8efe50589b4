"""Faults of images annotated in COCO's format: of the lists, of the files, and where the two disagree."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from medssm.data.images.reading import hidden_turn
from medssm.data.layouts.coco.dataset import (
    CocoImages,
    coco_parts,
    located,
    missing_images,
    read_annotated_image,
    unlisted_images,
    with_objects,
)
from medssm.data.layouts.coco.layout import CocoParts, Part
from medssm.data.layouts.coco.lists import AnnotationLists
from medssm.data.layouts.coco.reading import kept_annotations
from medssm.data.layouts.faults import some
from medssm.data.layouts.findings import DataReport, Remark
from medssm.data.layouts.parallel import in_parallel
from medssm.errors import DataError, GeometryError, without_path

# Images of train2017, where one box has no height.
COCO_TRAINING = 118_287
COCO_VALIDATION = 5000
# If fewer than this share is missing it was lost; who leaves more out means to.
_LOST = 0.05

# Kind -> what is wrong with the entries that have it.
_MESSAGES = {
    "image-entry": "lack or misspell id, file_name, height or width; correct the entries",
    "category-entry": "lack or misspell id or name; correct the entries",
    "annotation-entry": "lack or misspell id, image_id, category_id, bbox or segmentation; correct the entries",
    "same-id": "share an id with another one of their list; number them anew",
    "same-category": "are called as another category is; name them apart, or make them one",
    "unknown-image": "are of an image_id that is not listed; add the image, or remove them",
    "unknown-category": "are of a category_id that is not listed; correct it, or add the category",
    "empty-box": "have a bbox without width or height; correct it, training leaves them out",
    "tiny-box": "have a bbox of less than a pixel; correct it, training leaves them out",
    "box-outside": "have a bbox beyond the edges of the image; correct it",
    "no-area": "have an area of 0 or less; correct it, training leaves them out",
    "no-shape": "have no segmentation, or no polygon of three points or more; outline them",
    "outline-outside": "have polygons beyond the edges of the image; correct them",
    "outline-far": "have polygons far from the image, or longer than any object's; correct them",
    "run-length-size": "have run lengths (RLE) for another size than the image's; correct it",
    "run-length": "have run lengths (RLE) that do not fill the image, or are none; encode the masks anew",
}


def check_coco_dataset(folder: Path, progress: Callable[[int, int], None]) -> DataReport:
    """Everything that is wrong with the images in `folder` and their annotations, each file read once.

    Args:
        progress: called with the number of images done and their total.

    Raises: DataError if there is no dataset in `folder`.
    """
    layout = coco_parts(folder)
    parts = {name: part for name, part in (("training", layout.training), ("validation", layout.validation)) if part}
    lists = {name: AnnotationLists(part.annotations) for name, part in parts.items()}
    for name, known in lists.items():
        parts[name] = located(parts[name], folder, [image.name for image in known.images.values()])
    findings = [
        *(finding for known in lists.values() for finding in _entries(known)),
        *_missing_parts(folder, layout, lists),
        *_nothing_to_learn(layout, lists),
        *(finding for name in parts for finding in _images(folder, parts[name], lists[name])),
        *_files(parts, lists, progress),
    ]
    counts = {name: len(known.images) for name, known in lists.items()}
    return DataReport(folder.resolve().name, folder, counts, tuple(dict.fromkeys(findings)))


def _entries(known: AnnotationLists) -> Iterator[Remark]:
    """All that is wrong with a list itself."""
    if known.broken:
        yield Remark(known.path, "unreadable", known.broken)
        return
    lists = {"images": known.images, "categories": known.categories, "annotations": known.annotations}
    for key in (key for key, entries in lists.items() if not entries):
        yield Remark(known.path, f"no-{key}", f"lists no {key}; export the dataset in COCO's format again")
    for kind in ("normalised", "box-form"):
        if kind in known.general:
            yield Remark(known.path, kind, f"{known.general[kind]}; correct them")
    for kind, having in known.faulty.items():
        is_cocos = kind == "empty-box" and len(known.images) == COCO_TRAINING
        remark = " (one is in all copies of COCO)" if is_cocos else ""
        yield Remark(known.path, kind, f"{some(having, 'entry', 'entries')} {_MESSAGES[kind]}{remark}", is_cocos)


def _nothing_to_learn(layout: CocoParts, lists: dict[str, AnnotationLists]) -> Iterator[Remark]:
    """What training says where it has no object to learn from."""
    known = lists.get("training")
    if known and layout.training and known.annotations and not known.refusal:
        annotations = kept_annotations(known)
        images = CocoImages(layout.training.images, annotations, with_objects(annotations))
        if refusal := images.refusal:
            yield Remark(known.path, "no-objects", refusal)


def _missing_parts(folder: Path, layout: CocoParts, lists: dict[str, AnnotationLists]) -> Iterator[Remark]:
    """A list that is not there, categories that differ, and images that train and validate."""
    for name, part in (("train", layout.training), ("val", layout.validation)):
        if part is None:
            message = f"there is no annotations/instances_{name}2017.json; unpack annotations_trainval2017.zip"
            yield Remark(folder, "missing-list", message)
    known = list(lists.values())
    if known[0].categories != known[-1].categories and not any(one.broken for one in known):
        message = "lists other categories than the training does; write the same list in both files"
        yield Remark(known[-1].path, "categories", message)
    if len(known) > 1:
        both = known[0].images.items() & known[1].images.items()
        if same := sorted(image.name for _, image in both):
            message = f"{some(same, 'image')} that the training lists too; remove them from one of the lists"
            yield Remark(known[1].path, "same-image", message)


def _images(folder: Path, part: Part, known: AnnotationLists) -> Iterator[Remark]:
    """Images that are not there, that no entry names, or that two entries name."""
    if known.broken:
        return
    names = Counter(image.name for image in known.images.values())
    if missing := missing_images(part, names):
        yield Remark(part.annotations, "missing-image", missing)
    if part.images != folder and (unlisted := unlisted_images(part, names)):
        message = f"holds {some(unlisted, 'image')} that no entry of {part.annotations.name} names; they are not used"
        yield Remark(part.images, "unlisted", message, is_note=True)
    if twice := sorted(name for name, count in names.items() if count > 1):
        yield Remark(part.annotations, "same-name", f"lists {some(twice, 'image')} twice; remove one entry of each")
    expected = {"train2017": COCO_TRAINING, "val2017": COCO_VALIDATION}.get(part.images.name, 0)
    if len(names) < expected:
        message = f"lists {len(names)} of the {expected} images of COCO 2017"
        is_note = expected - len(names) > _LOST * expected
        yield Remark(part.annotations, "fewer-images", f"{message}; get the file again", is_note)


def _files(
    parts: dict[str, Part], lists: dict[str, AnnotationLists], progress: Callable[[int, int], None]
) -> Iterator[Remark]:
    """Images that cannot be read, or have another size than their entry says."""
    listed: dict[Path, tuple[int, int]] = {}
    for name, part in parts.items():
        listed |= {part.images / image.name: (image.height, image.width) for image in lists[name].images.values()}
    there = [path for path in listed if path.is_file()]

    def check(path: Path) -> list[Remark]:
        try:
            read_annotated_image(path, listed[path])
            turn = hidden_turn(path)
        except DataError as error:
            kind = "size" if isinstance(error, GeometryError) else "unreadable"
            return [Remark(path, kind, without_path(path, error))]
        return (
            [Remark(path, "exif", f"{turn}; annotations are taken to lie on it as it is stored", True)] if turn else []
        )

    for done, findings in enumerate(in_parallel(check, there)):
        progress(done, len(there))
        yield from findings
    progress(len(there), len(there))
