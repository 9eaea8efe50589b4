"""Faults of images annotated in COCO's format: of the lists, of the files, and where the two disagree."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from medssm.data.images.names import image_names
from medssm.data.layouts.coco.check_lists import COCO_TRAINING, AnnotationList, ListedImage
from medssm.data.layouts.coco.dataset import coco_parts, read_annotated_image
from medssm.data.layouts.coco.layout import CocoParts, Part
from medssm.data.layouts.faults import some
from medssm.data.layouts.findings import DataReport, Remark
from medssm.data.layouts.parallel import in_parallel
from medssm.errors import DataError

COCO_VALIDATION = 5000
# If fewer than this share is missing it was lost; who leaves more out means to.
_LOST = 0.05


def check_coco_dataset(folder: Path, progress: Callable[[int, int], None]) -> DataReport:
    """Everything that is wrong with the images in `folder` and their annotations, each file read once.

    Args:
        progress: called with the number of images done and their total.

    Raises: DataError if there is no dataset in `folder`.
    """
    layout = coco_parts(folder)
    parts = {name: part for name, part in (("training", layout.training), ("validation", layout.validation)) if part}
    lists = {name: AnnotationList(part.annotations) for name, part in parts.items()}
    findings = [
        *(finding for known in lists.values() for finding in known.findings()),
        *_missing_parts(folder, layout, lists),
        *(finding for name in parts for finding in _images(parts[name], lists[name])),
        *_files(parts, lists, progress),
    ]
    counts = {name: len(known.images) for name, known in lists.items()}
    return DataReport(folder.resolve().name, folder, counts, tuple(dict.fromkeys(findings)))


def _missing_parts(folder: Path, layout: CocoParts, lists: dict[str, AnnotationList]) -> Iterator[Remark]:
    """A list that is not there, categories that differ, and images that train and validate."""
    for name, part in (("train", layout.training), ("val", layout.validation)):
        if part is None:
            message = f"there is no annotations/instances_{name}2017.json; unpack annotations_trainval2017.zip"
            yield Remark(folder, "missing-list", message)
    known = list(lists.values())
    if known[0].categories != known[-1].categories:
        message = "lists other categories than the training does; write the same list in both files"
        yield Remark(known[-1].path, "categories", message)
    if len(known) > 1:
        both = known[0].images.items() & known[1].images.items()
        if same := sorted(image.name for _, image in both):
            message = f"{some(same, 'image')} that the training lists too; remove them from one of the lists"
            yield Remark(known[1].path, "same-image", message)


def _images(part: Part, known: AnnotationList) -> Iterator[Remark]:
    """Images that are not there, that no entry names, or that two entries name."""
    names = Counter(image.name for image in known.images.values())
    there = set(image_names(part.images)) if part.images.is_dir() else set()
    if missing := sorted(names.keys() - there):
        message = f"{some(missing, 'listed image')} not in {part.images}; unpack the archive of images again"
        yield Remark(part.annotations, "missing-image", message)
    if unlisted := sorted(there - names.keys()):
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
    parts: dict[str, Part], lists: dict[str, AnnotationList], progress: Callable[[int, int], None]
) -> Iterator[Remark]:
    """Images that cannot be read, or have another size than their entry says."""
    listed: dict[Path, ListedImage] = {}
    for name, part in parts.items():
        listed |= {part.images / image.name: image for image in lists[name].images.values()}
    there = [path for path in listed if path.is_file()]

    def check(path: Path) -> list[Remark]:
        try:
            read_annotated_image(path, listed[path].size)
        except DataError as error:
            message = str(error).removeprefix(f"{path}: ")
            return [Remark(path, "size" if message.startswith("has ") else "unreadable", message)]
        return []

    for done, findings in enumerate(in_parallel(check, there)):
        progress(done, len(there))
        yield from findings
    progress(len(there), len(there))
