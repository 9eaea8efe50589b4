"""Reading of datasets in COCO's format."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image
from torchvision.models._meta import _COCO_CATEGORIES

from medssm.data.layouts.check import check_dataset
from medssm.data.layouts.coco import CATEGORIES, NAMES, load_coco, read_annotations
from medssm.data.layouts.coco.dataset import read_annotated_image
from medssm.errors import DataError


def rectangle(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((40, 50), np.uint8)
    mask[rows, columns] = 1
    return mask


def test_categories_are_those_that_torchvision_lists():
    listed = {number: name for number, name in enumerate(_COCO_CATEGORIES) if name not in ("N/A", "__background__")}
    assert listed == CATEGORIES
    assert len(NAMES) == 80


@pytest.mark.parametrize(
    ("root", "lists"),
    [
        ("{part}2017", "annotations/instances_{part}2017.json"),
        ("images/{part}2017", "annotations/instances_{part}2017.json"),
        ("{part}", "annotations/{part}.json"),
        ("images", "annotations/instances_{part}.json"),
        ("{part}", "{part}/_annotations.coco.json"),
    ],
)
def test_every_layout_is_found(folder, root, lists):
    dataset = load_coco(folder.write(root, lists))
    assert all(dataset.training.path(place).is_file() for place in range(2))
    assert len(dataset.validation) == 3


def test_boxes_labels_and_masks_are_those_of_the_file(folder):
    dataset = load_coco(folder.write())
    image = dataset.training[1]
    assert (image.id, image.path.name, image.size) == (3, "a.jpg", (40, 50))
    assert image.boxes.tolist() == [[10, 5, 30, 25], [40, 20, 50, 40]]
    assert [dataset.names[label] for label in image.labels] == ["dog", "cat"]
    expected = [rectangle(slice(5, 25), slice(10, 30)), rectangle(slice(20, 40), slice(40, 50))]
    np.testing.assert_array_equal(image.masks, expected)


def test_crowd_regions_are_no_targets_but_kept(folder):
    dataset = load_coco(folder.write())
    crowd = dataset.training[0]
    assert (len(crowd.boxes), crowd.masks.shape) == (0, (0, 40, 50))
    known = dataset.validation.annotations
    assert known.ids[known.is_crowd].tolist() == [101]
    np.testing.assert_array_equal(known.mask(0, int(known.first[0])), rectangle(slice(0, 10), slice(0, 50)))


def test_images_without_annotations_validate_but_do_not_train(folder):
    dataset = load_coco(folder.write())
    assert [dataset.training[place].id for place in range(len(dataset.training))] == [7, 3]
    assert [dataset.validation[place].id for place in range(3)] == [7, 3, 4]


@pytest.mark.parametrize(
    "change",
    [
        {"area": 0},
        {"bbox": [10, 5, 0.5, 20]},
        {"bbox": [60, 5, 20, 20]},
        {"segmentation": [[1, 2, 3, 4]]},
        {"segmentation": {"size": [50, 40], "counts": [2000]}},
        {"segmentation": {"size": [40, 50], "counts": [0, 2001]}},
        {"segmentation": {"size": [40, 50], "counts": "not run lengths"}},
    ],
)
def test_what_has_no_area_or_no_shape_is_no_target(folder, change):
    folder.content["annotations"][0] |= change
    assert load_coco(folder.write()).training[1].boxes.tolist() == [[40, 20, 50, 40]]


def test_boxes_end_at_the_edge_of_the_image(folder):
    folder.content["annotations"][0]["bbox"] = [-5, 5, 90, 90]
    assert load_coco(folder.write()).training[1].boxes[0].tolist() == [0, 5, 50, 40]


def test_lists_may_come_in_any_order(folder):
    expected = read_annotations(folder.write_list("a.json"))
    folder.content = dict(reversed(folder.content.items()))
    found = read_annotations(folder.write_list("b.json"))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.counts, expected.counts)


def test_dataset_survives_pickling_without_its_arrays(folder):
    images = load_coco(folder.write()).training
    pickled = pickle.dumps(images)
    assert len(pickled) < 1000
    np.testing.assert_array_equal(pickle.loads(pickled)[1].masks, images[1].masks)


def test_a_changed_file_is_read_again(folder):
    first = read_annotations(folder.write_list("a.json"))
    del folder.content["annotations"][0]
    assert len(read_annotations(folder.write_list("a.json")).ids) == len(first.ids) - 1


@pytest.mark.parametrize(
    ("key", "place", "change", "message"),
    [
        ("annotations", 0, {"image_id": 99}, "annotation 100 is of image 99, which is not listed"),
        ("annotations", 0, {"category_id": 99}, "annotation 100 is of category 99, which is not listed"),
        ("annotations", 0, {"bbox": None}, "an entry of annotations"),
        ("images", 0, {"width": "wide"}, "an entry of images"),
    ],
)
def test_a_fault_of_the_file_is_one_sentence(folder, key, place, change, message):
    folder.content[key][place] |= change
    with pytest.raises(DataError, match=message):
        load_coco(folder.write())


def test_a_file_that_is_cut_off_is_named(folder):
    path = folder.write_list("a.json")
    path.write_text(path.read_text(encoding="utf-8")[:-200], encoding="utf-8")
    with pytest.raises(DataError, match=r"a.json: is no JSON or is cut off"):
        read_annotations(path)


def test_categories_of_both_parts_must_agree(folder):
    folder.write()
    folder.content["categories"].append({"id": 9, "name": "cow"})
    folder.write_list("annotations/instances_val2017.json")
    with pytest.raises(DataError, match="other categories"):
        load_coco(folder.path)


def test_a_folder_without_lists_says_where_coco_is(tmp_path):
    with pytest.raises(DataError, match=r"cocodataset\.org"):
        load_coco(tmp_path)


def test_entries_of_a_file_equal_those_that_json_reads(folder):
    from medssm.data.layouts.coco.json_lists import json_entries

    path = folder.write_list("a.json")
    path.write_text(json.dumps(folder.content, indent=2), encoding="utf-8")
    found: dict = {}
    for key, entry in json_entries(path):
        found.setdefault(key, []).append(entry)
    assert found == {**folder.content, "info": [folder.content["info"]]}


def rotated_file(path, size):
    """A file stored as `size` (H, W), black but for its first row, whose EXIF asks for a quarter turn."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(path, exif=exif)


def test_annotations_lie_on_the_stored_pixels_whatever_exif_says(tmp_path):
    rotated_file(tmp_path / "a.png", (4, 6))
    pixels = np.asarray(read_annotated_image(tmp_path / "a.png", (4, 6)))
    assert pixels.shape == (4, 6, 3)
    assert (pixels[0] == 255).all()


def test_a_rotated_image_is_taken_where_it_alone_has_the_annotated_size(tmp_path):
    rotated_file(tmp_path / "a.png", (4, 6))
    pixels = np.asarray(read_annotated_image(tmp_path / "a.png", (6, 4)))
    assert pixels.shape == (6, 4, 3)
    assert (pixels[:, -1] == 255).all()


def test_an_image_of_another_size_is_refused(tmp_path):
    rotated_file(tmp_path / "a.png", (4, 6))
    with pytest.raises(DataError, match=r"has 6x4 pixels, but the annotations are for 9x9"):
        read_annotated_image(tmp_path / "a.png", (9, 9))


NAN, INFINITE = float("nan"), float("inf")


def every(content, **changes):
    """The same change of every annotation; a function is given what was there."""
    for entry in content["annotations"]:
        entry |= {key: change(entry) if callable(change) else change for key, change in changes.items()}


def corners(entry):
    left, top, width, height = entry["bbox"]
    return [left, top, left + width, top + height]


def centre(entry):
    left, top, width, height = entry["bbox"]
    return [left + width / 2, top + height / 2, width, height]


def shares(entry):
    return [value / side for value, side in zip(entry["bbox"], (50, 40, 50, 40), strict=True)]


def small_polygon(entry):
    return [[0.1, 0.1, 0.5, 0.1, 0.5, 0.5]]


# What a file may not hold -> the sentence in which it is refused.
UNUSABLE = {
    "image twice": (lambda c: c["images"].append({**c["images"][1], "id": 7}), "image 7 is listed twice"),
    "category twice": (lambda c: c["categories"].append({"id": 5, "name": "cow"}), "category 5 is listed twice"),
    "same name": (lambda c: c["categories"].append({"id": 6, "name": "cat"}), "two categories are called cat"),
    "no name": (lambda c: c["categories"].append({"id": 6, "name": None}), "its name must be a text"),
    "large id": (lambda c: c["images"][0].update(id=2**63), "its id must be a whole number of 64 bits"),
    "true id": (lambda c: c["annotations"][0].update(category_id=True), "its category_id must be a whole number"),
    "fraction": (lambda c: c["images"][0].update(id=7.5), "its id must be a whole number of 64 bits, found 7.5"),
    "name as id": (lambda c: c["images"][0].update(id="b.jpg"), "found 'b.jpg'"),
    "no id": (lambda c: c["annotations"][0].pop("id"), "it has no id"),
    "no box": (lambda c: c["annotations"][0].pop("bbox"), "it has no bbox"),
    "text box": (lambda c: c["annotations"][0].update(bbox=["10", 5, 20, 20]), "its bbox must be four numbers"),
    "NaN box": (lambda c: c["annotations"][0].update(bbox=[NAN, 5, 20, 20]), r"four numbers, .* found \[nan, 5, 20"),
    "endless box": (lambda c: c["annotations"][0].update(bbox=[1, 5, INFINITE, 20]), "its bbox must be four numbers"),
    "NaN area": (lambda c: every(c, area=NAN), "its area must be a number, found nan"),
    "no area": (lambda c: every(c, area=None), "its area must be a number, found None"),
    "crowd in words": (lambda c: every(c, iscrowd="0"), "its iscrowd must be 0 or 1"),
    "NaN outline": (lambda c: every(c, segmentation=[[NAN, 6, 24, 6, 24, 20]]), "a polygon of something else than"),
    "text outline": (lambda c: every(c, segmentation=[["4", 6, 24, 6, 24, 20]]), "a polygon of something else than"),
    "odd segmentation": (lambda c: every(c, segmentation="none"), "neither a list of polygons nor run lengths"),
    "no counts": (lambda c: every(c, segmentation={"size": [40, 50]}), "no size or no counts"),
    "corners": (lambda c: every(c, bbox=corners), "each bbox is left, top, right, bottom, as 1 outlines show"),
    "centres": (lambda c: every(c, bbox=centre), "each bbox is the centre, width and height"),
    "shares": (lambda c: every(c, bbox=shares), "each bbox lies between 0 and 1"),
    "outline of shares": (lambda c: every(c, segmentation=small_polygon), "each polygon lies between 0 and 1"),
    "outside": (lambda c: c["images"][0].update(file_name="../b.jpg"), "leads out of the images' folder"),
    "absolute": (lambda c: c["images"][0].update(file_name="/etc/b.jpg"), "leads out of the images' folder"),
    "backslashes": (lambda c: c["images"][0].update(file_name="..\\b.jpg"), "leads out of the images' folder"),
    "half a letter": (lambda c: c["images"][0].update(file_name="\ud800.jpg"), "must be a text without control"),
    "no letter": (lambda c: c["images"][0].update(file_name="a\0.jpg"), "must be a text without control"),
    "endless name": (lambda c: c["images"][0].update(file_name="a" * 2000), "must be a text without control"),
    "no size": (lambda c: c["images"][0].update(width=0), "its size is 0 x 40"),
    "lying size": (lambda c: c["images"][0].update(width=10**9, height=10**9), "its size is 1000000000 x"),
    "no images": (lambda c: c.update(images=[], annotations=[]), "lists no images"),
    "no annotation": (lambda c: c.update(annotations=None), "it is None in place of names with values"),
}


@pytest.mark.parametrize(("change", "sentence"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_training_refuses_is_one_sentence_and_a_fault_of_the_check(folder, change, sentence):
    path = folder.write()
    change(folder.content)
    folder.write_list("annotations/instances_train2017.json")
    with pytest.raises(DataError, match=sentence) as caught:
        load_coco(path)
    assert len(str(caught.value).replace(str(path), "")) < 300
    assert [fault for fault in check_dataset(path).faults if fault.file.name == "instances_train2017.json"]


BROKEN = {
    "deep": ("[" * 100_000, "lists in lists without end"),
    "digits": ('{"images": [' + "9" * 5000 + "]}", "a number of thousands of digits"),
    "utf-16": ("{}".encode("utf-16"), "is no text in UTF-8"),
    "twice": ('{"images": []}{"images": []}', "Extra data"),
    "list for a name": ('{["images"]: []}', "Expecting a name"),
}


@pytest.mark.parametrize(("text", "sentence"), BROKEN.values(), ids=BROKEN)
def test_text_that_is_no_json_is_refused(folder, text, sentence):
    path = folder.write() / "annotations" / "instances_train2017.json"
    text = '{"images": ' + text if sentence.startswith("lists") else text
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=sentence):
        load_coco(folder.path)
    assert "unreadable" in {fault.kind for fault in check_dataset(folder.path).faults}


def test_a_byte_order_mark_is_passed_over(folder):
    path = folder.write() / "annotations" / "instances_train2017.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load_coco(folder.path).training) == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"segmentation": []}, "none of its 2 objects has an outline"),
        ({"area": 0}, "2 without an area"),
        ({"bbox": [60, 5, 20, 20]}, "2 whose box is outside of the image"),
        ({"iscrowd": 1}, "crowd regions alone"),
    ],
)
def test_a_dataset_without_anything_to_learn_says_why(folder, change, sentence):
    path = folder.write()
    every(folder.content, **change)
    folder.write_list("annotations/instances_train2017.json")
    assert sentence in load_coco(path).training.refusal
    assert [fault for fault in check_dataset(path).faults if sentence in fault.message]


def test_objects_that_nothing_is_learned_from_are_counted(folder):
    folder.content["annotations"][0] |= {"segmentation": None}
    folder.content["annotations"][2] |= {"bbox": [1, 1, 0.5, 9]}
    images = load_coco(folder.write()).training
    assert images.left_out == "1 without an outline, 1 whose box is smaller than a pixel"


def test_polygons_of_a_shape_are_united(folder):
    squares = [[x, 5, x + 2, 5, x + 2, 7, x, 7] for x in range(0, 40, 2)] * 3
    folder.content["annotations"][0] |= {"segmentation": squares}
    np.testing.assert_array_equal(load_coco(folder.write()).training[1].masks[0], rectangle(slice(5, 7), slice(0, 40)))


@pytest.mark.parametrize("far", [1e12, -1e12, 1e8, 501])
def test_an_outline_far_from_the_image_is_no_shape(folder, far):
    folder.content["annotations"][0] |= {"segmentation": [[far, 5, 30, 5, 30, 25]]}
    images = load_coco(folder.write()).training
    assert (images[1].boxes.tolist(), images.left_out) == ([[40, 20, 50, 40]], "1 without an outline")


def test_an_outline_longer_than_any_is_no_shape(folder):
    folder.content["annotations"][0] |= {"segmentation": [[0, 0, 49, 0, 49, 39] * 20_000]}
    assert load_coco(folder.write()).training.left_out == "1 without an outline"


def test_run_lengths_of_endless_numbers_are_no_shape(folder):
    folder.content["annotations"][0] |= {"segmentation": {"size": [40, 50], "counts": "o" * 300_000}}
    assert load_coco(folder.write()).training.left_out == "1 without an outline"


@pytest.mark.parametrize("name", ["train2017/b.jpg", "train2017\\b.jpg"])
def test_file_names_may_be_relative_to_the_dataset(folder, name):
    path = folder.write()
    for image in folder.content["images"]:
        image["file_name"] = name.replace("b.jpg", image["file_name"])
    folder.write_list("annotations/instances_train2017.json")
    assert load_coco(path).training.path(0) == path / "train2017" / "b.jpg"
    assert "missing-image" not in {fault.kind for fault in check_dataset(path).faults}


def test_an_image_that_is_not_there_is_missed_before_training(folder):
    (folder.write() / "train2017" / "b.jpg").unlink()
    with pytest.raises(DataError, match=r"1 listed image \(b.jpg\) not in .*train2017"):
        load_coco(folder.path)


def test_a_list_stands_for_its_dataset(folder):
    path = folder.write()
    named = load_coco(path / "annotations" / "instances_train2017.json")
    assert named.training.path(0) == path / "train2017" / "b.jpg"
    assert check_dataset(path / "annotations" / "instances_val2017.json").folder == path
    other = folder.write_list("other.json")
    with pytest.raises(DataError, match="give the folder of the dataset"):
        load_coco(other)


@pytest.mark.parametrize(("orientation", "size", "is_noted"), [(3, (40, 50), True), (1, (40, 50), False)])
def test_a_turn_that_keeps_the_size_is_noted(folder, orientation, size, is_noted):
    path = folder.write()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path / "train2017" / "b.jpg", exif=exif)
    assert ("exif" in {note.kind for note in check_dataset(path).notes}) == is_noted
