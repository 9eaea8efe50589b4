"""Which images train and which validate, and of what class each is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medssm.data.images.names import image_names
from medssm.data.images.samples import ImageSamples
from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.faults import Fault, some
from medssm.data.layouts.folders import folders_in
from medssm.data.layouts.imagenet.answers import Answers, label_flat_images
from medssm.data.layouts.imagenet.layout import ImageFolders, find_image_folders
from medssm.data.layouts.imagenet.synsets import synset_names
from medssm.errors import DataError


@dataclass(frozen=True)
class ImageDataset:
    """The images of a folder.

    Attributes:
        source: the folder.
        classes: as their folders are called, sorted; a label is an index into them.
        names: of the same classes, for people.
        training, validation: images sorted by class, or by name in a flat folder; either may be empty.
    """

    source: Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    training: ImageSamples
    validation: ImageSamples


@dataclass(frozen=True)
class Listing:
    """What was found in a folder of images, usable or not.

    Attributes:
        training, validation: images by the name of their folder; validation is empty where its images lie flat.
        answers: the flat images and their labels, None where images lie in folders.
        faults: why it cannot be used as it is.
    """

    dataset: ImageDataset
    layout: ImageFolders
    training: dict[str, list[str]]
    validation: dict[str, list[str]]
    answers: Answers | None
    faults: tuple[Fault, ...]


def load_image_dataset(folder: str | Path) -> ImageDataset:
    """The images in `folder`; nothing of them is read but their names.

    A class is a folder, and its label the position of its name among all in sorted order. Validation images may lie in
    one folder instead, beside ImageNet's devkit or a list of their classes.

    Raises: DataError in one sentence if there is no dataset, or an image's class is not known.
    """
    listing = list_images(folder)
    if listing.faults:
        first, others = listing.faults[0], len(listing.faults) - 1
        more = f" ({others} more; medssm data check {folder} lists all)" if others else ""
        raise DataError(f"{first.file}: {first.message}{more}")
    return listing.dataset


def with_classes(dataset: ImageDataset, classes: Sequence[str]) -> ImageDataset:
    """The dataset with labels that are positions in `classes`, as a model of more classes numbers them.

    Raises: DataError if `classes` lacks one of the dataset's.
    """
    position = {name: label for label, name in enumerate(classes)}
    if unknown := [name for name in dataset.classes if name not in position]:
        raise DataError(
            f"{dataset.source}: {some(unknown, 'class', 'classes')} unknown to the model; remove the folder"
        )
    new_label = np.array([position[name] for name in dataset.classes], np.int32)
    training, validation = (samples.relabelled(new_label) for samples in (dataset.training, dataset.validation))
    names = synset_names(classes)
    return replace(dataset, classes=tuple(classes), names=names, training=training, validation=validation)


def list_images(folder: str | Path) -> Listing:
    """What lies in `folder`, and why it cannot be used if it cannot.

    Raises: DataError if it has neither a folder for training nor one for validation.
    """
    folder = Path(folder)
    layout = find_image_folders(folder)
    if layout is None:
        what = "no folders train and val in it" if folder.is_dir() else "no such folder"
        raise DataError(f"{folder}: {what}. {LAYOUTS['imagenet'].where}")
    training = _by_class(layout.training)
    validation = {} if layout.validation_is_flat else _by_class(layout.validation)
    classes = tuple(sorted(training or validation))
    answers = label_flat_images(layout, classes) if layout.validation_is_flat else None
    if answers:
        classes = answers.classes
    dataset = ImageDataset(
        source=folder,
        classes=classes,
        names=synset_names(classes),
        training=_samples(layout.training, training, classes),
        validation=_flat_samples(layout, answers) if answers else _samples(layout.validation, validation, classes),
    )
    faults = (*_folder_faults(layout, training, validation), *(answers.faults if answers else ()))
    return Listing(dataset, layout, training, validation, answers, faults)


def _by_class(folder: Path | None) -> dict[str, list[str]]:
    return {below.name: image_names(below) for below in folders_in(folder)} if folder else {}


def _samples(folder: Path | None, names: dict[str, list[str]], classes: Sequence[str]) -> ImageSamples:
    if folder is None:
        return ImageSamples()
    present = [(folder / name, names[name], label) for label, name in enumerate(classes) if name in names]
    return ImageSamples((folder, images, [label] * len(images)) for folder, images, label in present)


def _flat_samples(layout: ImageFolders, answers: Answers) -> ImageSamples:
    return ImageSamples([(layout.flat, list(answers.labels), list(answers.labels.values()))])


def _folder_faults(
    layout: ImageFolders, training: dict[str, list[str]], validation: dict[str, list[str]]
) -> Iterator[Fault]:
    parts = ((layout.training, training), (None if layout.validation_is_flat else layout.validation, validation))
    for folder, names in parts:
        if folder and not any(names.values()):
            what = "no image lies in a folder of its class"
            yield Fault(folder, "no-images", f"{what}; lay them out as {folder.name}/CLASS/*.jpg, and unpack archives")
    if training and layout.validation and (unknown := sorted(validation.keys() - training.keys())):
        message = f"{some(unknown, 'class', 'classes')} without a training folder; add it, or remove the images"
        yield Fault(layout.validation, "unknown-class", message)
