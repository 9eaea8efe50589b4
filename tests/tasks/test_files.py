"""Which files are meant, where their outputs go, and what becomes of those that fail."""

from pathlib import Path

import pytest
import torch

from medssm.errors import DataError, UsageError
from medssm.tasks.files import Photographs, find_files, output_paths, read_photograph, refuse_existing, run_on_files


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


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    there, also, free = touch(tmp_path / "1.png"), touch(tmp_path / "2.png"), tmp_path / "3.png"
    refuse_existing([None, free])
    with pytest.raises(UsageError, match=r"1\.png: there already; give --overwrite"):
        refuse_existing([free, there])
    with pytest.raises(UsageError, match=r"1\.png and 1 more: there already"):
        refuse_existing([there, also])


def test_a_file_that_fails_has_a_sentence_and_a_defect_of_ours_is_raised(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("1.png", "2.png", "3.png", "4.png")]

    def run(file: Path) -> str:
        match file.name:
            case "2.png":
                raise DataError("cannot be read")
            case "3.png":
                raise torch.OutOfMemoryError("CUDA out of memory")
        return file.stem

    results = run_on_files(files, run)
    assert results.found == {files[0]: "1", files[3]: "4"}
    assert results.failed[files[1]] == f"{files[1]}: cannot be read"
    assert results.failed[files[2]].startswith(f"{files[2]}: memory ran out; close other programs")
    with pytest.raises(RuntimeError, match="shape"):
        run_on_files(files, lambda _: (_ for _ in ()).throw(RuntimeError("shape mismatch")))


def test_a_video_for_a_model_of_images_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.mp4: is a video, and the weights are of a model for images"):
        read_photograph(touch(tmp_path / "a.mp4"))
