"""Data sets of actions in the ways in which people have them; their videos are found by name, so empty files do."""

import csv
from pathlib import Path

import pytest

from medssm.data.images.samples import ImageSamples
from medssm.data.layouts.actions import ActionSetName, find_action_set, load_action_set
from medssm.errors import DataError, UsageError

UCF_CLASSES = ("ApplyEyeMakeup", "Archery", "YoYo")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\r\n" for line in lines), encoding="utf-8")  # as in the archives


def ucf101(folder: Path, lists: str = "ucfTrainTestlist") -> list[str]:
    """Lists of two splits, which exchange training and test; gives the names of the videos."""
    write(folder / lists / "classInd.txt", *(f"{number} {name}" for number, name in enumerate(UCF_CLASSES, start=1)))
    names = [[f"{name}/v_{name}_g{group:02d}_c01.avi" for name in UCF_CLASSES] for group in (8, 1)]
    for split in (1, 2):
        training, test = names if split == 1 else reversed(names)
        numbered = (f"{name} {number}" for number, name in enumerate(training, start=1))
        write(folder / lists / f"trainlist0{split}.txt", *numbered)
        write(folder / lists / f"testlist0{split}.txt", *test)
    return [name for part in names for name in part]


def hmdb51(folder: Path, lists: str = "testTrainMulti_7030_splits") -> list[str]:
    """Two classes with a video of the same name for each purpose: 0 is for neither part."""
    for name in ("wave", "catch"):
        write(folder / lists / f"{name}_test_split1.txt", *(f"film_{purpose}.avi {purpose} " for purpose in (1, 2, 0)))
    return [f"{name}/film_{purpose}.avi" for name in ("wave", "catch") for purpose in (0, 1, 2)]


def kinetics400(folder: Path, lists: str = "annotations") -> list[str]:
    """Two classes, a video of each for training, validation and test."""
    (folder / lists).mkdir(parents=True, exist_ok=True)
    names = []
    for part in ("train", "validate", "test"):
        with open(folder / lists / f"{part}.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("label", "youtube_id", "time_start", "time_end", "split", "is_cc"))
            for number, label in enumerate(("air drumming", "zumba")):
                writer.writerow((label, f"-{part}{number}", 7, 17, part, 0))
                names.append(f"{part}/{label}/-{part}{number}_000007_000017.mp4")
    return names


def shown(samples: ImageSamples, folder: Path) -> list[tuple[str, int]]:
    return [(sample.path.relative_to(folder).as_posix(), sample.label) for sample in samples]


@pytest.mark.parametrize("lists", ["ucfTrainTestlist", ".", "UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist"])
@pytest.mark.parametrize("videos", ["UCF-101", ".", "flat"])
def test_ucf101_is_read_as_its_archives_unpack(tmp_path: Path, lists: str, videos: str) -> None:
    names = [Path(videos, Path(name).name if videos == "flat" else name).as_posix() for name in ucf101(tmp_path, lists)]
    touch(tmp_path, *names)
    assert find_action_set(tmp_path) == "ucf101"
    found = load_action_set(tmp_path, "ucf101")
    assert found.classes == UCF_CLASSES
    assert shown(found.training, tmp_path) == [(name, label) for label, name in enumerate(names[:3])]
    assert shown(found.validation, tmp_path) == [(name, label) for label, name in enumerate(names[3:])]
    other = load_action_set(tmp_path, "ucf101", split=2)
    assert shown(other.training, tmp_path) == shown(found.validation, tmp_path)


@pytest.mark.parametrize("videos", ["hmdb51_org", "."])
def test_hmdb51_takes_ones_to_train_and_twos_to_validate(tmp_path: Path, videos: str) -> None:
    """Videos of one name in two classes are told apart by their folders."""
    touch(tmp_path, *(f"{videos}/{name}" for name in hmdb51(tmp_path)))
    assert find_action_set(tmp_path) == "hmdb51"
    found = load_action_set(tmp_path, "hmdb51")
    assert found.classes == ("catch", "wave")
    prefix = "" if videos == "." else f"{videos}/"
    assert shown(found.training, tmp_path) == [(f"{prefix}catch/film_1.avi", 0), (f"{prefix}wave/film_1.avi", 1)]
    assert shown(found.validation, tmp_path) == [(f"{prefix}catch/film_2.avi", 0), (f"{prefix}wave/film_2.avi", 1)]


@pytest.mark.parametrize("change", ["as listed", "underscores", "flat", "short names"])
def test_kinetics_is_read_with_what_people_change_of_its_names(tmp_path: Path, change: str) -> None:
    names = kinetics400(tmp_path)
    if change == "underscores":
        names = [name.replace(" ", "_") for name in names]
    elif change == "flat":
        names = [f"videos/{Path(name).name}" for name in names]
    elif change == "short names":
        names = [name.replace("_000007_000017", "") for name in names]
    touch(tmp_path, *names)
    assert find_action_set(tmp_path) == "kinetics400"
    found = load_action_set(tmp_path, "kinetics400")
    assert found.classes == ("air drumming", "zumba")
    assert shown(found.training, tmp_path) == [(names[0], 0), (names[1], 1)]
    assert shown(found.validation, tmp_path) == [(names[2], 0), (names[3], 1)]
    assert found.missing == {"training": 0, "validation": 0}


def test_kinetics_lacks_videos_in_every_copy(tmp_path: Path) -> None:
    names = kinetics400(tmp_path)
    touch(tmp_path, names[0], *names[2:])
    found = load_action_set(tmp_path, "kinetics400")
    assert (len(found.training), found.missing) == (1, {"training": 1, "validation": 0})


@pytest.mark.parametrize("layout", ["ucf101", "hmdb51"])
def test_a_set_that_can_be_had_whole_may_lack_few_videos(tmp_path: Path, layout: ActionSetName) -> None:
    names = {"ucf101": ucf101, "hmdb51": hmdb51}[layout](tmp_path)
    touch(tmp_path, *names)
    lost = next(tmp_path.rglob("*g08_c01.avi" if layout == "ucf101" else "film_1.avi"))
    lost.unlink()
    with pytest.raises(DataError, match=r"1 of the [23] training videos of the lists are not there; unpack"):
        load_action_set(tmp_path, layout)
    found = load_action_set(tmp_path, layout, missing_share=0.5)
    assert found.missing == {"training": 1, "validation": 0}


def test_videos_beside_another_folder_are_all_missing(tmp_path: Path) -> None:
    kinetics400(tmp_path)
    with pytest.raises(DataError, match="2 of the 2 training videos of the lists are not there"):
        load_action_set(tmp_path, "kinetics400")


def test_another_layout_is_named(tmp_path: Path) -> None:
    touch(tmp_path, *hmdb51(tmp_path))
    with pytest.raises(DataError, match=r"has no lists of UCF-101; it is laid out as HMDB-51: set data\.layout=hmdb51"):
        load_action_set(tmp_path, "ucf101")


@pytest.mark.parametrize("layout", ["ucf101", "hmdb51", "kinetics400"])
def test_a_folder_without_lists_says_where_the_set_is_had(tmp_path: Path, layout: ActionSetName) -> None:
    assert find_action_set(tmp_path) is None
    with pytest.raises(DataError, match=r"has no lists of .* unpack"):
        load_action_set(tmp_path, layout)
    with pytest.raises(DataError, match="is no folder"):
        load_action_set(tmp_path / "nowhere", layout)


def test_other_tables_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, *kinetics400(tmp_path, "."))
    (tmp_path / "boxes.csv").write_bytes(b"x" * 300_000)
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    (tmp_path / "empty.csv").touch()
    assert len(load_action_set(tmp_path, "kinetics400").training) == 2


def test_a_split_that_is_not_there_is_explained(tmp_path: Path) -> None:
    touch(tmp_path, *ucf101(tmp_path))
    with pytest.raises(UsageError, match=r"data\.split: UCF-101 has splits 1 to 3, not 4"):
        load_action_set(tmp_path, "ucf101", split=4)
    with pytest.raises(DataError, match=r"trainlist03\.txt: is missing; unpack the archive of splits again"):
        load_action_set(tmp_path, "ucf101", split=3)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("Knitting/v_Knitting_g08_c01.avi 4", r"line 1: Knitting is none of the 3 classes of classInd\.txt"),
        ("Archery/v_Archery_g08_c01.avi 3", r"line 1: gives Archery the number 3, but classInd\.txt has 2"),
    ],
)
def test_a_list_that_contradicts_the_classes_is_refused(tmp_path: Path, line: str, sentence: str) -> None:
    touch(tmp_path, *ucf101(tmp_path))
    write(tmp_path / "ucfTrainTestlist" / "trainlist01.txt", line)
    with pytest.raises(DataError, match=sentence):
        load_action_set(tmp_path, "ucf101")


@pytest.mark.parametrize("line", ["² Archery", "9" * 5000 + " Archery"])
def test_numbers_that_are_none_name_no_class(tmp_path: Path, line: str) -> None:
    touch(tmp_path, *ucf101(tmp_path))
    classes = tmp_path / "ucfTrainTestlist" / "classInd.txt"
    write(classes, *classes.read_text(encoding="utf-8").splitlines(), line)
    assert len(load_action_set(tmp_path, "ucf101").classes) == 3


@pytest.mark.parametrize("field", ["a" * 200_000, "\x1b[2J" * 99])
def test_a_table_with_a_field_without_end_gets_a_short_sentence(tmp_path: Path, field: str) -> None:
    touch(tmp_path, *kinetics400(tmp_path, "."))
    with open(tmp_path / "train.csv", "a", encoding="utf-8") as table:
        table.write(f"{field},abc,later,never,train\n")
    with pytest.raises(DataError, match=r"train\.csv: (is no table|has a row without)") as caught:
        load_action_set(tmp_path, "kinetics400")
    assert len(str(caught.value)) < 300 + len(str(tmp_path))
    assert str(caught.value).isprintable()
