import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from medssm.data.layouts.imagenet import ImageDataset, ImageSample, imagenet_classes, load_image_dataset, with_classes
from medssm.data.layouts.imagenet.synsets import devkit_classes
from medssm.errors import DataError

# Position of each class in sorted order, and its class among ImageNet's 1000 as published models number them.
TENCH, GOLDFISH, FOX = 0, 1, 2
PUBLISHED_FOX = 278


def labels(samples: Sequence[ImageSample]) -> dict[str, int]:
    return {sample.path.name: sample.label for sample in samples}


def flat(folder: Any, expected: Sequence[int]) -> dict[str, int]:
    """What the labels of ImageNet's first validation images should be."""
    return {folder.validation_name(number): label for number, label in enumerate(expected, 1)}


def test_a_label_is_the_position_of_the_folder_in_sorted_order(folder: Any) -> None:
    folder.put("train/zebra/a.jpg", "train/Ant/b.PNG", "train/bee/c.jpeg", "val/zebra/d.jpg", "val/bee/e.webp")
    dataset = load_image_dataset(folder.path)
    assert dataset.classes == dataset.names == ("Ant", "bee", "zebra")
    assert labels(dataset.training) == {"b.PNG": 0, "c.jpeg": 1, "a.jpg": 2}
    assert labels(dataset.validation) == {"e.webp": 1, "d.jpg": 2}
    assert all(sample.path.is_file() for sample in (*dataset.training, *dataset.validation))


def test_wordnet_numbers_get_their_names(folder: Any) -> None:
    folder.put("train/n01440764/a.JPEG", "train/n99999999/b.JPEG", "train/other/c.JPEG")
    assert load_image_dataset(folder.path).names == ("tench, Tinca tinca", "n99999999", "other")


@pytest.mark.parametrize(
    ("training", "validation"),
    [
        ("train", "val"),
        ("TrainingSet", "ValidationSet"),
        ("ILSVRC2012_img_train", "ILSVRC2012_img_val"),
        ("ILSVRC/Data/CLS-LOC/train", "ILSVRC/Data/CLS-LOC/val"),
        ("training", "validation"),
    ],
)
@pytest.mark.parametrize("is_flat", [False, True])
def test_the_parts_are_found_whatever_they_are_called(
    folder: Any, training: str, validation: str, is_flat: bool
) -> None:
    folder.put_training(training)
    if is_flat:
        folder.put_validation(2, validation)
        folder.put_devkit([folder.fox, folder.tench])
    else:
        folder.put(f"{validation}/{folder.fox}/{folder.validation_name(1)}")
        folder.put(f"{validation}/{folder.tench}/{folder.validation_name(2)}")
    dataset = load_image_dataset(folder.path)
    assert [sample.label for sample in dataset.training] == [TENCH, TENCH, GOLDFISH, GOLDFISH, FOX, FOX]
    assert labels(dataset.validation) == flat(folder, [FOX, TENCH])


def test_images_in_folders_below_a_class_are_its_own_and_other_files_are_left_out(folder: Any) -> None:
    folder.put("train/cat/images/b.jpg", "train/cat/a.jpg", "train/cat/._a.jpg", "train/.hidden/c.jpg", "val/cat/d.jpg")
    folder.write("train/cat/boxes.txt", "b.jpg 0 0 1 1")
    dataset = load_image_dataset(folder.path)
    assert dataset.classes == ("cat",)
    assert [sample.path.relative_to(folder.path) for sample in dataset.training] == [
        Path("train/cat/a.jpg"),
        Path("train/cat/images/b.jpg"),
    ]


@pytest.mark.parametrize("root", ["ILSVRC2012_devkit_t12/data", "devkit/data", "data", ".", "val"])
def test_the_devkits_ids_are_no_positions(folder: Any, root: str) -> None:
    """Goldfish has ID 450 and fox has 1: as positions they would be out of range, or the class after tench."""
    folder.put_training()
    folder.put_validation(4)
    folder.put_devkit([folder.fox, folder.goldfish, folder.tench, folder.fox], root)
    assert labels(load_image_dataset(folder.path).validation) == flat(folder, [FOX, GOLDFISH, TENCH, FOX])


def test_the_devkit_of_2015_tells_its_ids_in_a_text(folder: Any) -> None:
    folder.put_training()
    folder.put_validation(2)
    folder.write("ILSVRC/devkit/data/ILSVRC2015_clsloc_validation_ground_truth.txt", "3", "1")
    folder.write("ILSVRC/devkit/data/map_clsloc.txt", "n02119789 1 kit_fox", "n01443537 2 g", "n01440764 3 tench")
    (folder.path / "ILSVRC/devkit").rename(folder.path / "devkit")
    (folder.path / "ILSVRC").rmdir()
    assert labels(load_image_dataset(folder.path).validation) == flat(folder, [TENCH, FOX])


def test_the_number_in_the_name_decides_not_the_place_among_those_that_are_there(folder: Any) -> None:
    folder.put_training()
    folder.put(f"val/{folder.validation_name(3)}")
    folder.put_devkit([folder.fox, folder.fox, folder.goldfish])
    assert labels(load_image_dataset(folder.path).validation) == {folder.validation_name(3): GOLDFISH}


def test_synsets_above_the_classes_are_none(folder: Any) -> None:
    folder.put_devkit([folder.fox], "kit")
    assert devkit_classes(folder.path / "kit/meta.mat") == {1: folder.fox, 449: folder.tench, 450: folder.goldfish}


def test_ids_without_their_meaning_are_refused(folder: Any) -> None:
    folder.put_training()
    folder.put_validation(2)
    folder.put_devkit([folder.fox, folder.fox])
    (folder.path / "ILSVRC2012_devkit_t12/data/meta.mat").unlink()
    with pytest.raises(DataError, match=r"ILSVRC IDs, which are in no order .* put the devkit's meta\.mat beside it"):
        load_image_dataset(folder.path)


def test_a_damaged_meta_mat_gets_its_sentence(folder: Any) -> None:
    folder.put_training()
    folder.put_validation(1)
    folder.put_devkit([folder.fox])
    meta = folder.path / "ILSVRC2012_devkit_t12/data/meta.mat"
    meta.write_bytes(meta.read_bytes()[:200])
    with pytest.raises(DataError, match=r"meta\.mat: is no list of ImageNet's synsets"):
        load_image_dataset(folder.path)


LISTS = {
    "positions": ("val.txt", "{0} 2", "{1} 0"),
    "positions without endings": ("val_list.txt", "{0:stem} 2", "{1:stem} 0"),
    "wnids": ("anything.txt", "{0} n02119789", "{1} n01440764"),
    "paths": ("val.txt", "val/{0}\tn02119789", "val/{1}\tn01440764"),
    "csv with a heading": ("labels.csv", "file,label", "{0},n02119789", "{1},n01440764"),
    "csv with numbers": ("labels.csv", "{0},2", "{1},0"),
    "Kaggle": ("LOC_val_solution.csv", "ImageId,PredictionString", "{0:stem},n02119789 9 1 4 2 n02119789 1 1 2 2 ",
               "{1:stem},n01440764 85 1 499 272 "),
    "boxes after the class": ("val_annotations.txt", "{0}\tn02119789\t0\t32\t44\t62", "{1}\tn01440764\t0\t0\t1\t1"),
    "a number on each line": ("synset_labels.txt", "n02119789", "n01440764", "n02119789"),
}  # fmt: skip


class Name(str):
    """A file's name that a format of "stem" cuts."""

    def __format__(self, how: str) -> str:
        return self.removesuffix(".JPEG") if how == "stem" else str(self)


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("with_training", [True, False])
def test_a_list_tells_the_classes(folder: Any, kind: str, with_training: bool) -> None:
    """Without training folders the labels are those of the published models."""
    if with_training:
        folder.put_training()
    folder.put_validation(2)
    name, *lines = LISTS[kind]
    names = [Name(folder.validation_name(number)) for number in (1, 2)]
    folder.write(name, *(line.format(*names) for line in lines))
    dataset = load_image_dataset(folder.path)
    is_number = ("number" in kind and "line" not in kind) or "positions" in kind
    fox = FOX if with_training or is_number else PUBLISHED_FOX
    assert labels(dataset.validation) == flat(folder, [fox, TENCH])
    assert len(dataset.classes) == (3 if with_training else 1000)


def test_kaggles_tree_is_read_with_kaggles_list_and_not_with_its_numbering_of_images(folder: Any) -> None:
    """ImageSets/CLS-LOC/val.txt has a number after each name too: that of the line."""
    folder.put_training("ILSVRC/Data/CLS-LOC/train")
    folder.put_validation(2, "ILSVRC/Data/CLS-LOC/val")
    folder.put("ILSVRC/Data/CLS-LOC/test/ILSVRC2012_test_00000001.JPEG")
    folder.write("ILSVRC/ImageSets/CLS-LOC/val.txt", "ILSVRC2012_val_00000001 1", "ILSVRC2012_val_00000002 2")
    folder.write("LOC_synset_mapping.txt", "n01440764 tench, Tinca tinca", "n01443537 goldfish, Carassius auratus")
    folder.write("LOC_val_solution.csv", "ImageId,PredictionString", "ILSVRC2012_val_00000001,n02119789 1 1 2 2",
                 "ILSVRC2012_val_00000002,n01440764 1 1 2 2")  # fmt: skip
    for named in (folder.path, folder.path / "ILSVRC", folder.path / "ILSVRC/Data/CLS-LOC"):
        assert labels(load_image_dataset(named).validation) == flat(folder, [FOX, TENCH])


def test_a_list_of_the_classes_is_no_list_of_labels(folder: Any) -> None:
    folder.put_training()
    folder.put_validation(3)
    folder.write("synsets.txt", *folder.wnids)
    with pytest.raises(DataError, match="nothing tells the classes of the 3 images"):
        load_image_dataset(folder.path)


def test_numbers_from_one_are_not_taken_for_positions(folder: Any) -> None:
    folder.put_training()
    folder.put_validation(3)
    folder.write("val.txt", *(f"{folder.validation_name(number)} {number}" for number in (1, 2, 3)))
    with pytest.raises(DataError, match="gives the numbers 1 to 3, but positions in the sorted folders run from 0"):
        load_image_dataset(folder.path)


def test_a_folder_called_by_a_number_is_found_by_its_name(folder: Any) -> None:
    """Sorted as text, 10 comes before 9."""
    folder.put("train/9/a.jpg", "train/10/b.jpg", "val/x.jpg", "val/y.jpg")
    folder.write("val.csv", "x.jpg,9", "y.jpg,10")
    assert labels(load_image_dataset(folder.path).validation) == {"x.jpg": 1, "y.jpg": 0}


def test_class_names_of_several_words_are_found(folder: Any) -> None:
    folder.put("train/great white shark/a.jpg", "train/great auk/b.jpg", "val/my photo.jpg")
    folder.write("val.csv", "my photo.jpg,great white shark")
    assert labels(load_image_dataset(folder.path).validation) == {"my photo.jpg": 1}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("{0} 2",), r"1 image \(ILSVRC2012_val_00000002.JPEG\) not named in val.txt"),
        (("{0} 2", "{1} 7"), r"gives 1 class \(7\): no training folder and no position from 0 to 2"),
        (("{0} 2", "{1} " + "9" * 5000), r"gives 1 class \(9{59}…\): no training folder"),
        (("{0} 2", "{1} -1"), r"gives 1 class \(-1\): no training folder"),
        (("{0} 2", "{1} n01484850"), r"gives 1 class \(n01484850\): no training folder"),
        (("{0} 2", "{1} 0", "{0} 1"), r"val.txt: gives two classes to 1 image \(ILSVRC2012_val_00000001.JPEG\)"),
    ],
)
def test_a_label_that_cannot_be_meant_is_refused(folder: Any, lines: Sequence[str], message: str) -> None:
    folder.put_training()
    folder.put_validation(2)
    folder.write("val.txt", *(line.format(folder.validation_name(1), folder.validation_name(2)) for line in lines))
    with pytest.raises(DataError, match=message):
        load_image_dataset(folder.path)


def test_two_lists_are_one_too_many(folder: Any) -> None:
    folder.put_training()
    folder.put_validation(1)
    for name in ("a.txt", "b.txt"):
        folder.write(name, f"{folder.validation_name(1)} 0")
    with pytest.raises(DataError, match=r"a\.txt: gives classes of the images, and so does .*b\.txt; keep one"):
        load_image_dataset(folder.path)


def test_a_validation_class_that_nobody_trains_is_refused(folder: Any) -> None:
    folder.put("train/cat/a.jpg", "val/cat/b.jpg", "val/dog/c.jpg")
    with pytest.raises(DataError, match=r"val: 1 class \(dog\) without a training folder"):
        load_image_dataset(folder.path)


def test_validation_alone_is_a_dataset(folder: Any) -> None:
    folder.put("val/cat/a.jpg", "val/dog/b.jpg")
    dataset = load_image_dataset(folder.path)
    assert (len(dataset.training), dataset.classes) == (0, ("cat", "dog"))
    assert labels(dataset.validation) == {"a.jpg": 0, "b.jpg": 1}


def test_the_flat_folder_itself_may_be_named(folder: Any) -> None:
    folder.put_validation(2, "images")
    folder.put_devkit([folder.goldfish, folder.fox])
    dataset = load_image_dataset(folder.path / "images")
    assert dataset.classes == imagenet_classes()
    assert labels(dataset.validation) == flat(folder, [GOLDFISH, PUBLISHED_FOX])


def test_tiny_imagenet_has_its_images_one_folder_deeper(folder: Any) -> None:
    folder.put("train/n01443537/images/n01443537_0.JPEG", "train/n02119789/images/n02119789_0.JPEG")
    folder.put("val/images/val_0.JPEG")
    folder.write("val/val_annotations.txt", "val_0.JPEG\tn02119789\t0\t32\t44\t62")
    assert labels(load_image_dataset(folder.path).validation) == {"val_0.JPEG": 1}


def test_images_that_have_no_folders_get_a_sentence(folder: Any) -> None:
    folder.put("train/a.jpg", "val/cat/b.jpg")
    with pytest.raises(DataError, match=r"train: no image lies in a folder of its class; lay them out as train/CLASS"):
        load_image_dataset(folder.path)


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_no_dataset_says_where_imagenet_is_had(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"(no folders train and val in it|no such folder)\. ImageNet-1k is had"):
        load_image_dataset(tmp_path / name)


def test_labels_can_follow_a_model_of_more_classes(folder: Any) -> None:
    folder.put_training()
    folder.put(f"val/{folder.fox}/a.JPEG")
    dataset = with_classes(load_image_dataset(folder.path), imagenet_classes())
    assert [sample.label for sample in dataset.validation] == [PUBLISHED_FOX]
    assert dataset.names[PUBLISHED_FOX].startswith("kit fox")
    with pytest.raises(DataError, match=r"1 class \(n02119789\) unknown to the model"):
        with_classes(load_image_dataset(folder.path), (folder.tench, folder.goldfish))


def test_samples_are_a_sequence_that_survives_pickling(folder: Any) -> None:
    folder.put("train/cat/ä.jpg", "train/cat/b.jpg", "train/dog/c.jpg", "val/dog/d.jpg")
    (folder.path / "train/bee").mkdir()
    samples = load_image_dataset(folder.path).training
    expected = [("b.jpg", 1), ("ä.jpg", 1), ("c.jpg", 2)]
    for some in (samples, pickle.loads(pickle.dumps(samples))):
        assert [(sample.path.name, sample.label) for sample in some] == expected
        assert some[-1] == some[2] == some[1:][1] == ImageSample(folder.path / "train/dog/c.jpg", 2)
        assert some.labels.tolist() == [1, 1, 2]
        with pytest.raises(IndexError):
            some[3]


def test_listing_opens_and_asks_about_no_image(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.put_training()
    folder.put(f"val/{folder.fox}/a.JPEG")
    asked = []
    real = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **options: asked.append(path.name) or real(path, **options))
    dataset: ImageDataset = load_image_dataset(folder.path)
    assert len(dataset.training) == 6
    assert not [name for name in asked if name.endswith(".JPEG")]
