"""Faults of folders of images: classes that lack something, images in the wrong place, and files that are none."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from medssm.data.images.names import is_image_name, name_stem
from medssm.data.images.reading import image_facts
from medssm.data.layouts.faults import some
from medssm.data.layouts.findings import DataReport, Remark
from medssm.data.layouts.imagenet.dataset import Listing, list_images
from medssm.data.layouts.imagenet.layout import FLAT_NAME
from medssm.data.layouts.imagenet.synsets import imagenet_classes, is_wnid
from medssm.data.layouts.parallel import in_parallel
from medssm.errors import DataError, without_path

# Images of ILSVRC2012, task 1.
IMAGENET_TRAINING, IMAGENET_VALIDATION = 1_281_167, 50_000
# The PNG among ImageNet's JPEG files.
IMAGENETS_PNG = "n02105855_2933.JPEG"
# If fewer than this share is missing it was lost; who leaves more out means to.
_LOST = 0.05
_TRAINING_NAME = re.compile(r"(n\d{8})_\d+")
_ENDINGS = {
    "JPEG": (".jpg", ".jpeg"),
    "MPO": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm"),
    "GIF": (".gif",),
}


def check_image_dataset(
    folder: str | Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> DataReport:
    """Everything that is wrong with the images in `folder`, each file decoded once.

    Args:
        progress: called with the number of images done and their total.

    Raises: DataError if there is no dataset in `folder`.
    """
    listing = list_images(folder)
    findings = (
        *(Remark(*fault) for fault in listing.faults),
        *_missing_classes(listing),
        *_missing_images(listing),
        *_names(listing),
        *_files(listing, progress),
    )
    counts = {part: sum(map(len, by_class.values())) for part, (_, by_class) in _parts(listing).items()}
    return DataReport(Path(folder).resolve().name, Path(folder), counts, tuple(dict.fromkeys(findings)))


def _parts(listing: Listing) -> dict[str, tuple[Path | None, dict[str, Sequence[str]]]]:
    """The folder of each part and its images by the folder below it, which is "" where they lie flat."""
    layout, answers = listing.layout, listing.answers
    validation: dict[str, Sequence[str]] = {"": answers.names} if answers else {**listing.validation}
    return {"training": (layout.training, {**listing.training}), "validation": (layout.validation, validation)}


def _folders(listing: Listing) -> Iterator[tuple[Path, dict[str, Sequence[str]]]]:
    """The same of the parts that are there."""
    return ((folder, images) for folder, images in _parts(listing).values() if folder)


def _missing_classes(listing: Listing) -> Iterator[Remark]:
    """Empty folders, classes that no image validates, and those that ImageNet-1k has more."""
    layout, classes = listing.layout, listing.dataset.classes
    for folder, by_class in _folders(listing):
        for name in (name for name, images in by_class.items() if not images):
            yield Remark(folder / name, "empty-class", "holds no image; add its images, or remove the folder")
    validated = set(listing.dataset.validation.labels.tolist())
    if layout.validation and validated:
        absent = [name for label, name in enumerate(classes) if label not in validated]
        yield from _lacks(layout.validation, "missing-class", absent, len(classes), "of the dataset")
    if (known := set(imagenet_classes())).issuperset(classes):
        absent = sorted(known.difference(classes))
        yield from _lacks(layout.training or layout.folder, "missing-class", absent, len(known), "of ImageNet-1k")


def _lacks(folder: Path, kind: str, absent: Sequence[str], total: int, of_what: str) -> Iterator[Remark]:
    if absent:
        message = f"lacks {some(absent, 'class', 'classes')} of the {total} {of_what}; add what was lost"
        yield Remark(folder, kind, message, is_note=len(absent) > _LOST * total)


def _missing_images(listing: Listing) -> Iterator[Remark]:
    """Images that a list names, or that all of ImageNet-1k has, and that are not there."""
    layout, answers, dataset = listing.layout, listing.answers, listing.dataset
    is_imagenet = dataset.classes == imagenet_classes()
    expected = [(layout.training, len(dataset.training), IMAGENET_TRAINING if is_imagenet else 0)]
    if answers:
        expected += [(layout.validation, len(answers.labels), answers.listed)]
    else:
        expected += [(layout.validation, len(dataset.validation), IMAGENET_VALIDATION if is_imagenet else 0)]
    for folder, found, total in expected:
        if folder and found < total:
            message = f"holds {found} of the {total} images there should be; unpack the archive again"
            yield Remark(folder, "missing-image", message, is_note=total - found > _LOST * total)


def _names(listing: Listing) -> Iterator[Remark]:
    """Images beside the folders of the classes, in another's folder, or in two."""
    places: Counter[str] = Counter()
    for folder, by_class in _folders(listing):
        for name, images in by_class.items():
            stems = [name_stem(image) for image in images]
            places.update(stem for stem in stems if _is_imagenets(stem))
            yield from _in_folder(folder / name, stems)
        if "" not in by_class and (stray := sorted(filter(is_image_name, os.listdir(folder)))):
            yield Remark(folder, "stray", f"holds {some(stray, 'image')} outside of the classes' folders; move them")
    if repeated := sorted(stem for stem, count in places.items() if count > 1):
        message = f"{some(repeated, 'image')} in more than one folder; keep each where it belongs"
        yield Remark(listing.layout.folder, "same-name", message)


def _is_imagenets(stem: str) -> bool:
    """Whether the name is ImageNet's, where each occurs once."""
    return stem.startswith(FLAT_NAME) or _TRAINING_NAME.fullmatch(stem) is not None


def _in_folder(folder: Path, stems: Sequence[str]) -> Iterator[Remark]:
    owners = [(stem, match[1]) for stem in stems if is_wnid(folder.name) and (match := _TRAINING_NAME.match(stem))]
    if misplaced := [stem for stem, owner in owners if owner != folder.name]:
        message = f"holds {some(misplaced, 'image')} named after another class; move them to its folder"
        yield Remark(folder, "misplaced", message)
    if twice := sorted(stem for stem, count in Counter(stems).items() if count > 1):
        message = f"{some(twice, 'name')} with more than one ending; see whether they are the same image"
        yield Remark(folder, "same-name", message, is_note=True)


def _files(listing: Listing, progress: Callable[[int, int], None]) -> Iterator[Remark]:
    parts = list(_parts(listing).values())
    total = sum(len(images) for _, by_class in parts for images in by_class.values())
    paths = (
        Path(folder or "", name, image) for folder, by_class in parts for name in by_class for image in by_class[name]
    )
    for done, findings in enumerate(in_parallel(_check_file, paths)):
        progress(done, total)
        yield from findings
    progress(total, total)


def _check_file(path: Path) -> list[Remark]:
    try:
        facts = image_facts(path)
    except DataError as error:
        return [Remark(path, "unreadable", without_path(path, error))]
    findings = []
    if path.suffix.lower() not in _ENDINGS.get(facts.format, ()):
        why = "as in all copies of ImageNet" if path.name == IMAGENETS_PNG else "it is read by its content"
        findings.append(Remark(path, "format", f"holds a {facts.format} image in spite of its name; {why}", True))
    if facts.mode == "CMYK":
        findings.append(Remark(path, "cmyk", "is in printing colours, turned into RGB when it is read", True))
    return findings
