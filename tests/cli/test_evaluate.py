"""`medssm evaluate` as a person runs it."""

import errno
import io
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from medssm.cli.main import build_app
from medssm.errors import UsageError


def save(path: Path) -> None:
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[2:6, 2:6, 2:6] = 1
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(labels, np.eye(4)), path)


def test_table_and_json_tell_the_same(tmp_path: Path) -> None:
    save(tmp_path / "p.nii.gz")
    save(tmp_path / "r.nii.gz")
    arguments = ["evaluate", str(tmp_path / "p.nii.gz"), str(tmp_path / "r.nii.gz"), "--json", str(tmp_path / "s.json")]
    result = CliRunner().invoke(build_app(), [*arguments, "--names", "btcv"])
    assert result.exit_code == 0
    assert "spleen" in result.output
    assert "1.000 [1.000, 1.000]" in result.output
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["summary"][0]["dice"]["mean"] == 1.0


class NobodyReads(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize(("stdout", "code"), [(NobodyReads(), 128 + 13), (None, 0)])
def test_scores_are_written_where_they_are_shown_to_nobody(
    typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stdout: io.StringIO | None, code: int
) -> None:
    """A pipe whose reader has gone, and a standard output that was closed."""
    save(tmp_path / "a.nii.gz")
    monkeypatch.setattr(sys, "stdout", stdout)
    assert typed("evaluate", tmp_path / "a.nii.gz", tmp_path / "a.nii.gz", "--csv", tmp_path / "a.csv") == code
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").count("scored") == 1


def test_a_reference_without_prediction_is_named_and_fails(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / "labels[1]" / f"{name}.nii.gz")
    save(tmp_path / "out" / "a_seg.nii.gz")
    result = CliRunner().invoke(build_app(), ["evaluate", str(tmp_path / "out"), str(tmp_path / "labels[1]")])
    assert result.exit_code == 1
    assert "labels[1]/b.nii.gz" in result.output.replace("\n", "")


def test_html_is_one_page_with_the_scores(tmp_path: Path) -> None:
    for name in ("p", "r", "scan"):
        save(tmp_path / f"{name}.nii.gz")
    files = [str(tmp_path / f"{name}.nii.gz") for name in ("p", "r")]
    report = tmp_path / "report.html"
    arguments = ["evaluate", *files, "--html", str(report), "--scans", str(tmp_path / "scan.nii.gz")]
    result = CliRunner().invoke(build_app(), arguments)
    assert result.exit_code == 0, result.output
    page = report.read_text(encoding="utf-8")
    assert "Evaluation of 1 case" in page
    assert 'data-value="1.0">1.000</td>' in page
    assert "data:image/jpeg;base64," in page


def test_scans_without_a_report_are_a_mistake(tmp_path: Path) -> None:
    for name in ("p", "r"):
        save(tmp_path / f"{name}.nii.gz")
    files = [str(tmp_path / f"{name}.nii.gz") for name in ("p", "r")]
    result = CliRunner().invoke(build_app(), ["evaluate", *files, "--scans", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert "give --html" in str(result.exception)


def write(path: Path, *labels: int) -> str:
    array = np.zeros((8, 8, 8), np.uint8)
    for n, label in enumerate(labels):
        array[2 * n : 2 * n + 2] = label
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    return str(path)


def test_labels_are_mapped_and_named_by_words_and_files(tmp_path: Path) -> None:
    (tmp_path / "map.txt").write_text("6 = 2\n", encoding="utf-8")
    files = [write(tmp_path / "p.nii.gz", 5, 6), write(tmp_path / "r.nii.gz", 1, 2)]
    arguments = ["--map", "5=1", "--map", str(tmp_path / "map.txt"), "--names", "1=tumour"]
    result = CliRunner().invoke(build_app(), ["evaluate", *files, *arguments, "--json", str(tmp_path / "s.json")])
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert {row["organ"]: row["dice"] for row in written["scores"]} == {"tumour": 1.0, "label 2": 1.0}


def test_what_one_should_know_of_the_files_is_printed_and_in_the_json(tmp_path: Path) -> None:
    files = [write(tmp_path / "p.nii.gz", 5), write(tmp_path / "r.nii.gz", 1)]
    result = CliRunner().invoke(build_app(), ["evaluate", *files, "--json", str(tmp_path / "s.json")])
    assert result.exit_code == 0
    [note] = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["notes"]
    assert "no label of the prediction is one of the reference" in note
    assert "--map prediction=reference" in note
    assert note.split()[-1] in result.output
