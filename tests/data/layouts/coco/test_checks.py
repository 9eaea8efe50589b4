"""The check of datasets in COCO's format."""

import pytest
from PIL import Image

from medssm.data.layouts.check import check_dataset


def spread(folder):
    """The three images as a dataset without faults: two train, the third, with an object of its own, validates."""
    content = folder.content
    images, annotations = content["images"], content["annotations"]
    folder.write()
    content["images"], content["annotations"] = images[:2], annotations
    training = folder.write_list("annotations/instances_train2017.json")
    content["images"], content["annotations"] = images[2:], [{**annotations[0], "image_id": 4}]
    folder.write_list("annotations/instances_val2017.json")
    (folder.path / "train2017" / "empty.jpg").unlink()
    for name in ("a.jpg", "b.jpg"):
        (folder.path / "val2017" / name).unlink()
    content["images"], content["annotations"] = images[:2], annotations
    return training


def kinds(folder):
    return sorted(finding.kind for finding in check_dataset(folder.path).findings if finding.kind != "fewer-images")


def test_a_good_dataset_has_no_faults(folder):
    spread(folder)
    calls = []
    report = check_dataset(folder.path, progress=lambda *counts: calls.append(counts))
    assert report.counts == {"training": 2, "validation": 1}
    assert report.faults == ()
    assert calls[-1] == (3, 3)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"image_id": 99}, "unknown-image"),
        ({"category_id": 99}, "unknown-category"),
        ({"category_id": "cat"}, "annotation-entry"),
        ({"bbox": [1, 2, 3]}, "annotation-entry"),
        ({"bbox": [10, 5, 0, 20]}, "empty-box"),
        ({"bbox": [40, 5, 20, 20]}, "box-outside"),
        ({"bbox": [-4, 5, 20, 20]}, "box-outside"),
        ({"area": 0}, "no-area"),
        ({"id": 101}, "same-id"),
        ({"segmentation": None}, "no-shape"),
        ({"segmentation": []}, "no-shape"),
        ({"segmentation": [[1, 2, 3, 4]]}, "no-shape"),
        ({"segmentation": [[10, 5, 30, 5, 30, 99]]}, "outline-outside"),
        ({"segmentation": {"size": [50, 40], "counts": [2000]}}, "run-length-size"),
        ({"segmentation": {"size": [40, 50], "counts": [1000, 900]}}, "run-length"),
        ({"segmentation": {"size": [40, 50], "counts": [-1, 2001]}}, "run-length"),
        ({"segmentation": {"size": [40, 50], "counts": "nonsense"}}, "run-length"),
        ({"segmentation": {"counts": [2000]}}, "annotation-entry"),
    ],
)
def test_every_fault_of_an_annotation_is_named(folder, change, kind):
    training = spread(folder)
    folder.content["annotations"][0] = {**folder.content["annotations"][0], **change}
    folder.write_list("annotations/instances_train2017.json")
    [finding] = check_dataset(folder.path).faults
    assert (finding.kind, finding.file) == (kind, training)
    assert f"1 entry ({change.get('id', 100)})" in finding.message


def test_all_faults_are_reported_at_once(folder):
    spread(folder)
    (folder.path / "train2017" / "a.jpg").write_bytes(b"\xff\xd8\xff cut off")
    (folder.path / "train2017" / "b.jpg").unlink()
    Image.new("RGB", (9, 9)).save(folder.path / "val2017" / "empty.jpg")
    Image.new("RGB", (9, 9)).save(folder.path / "val2017" / "stray.jpg")
    folder.content["annotations"][0]["bbox"] = [0, 0, 0, 0]
    folder.content["images"].append({"id": 12, "file_name": "c.jpg"})
    folder.content["categories"].append({"id": 5, "name": "dog again"})
    folder.write_list("annotations/instances_train2017.json")
    expected = ["categories", "empty-box", "image-entry", "missing-image", "same-id", "size", "unlisted", "unreadable"]
    assert kinds(folder) == expected


def test_images_of_both_parts_and_listed_twice_are_found(folder):
    spread(folder)
    folder.content["images"].append({"id": 13, "file_name": "a.jpg", "height": 40, "width": 50})
    folder.write_list("annotations/instances_train2017.json")
    folder.write_list("annotations/instances_val2017.json")
    assert {"same-image", "same-name"} <= set(kinds(folder))


def test_a_list_that_is_cut_off_does_not_hide_the_other_one(folder):
    training = spread(folder)
    training.write_text(training.read_text(encoding="utf-8")[:-300], encoding="utf-8")
    (folder.path / "val2017" / "empty.jpg").write_bytes(b"")
    found = {(finding.kind, finding.file.name) for finding in check_dataset(folder.path).faults}
    assert {("unreadable", "instances_train2017.json"), ("unreadable", "empty.jpg")} <= found


def test_a_part_without_a_list_is_named(folder):
    spread(folder)
    (folder.path / "annotations" / "instances_val2017.json").unlink()
    assert "missing-list" in kinds(folder)


def test_what_cocos_copies_lack_is_told_from_what_people_leave_out(folder):
    spread(folder)
    notes = [finding for finding in check_dataset(folder.path).notes if finding.kind == "fewer-images"]
    assert [note.message[:32] for note in notes] == [
        "lists 2 of the 118287 images of ",
        "lists 1 of the 5000 images of CO",
    ]
