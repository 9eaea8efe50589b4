"""Which files are meant, and where their outputs go."""

from pathlib import Path

import pytest

from medssm.errors import DataError, UsageError
from medssm.tasks.files import Photographs, find_files, output_paths, read_photograph, refuse_other_inputs


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_outputs_keep_the_places_of_files_below_the_folder_that_is_named(tmp_path: Path) -> None:
    first, second = touch(tmp_path / "in" / "a" / "1.jpg"), touch(tmp_path / "in" / "b" / "1.jpg")
    alone = touch(tmp_path / "alone.v2.png")
    found = output_paths([tmp_path / "in", alone], Photographs(), tmp_path / "out")
    assert found == {
        first: tmp_path / "out" / "a" / "1.png",
        second: tmp_path / "out" / "b" / "1.png",
        alone: tmp_path / "out" / "alone.v2.png",
    }


def test_files_that_differ_in_their_suffix_have_outputs_of_their_own(tmp_path: Path) -> None:
    files = [touch(tmp_path / name) for name in ("a.jpg", "a.png", "b.png")]
    found = output_paths(files, Photographs(), Path("out"), ending="_labels.png")
    assert [path.name for path in found.values()] == ["a.jpg_labels.png", "a.png_labels.png", "b_labels.png"]


def test_two_files_for_one_output_are_refused(tmp_path: Path) -> None:
    files = [touch(tmp_path / part / "a.jpg") for part in "xy"]
    with pytest.raises(UsageError, match=r"x/a\.jpg and .*y/a\.jpg would both write .*a\.jpg\.png; give them two"):
        output_paths(files, Photographs(), tmp_path / "out")


def test_an_output_in_place_of_an_input_is_refused(tmp_path: Path) -> None:
    image = touch(tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"a\.png: would be written in place of the image that is read"):
        output_paths([image], Photographs(), tmp_path)


def test_earlier_outputs_below_the_folder_are_no_inputs_unless_named(tmp_path: Path) -> None:
    image, output = touch(tmp_path / "a.jpg"), touch(tmp_path / "out" / "a.png")
    assert list(output_paths([tmp_path], Photographs(), tmp_path / "out")) == [image]
    assert find_files([tmp_path, output], Photographs(), without=tmp_path / "out") == [image, output]
    with pytest.raises(DataError, match="holds no image file"):
        find_files([tmp_path / "out"], Photographs(), without=tmp_path / "out")


def test_a_video_for_a_model_of_images_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.mp4: is a video, and the weights are of a model for images"):
        read_photograph(touch(tmp_path / "a.mp4"))


@pytest.mark.parametrize(
    ("name", "taken", "sentence"),
    [
        ("a.nii.gz", ("image",), r"a\.nii\.gz: is a scan, which medssm predict segments"),
        ("a.nrrd", ("image", "video"), r"a\.nrrd: is a scan"),
        ("a.jpg", ("scan",), r"a\.jpg: is an image; medssm classify names"),
        ("a.mp4", ("scan",), r"a\.mp4: is a video, which medssm classify takes"),
        ("a.mp4", ("image",), r"a\.mp4: is a video"),
        ("a.gif", ("scan",), r"a\.gif: is an image"),
    ],
)
def test_an_input_of_another_kind_is_told_its_command(tmp_path: Path, name: str, taken, sentence: str) -> None:
    file = touch(tmp_path / "in" / name)
    for given in (file, tmp_path / "in"):
        with pytest.raises(UsageError, match=sentence):
            refuse_other_inputs([given], *taken)
    touch(tmp_path / "in" / "unknown.txt")
    with pytest.raises(UsageError, match=sentence):
        refuse_other_inputs([file], *taken)


def test_inputs_of_the_right_kind_and_unknown_ones_pass(tmp_path: Path) -> None:
    touch(tmp_path / "series" / "IM0001")
    touch(tmp_path / "series" / "preview.jpg")
    refuse_other_inputs([tmp_path / "series", Path("IM0001"), Path("a.nii"), Path("a.dcm")], "scan")
    refuse_other_inputs([tmp_path / "series", Path("photo"), Path("a.gif")], "image")
    refuse_other_inputs([Path("a.gif")], "video")
