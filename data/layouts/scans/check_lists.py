"""Faults of a dataset's list, before any voxel is read."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from medssm.data.layouts.findings import Remark
from medssm.data.layouts.scans.layout import case_id, image_and_label_folders, volumes_in
from medssm.data.layouts.scans.splits import lacking_side, patients_of
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.laterality import find_sides


def check_list(dataset: ScanDataset) -> Iterator[Remark]:
    """Missing files and partners, cases listed twice or on both sides of the split, files that no case uses."""
    for case in dataset.training + dataset.validation:
        if case.label is None:
            yield Remark(case.image, "missing-partner", "has no label in the list; add it, or list the case as a test")
    if lacking := lacking_side(dataset):
        yield Remark(dataset.source, "one-side", lacking)
    yield from _missing_files(dataset)
    yield from _repeats(dataset)
    yield from _divided_patients(dataset)
    yield from _unlisted(dataset)
    yield from _lone_sides(dataset)


def _missing_files(dataset: ScanDataset) -> Iterator[Remark]:
    for case in dataset.cases:
        to_test = case in dataset.test
        for image in (image for image in case.images if not image.exists()):
            message = f"is listed but not there (case {case.id}); copy it there"
            yield Remark(image, "missing-file", message, is_note=to_test)
        for file in case.label_files:
            if file.exists():
                continue
            message = f"{case.image.name} has no label map; add this file, or take the case off the list"
            if case.masks:
                message = f"case {case.id} has no mask of this organ; add it, empty if the organ is not in the scan"
            yield Remark(file, "missing-partner", message, is_note=to_test)


def _repeats(dataset: ScanDataset) -> Iterator[Remark]:
    for part, cases in (("training", dataset.training), ("validation", dataset.validation), ("test", dataset.test)):
        for image, count in Counter(map(_image_file, cases)).items():
            if count > 1:
                yield Remark(image, "listed-twice", f"is listed {count} times in {part}; list it once")
    labels = Counter(case.label.resolve() for case in dict.fromkeys(dataset.cases) if case.label)
    for label, count in labels.items():
        if count > 1:
            yield Remark(label, "shared-label", f"is the label map of {count} cases; give each case its own")
    held_out = {_image_file(case) for case in dataset.validation + dataset.test}
    for image in dict.fromkeys(_image_file(case) for case in dataset.training):
        if image in held_out:
            yield Remark(image, "both-splits", "is in training and in validation or test; keep it in one of them")


def _divided_patients(dataset: ScanDataset) -> Iterator[Remark]:
    """Scans of one patient that a list puts on both sides: the network has seen who validates it."""
    patients = patients_of(dataset.training + dataset.validation)
    training = {patients[case.id]: case for case in dataset.training}
    for case in dataset.validation:
        if other := training.get(patients[case.id]):
            message = f"validates, but {other.image.name} of the same patient ({patients[case.id]}) trains"
            yield Remark(case.image, "divided-patient", f"{message}; keep a patient on one side", is_note=True)


def _image_file(case: ScanCase) -> Path:
    return case.image.resolve()


def _unlisted(dataset: ScanDataset) -> Iterator[Remark]:
    """Files in the training folders that no case uses: a label without an image is a fault, the rest is a note."""
    for file in dataset.unused:
        yield Remark(file, "unlisted", "has no partner, or belongs to no case by its name", is_note=True)
    folders = image_and_label_folders(dataset.folder)
    if not folders or dataset.unused:
        return
    images, labels = ({path.resolve() for path in volumes_in(folder)} for folder in folders)
    used_images = {image.resolve() for case in dataset.cases for image in case.images}
    used_labels = {case.label.resolve() for case in dataset.cases if case.label}
    for image in sorted(images - used_images):
        yield Remark(image, "unlisted", "no case uses this image; list it if it is meant to be used", is_note=True)
    spare = {_patient(image) for image in images - used_images}
    for label in sorted(labels - used_labels):
        if _patient(label) in spare:
            yield Remark(label, "unlisted", "no case uses this label map; list its case", is_note=True)
        else:
            yield Remark(label, "missing-partner", "no image belongs to this label map; add the image or remove this")


def _lone_sides(dataset: ScanDataset) -> Iterator[Remark]:
    for name in find_sides(dataset.label_names).alone:
        message = f"names '{name}' but no label for the other side; correct the names, or train without flips along x"
        yield Remark(dataset.source, "lone-side", message, is_note=True)


def _patient(file: Path) -> str:
    """What the names of an image and its label map share: img0001 and label0001, case_7_0000 and case_7."""
    return re.sub(r"^(img|label)", "", case_id(file))
