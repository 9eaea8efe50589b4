"""`medssm data` as a person types it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from medssm.cli.errors import explain
from medssm.cli.main import build_app


def medssm(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build_app(), [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "phantom"
    result = medssm("data", "phantom", folder, "--cases", "2", "--seed", "3")
    assert result.exit_code == 0
    assert "2 cases written" in result.output
    return folder


def test_phantom_passes_the_check(phantom: Path) -> None:
    result = medssm("data", "check", phantom)
    assert result.exit_code == 0
    assert "phantom: 1 training, 1 validation, 0 test; no faults" in result.output


def test_fault_is_in_the_table_and_the_json_and_fails_the_command(phantom: Path) -> None:
    scan = phantom / "imagesTr" / "img0002.nii.gz"
    whole = scan.read_bytes()
    scan.write_bytes(whole[: len(whole) // 2])
    table, report = medssm("data", "check", phantom), medssm("data", "check", phantom, "--json")
    scan.write_bytes(whole)
    assert (table.exit_code, report.exit_code) == (1, 1)
    assert "imagesTr/img0002.nii.gz" in table.output
    assert "1 fault," in table.output
    faults = json.loads(report.stdout)["faults"]
    assert [(Path(fault["file"]).name, fault["kind"]) for fault in faults] == [("img0002.nii.gz", "unreadable")]


def test_folder_that_is_no_dataset_says_what_is_known_and_nothing_of_btcvs_whereabouts(tmp_path: Path) -> None:
    result = medssm("data", "check", tmp_path)
    assert result.exception is not None
    explained = explain(result.exception)
    assert explained is not None
    assert "imagesTr with labelsTr" in explained[0]
    assert "syn3193805" not in explained[0]
    assert explained[1] == 1


def test_phantom_does_not_write_into_a_full_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    result = medssm("data", "phantom", tmp_path, "--cases", "1")
    assert result.exception is not None
    assert explain(result.exception) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_shapes_are_written_and_pass_the_check_as_images(tmp_path: Path) -> None:
    written = medssm("data", "shapes", tmp_path / "shapes", "--training", "2", "--validation", "1")
    assert "2 training and 1 validation images of each class written" in written.output
    result = medssm("data", "check", tmp_path / "shapes")
    assert result.exit_code == 0
    assert "shapes: 20 training, 10 validation; no faults" in result.output


def test_scenes_are_written_and_pass_the_check_as_label_maps(tmp_path: Path) -> None:
    written = medssm("data", "scenes", tmp_path / "scenes", "--training", "8", "--validation", "4")
    assert "8 training and 4 validation scenes written" in written.output
    result = medssm("data", "check", tmp_path / "scenes")
    assert result.exit_code == 0
    assert "scenes: 8 training, 4 validation; no faults" in result.output


def test_fault_of_an_image_fails_the_command(tmp_path: Path) -> None:
    medssm("data", "shapes", tmp_path / "shapes", "--training", "2", "--validation", "1")
    cut = tmp_path / "shapes/train/dots/dots_0002.jpg"
    cut.write_bytes(cut.read_bytes()[:900])
    table, report = medssm("data", "check", tmp_path / "shapes"), medssm("data", "check", tmp_path / "shapes", "--json")
    assert (table.exit_code, report.exit_code) == (1, 1)
    assert "train/dots/dots_0002.jpg" in table.output
    assert [fault["kind"] for fault in json.loads(report.stdout)["faults"]] == ["unreadable"]


@pytest.mark.parametrize("layout", ["ucf101", "kinetics400"])
def test_motions_are_written_and_pass_the_check_as_videos(tmp_path: Path, layout: str) -> None:
    sizes = ("--training", "1", "--validation", "1")
    written = medssm("data", "motions", tmp_path / "motions", "--layout", layout, *sizes)
    assert "1 training and 1 validation clips of each class written" in written.output
    result = medssm("data", "check", tmp_path / "motions")
    assert result.exit_code == 0
    assert "8 training, 8 validation; no faults" in result.output
