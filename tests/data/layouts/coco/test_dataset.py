"""Reading of datasets in COCO's format."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image
from torchvision.models._meta import _COCO_CATEGORIES

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
