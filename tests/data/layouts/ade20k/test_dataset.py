"""Which files of a folder belong together, and what their labels mean."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medssm.data.layouts.ade20k import ADE20K_NAMES, load_scenes, read_scene_labels
from medssm.data.layouts.ade20k.labels import as_numbers
from medssm.data.layouts.check import check_dataset
from medssm.errors import DataError


def test_photographs_are_found_with_their_label_maps(folder: Path) -> None:
    dataset = load_scenes(folder)
    assert dataset.names == ("wall", "floor", "lamp")
    found = [(scene.image.name, scene.labels.name) for scene in (*dataset.training, *dataset.validation)]
    assert found == [("a.jpg", "a.png"), ("b.jpg", "b.png"), ("c.jpg", "c.png")]
    assert [len(dataset.training), len(dataset.validation)] == [2, 1]


def test_labels_count_from_0_and_other_is_ignored(folder: Path) -> None:
    labels = read_scene_labels(folder / "annotations/training/a.png", 3)
    assert labels.tolist() == [[255, 0, 1], [2, 255, 0]]
    assert as_numbers(labels).tolist() == [[0, 1, 2], [3, 0, 1]]


def test_the_benchmark_has_its_own_names(folder: Path) -> None:
    (folder / "names.txt").unlink()
    for part in ("training", "validation"):
        for side in ("images", "annotations"):
            for file in (folder / side / part).iterdir():
                file.rename(file.with_name(f"ADE_train_{file.name}"))
    assert load_scenes(folder).names == ADE20K_NAMES


def test_the_archives_folder_need_not_be_named(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    above = tmp_path_factory.mktemp("above")
    folder.rename(above / "ADEChallengeData2016")
    assert len(load_scenes(above).training) == 2


def test_the_table_of_a_benchmark_is_read(folder: Path) -> None:
    (folder / "names.txt").unlink()
    table = (
        "Idx\tRatio\tTrain\tVal\tName\n1\t0.2\t3\t1\twall\n2 \t0.1\t2\t1\tfloor, flooring\n3\t0.1\t1\t1\tfloor lamp \n"
    )
    (folder / "objectInfo150.txt").write_text(table, encoding="utf-8")
    assert load_scenes(folder).names == ("wall", "floor", "floor lamp")


def test_a_folder_without_names_is_explained(folder: Path) -> None:
    (folder / "names.txt").unlink()
    with pytest.raises(DataError, match=r"says nowhere what its classes are called; add names\.txt with a name a line"):
        load_scenes(folder)


@pytest.mark.parametrize("text", ["wall\n", "wall\nwall\nlamp\n", ""])
def test_a_list_of_names_that_makes_no_sense_is_explained(folder: Path, text: str) -> None:
    (folder / "names.txt").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"names\.txt: names \d classes, \d of them different"):
        load_scenes(folder)


def test_a_photograph_without_a_label_map_is_explained(folder: Path) -> None:
    (folder / "annotations/training/b.png").unlink()
    (folder / "images/validation/c.jpg").unlink()
    with pytest.raises(DataError, match=r"images/training: 1 photograph \(b\.jpg\) without a label map .* \(1 more; "):
        load_scenes(folder)


def test_another_folder_is_told_where_to_get_the_benchmark(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folders images and annotations .* or try --data synthetic"):
        load_scenes(tmp_path)


def test_a_number_of_no_class_is_explained(folder: Path, write_scene: Callable[..., None]) -> None:
    write_scene("training", "a", [[4, 1], [2, 7]])
    with pytest.raises(DataError, match=r"a\.png: holds label 4, but the classes are 1 to 3 and 0 is other"):
        read_scene_labels(folder / "annotations/training/a.png", 3)


def test_a_label_map_in_colours_is_explained(folder: Path) -> None:
    path = folder / "annotations/training/a.png"
    Image.new("RGB", (3, 2)).save(path)
    with pytest.raises(DataError, match=r"a\.png: holds colours \(RGB\), no label numbers"):
        read_scene_labels(path, 3)


def test_a_label_map_with_a_palette_is_its_numbers(folder: Path) -> None:
    path = folder / "annotations/training/a.png"
    image = Image.fromarray(np.array([[0, 1], [3, 2]], np.uint8), mode="P")
    image.putpalette(list(range(12)))
    image.save(path)
    assert read_scene_labels(path, 3).tolist() == [[255, 0], [2, 1]]


def test_labels_count_from_0_where_the_names_say_so(folder: Path) -> None:
    (folder / "names.txt").write_text("0 other\n1 wall\n2: floor\n3, lamp\n", encoding="utf-8-sig")
    dataset = load_scenes(folder)
    assert dataset.names == ("other", "wall", "floor", "lamp")
    _, labels = dataset.read(dataset.training[0])
    assert labels.tolist() == [[0, 1, 2], [3, 255, 1]]


def test_numbers_that_are_part_of_the_names_say_nothing(folder: Path) -> None:
    (folder / "names.txt").write_text("2 chairs\n3 chairs\nlamp\n", encoding="utf-8")
    assert (load_scenes(folder).names[0], load_scenes(folder).first) == ("2 chairs", 1)


# What all label maps hold, with names of two or three classes -> what is said of them.
DOUBTFUL = {
    "from 0": ([[0, 1], [2, 255]], "hold 0 to 2 and never 3, as if the classes counted from 0"),
    "0 and 255": ([[0, 255], [0, 0]], "hold 0 and 255 alone, and neither is a class"),
    "nothing": ([[0, 0], [0, 0]], "say of no pixel what it is"),
}


@pytest.mark.parametrize(("numbers", "sentence"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_label_maps_that_would_lose_a_class_are_refused(
    folder: Path, write_scene: Callable[..., None], numbers: list[list[int]], sentence: str
) -> None:
    for stem in ("a", "b"):
        write_scene("training", stem, numbers)
    with pytest.raises(DataError, match=f"annotations/training: the label maps {sentence}"):
        load_scenes(folder)
    assert [fault.kind for fault in check_dataset(folder).faults] == ["numbering"]
    (folder / "names.txt").write_text("1 wall\n2 floor\n3 lamp\n", encoding="utf-8")
    assert load_scenes(folder).first == 1
    assert not check_dataset(folder).faults


@pytest.mark.parametrize("mode", [np.bool_, np.uint16, ">u2", np.int32])
def test_label_maps_may_be_of_any_whole_numbers(folder: Path, mode: str) -> None:
    path = folder / "annotations" / "training" / "a.tif"
    numbers = np.array([[0, 1], [1, 0]]).astype(mode)
    image = Image.frombytes("I;16B", (2, 2), numbers.tobytes()) if mode == ">u2" else Image.fromarray(numbers)
    image.save(path)
    assert read_scene_labels(path, 3).tolist() == [[255, 0], [0, 255]]


def test_photographs_of_one_name_are_refused(folder: Path) -> None:
    Image.new("RGB", (3, 2)).save(folder / "images" / "training" / "a.png")
    with pytest.raises(DataError, match=r"images/training: 2 images \(a.jpg, a.png\) called alike"):
        load_scenes(folder)


@pytest.mark.parametrize(("orientation", "is_noted"), [(1, False), (3, True)])
def test_a_turn_that_keeps_the_size_is_noted(folder: Path, orientation: int, is_noted: bool) -> None:
    path = folder / "images" / "training" / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).save(path, exif=exif)
    assert ("exif" in {note.kind for note in check_dataset(folder).notes}) == is_noted
