"""Every fault planted in a data set of actions is found, and a clean one has none."""

import csv
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from medssm.data.layouts.actions import ActionSetName
from medssm.data.layouts.check import check_dataset
from medssm.data.layouts.findings import Remark
from medssm.data.synthetic.motions import write_motions
from medssm.errors import DataError

Plant = Callable[[Path], None]
LAYOUTS: tuple[ActionSetName, ...] = ("ucf101", "hmdb51", "kinetics400")


@pytest.fixture(scope="module", params=LAYOUTS)
def clean(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean") / request.param
    write_motions(folder, request.param, training=2, validation=1)
    return folder


@pytest.fixture
def ucf101(tmp_path: Path) -> Path:
    write_motions(tmp_path / "ucf101", "ucf101", training=2, validation=1)
    return tmp_path / "ucf101"


def test_a_clean_set_has_no_finding(clean: Path) -> None:
    counted: list[tuple[int, int]] = []
    report = check_dataset(clean, progress=lambda done, total: counted.append((done, total)))
    assert report.findings == ()
    assert report.counts == {"training": 16, "validation": 8}
    assert (counted[0], counted[-1]) == ((0, 24), (24, 24))


def append(path: Path, line: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def cut(folder: Path) -> None:
    video = folder / "UCF-101/left/v_left_g08_c01.avi"
    video.write_bytes(video.read_bytes()[:2000])


def empty(folder: Path) -> None:
    (folder / "UCF-101/left/v_left_g08_c01.avi").write_bytes(b"")


def without_frames(folder: Path) -> None:
    with av.open(str(folder / "UCF-101/left/v_left_g08_c01.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuvj420p"
        container.start_encoding()


FAULTS: dict[str, tuple[Plant, str, str]] = {
    "cut": (cut, "unreadable", "not a readable video|breaks off"),
    "empty": (empty, "unreadable", "not a readable video"),
    "without frames": (without_frames, "unreadable", "again"),
    "missing": (
        lambda folder: (folder / "UCF-101/up/v_up_g09_c01.avi").unlink(),
        "missing-file",
        r"up: lacks 1 listed video \(v_up_g09_c01\); unpack the archive again",
    ),
    "class": (
        lambda folder: append(folder / "ucfTrainTestlist/trainlist01.txt", "Sway/v_Sway_g08_c01.avi 9"),
        "unknown-class",
        "line 17: Sway is none of the 8 classes",
    ),
    "number": (
        lambda folder: append(folder / "ucfTrainTestlist/trainlist01.txt", "up/v_up_g10_c01.avi 1"),
        "class-number",
        "line 17: gives up the number 1, but classInd.txt has 8",
    ),
    "twice": (
        lambda folder: append(folder / "ucfTrainTestlist/testlist01.txt", "up/v_up_g01_c01.avi"),
        "listed-twice",
        r"lists 1 video \(v_up_g01_c01\) twice in validation",
    ),
    "both": (
        lambda folder: append(folder / "ucfTrainTestlist/testlist01.txt", "up/v_up_g08_c01.avi"),
        "both-splits",
        r"has 1 video \(v_up_g08_c01\) in training and in validation",
    ),
    "group": (
        lambda folder: append(folder / "ucfTrainTestlist/testlist01.txt", "up/v_up_g08_c02.avi"),
        "same-group",
        r"clips of 1 group \(v_up_g08\) in training and in validation",
    ),
    "gap": (
        lambda folder: append(folder / "ucfTrainTestlist/classInd.txt", "10 Sway"),
        "classes",
        "does not number the classes from 1 on without a gap",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(ucf101: Path, name: str) -> None:
    plant, kind, message = FAULTS[name]
    plant(ucf101)
    found = [fault for fault in check_dataset(ucf101).faults if fault.kind == kind]
    assert len(found) == 1
    assert_says(found[0], message)


def assert_says(finding: Remark, pattern: str) -> None:
    with pytest.raises(DataError, match=pattern):
        raise DataError(finding.message)


def test_all_faults_are_found_at_once(ucf101: Path) -> None:
    for name in ("cut", "missing", "class", "both"):
        FAULTS[name][0](ucf101)
    assert {fault.kind for fault in check_dataset(ucf101).faults} >= {
        "unreadable",
        "missing-file",
        "unknown-class",
        "both-splits",
    }


def test_what_kinetics_lacks_is_a_note(tmp_path: Path) -> None:
    write_motions(tmp_path / "data", "kinetics400", training=2, validation=1)
    next((tmp_path / "data/train/left").glob("*.mp4")).unlink()
    (tmp_path / "data/train/left/stray_000000_000010.mp4").write_bytes(b"never opened")
    report = check_dataset(tmp_path / "data")
    assert report.faults == ()
    assert {note.kind for note in report.notes} == {"missing-file", "unlisted"}


def test_a_row_without_times_is_a_fault(tmp_path: Path) -> None:
    write_motions(tmp_path / "data", "kinetics400", training=1, validation=1)
    with open(tmp_path / "data/train.csv", "a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(("left", "abc", "", "", "train"))
    [fault] = check_dataset(tmp_path / "data").faults
    assert fault.kind == "list-line"


def test_a_line_of_hmdb_without_purpose_is_a_fault(tmp_path: Path) -> None:
    write_motions(tmp_path / "data", "hmdb51", training=1, validation=1)
    append(tmp_path / "data/testTrainMulti_7030_splits/left_test_split1.txt", "film.avi 3")
    [fault] = check_dataset(tmp_path / "data").faults
    assert (fault.kind, fault.file.name) == ("list-line", "left_test_split1.txt")
