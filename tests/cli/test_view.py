"""`medssm view` as it is typed, up to the file that it writes."""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medssm.cli.errors import run
from medssm.cli.main import build_app
from medssm.data.scans.volume import read_volume, write_label_map


def medssm_view(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of the command."""
    monkeypatch.setattr(sys, "argv", ["medssm", "view", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        run(build_app())
    return int(ended.value.code or 0)


def write_scan(path: Path) -> Path:
    image = np.random.default_rng(0).integers(-1000, 400, (12, 10, 8), dtype=np.int16)
    nib.save(nib.Nifti1Image(image, np.diag([-1.0, -1.0, 2.0, 1.0])), path.parent / "source.nii.gz")
    if path.name != "source.nii.gz":
        sitk.WriteImage(sitk.ReadImage(path.parent / "source.nii.gz"), path)
    return path


@pytest.mark.parametrize("name", ["source.nii.gz", "scan.nii", "scan.nrrd", "scan.mha"])
def test_a_page_of_every_format(monkeypatch, tmp_path: Path, capsys, name: str) -> None:
    scan, page = write_scan(tmp_path / name), tmp_path / "out" / "page.html"
    labels = (np.asarray(read_volume(scan).array) > 0).astype(np.uint8)
    write_label_map(tmp_path / "seg.nrrd", labels, read_volume(scan), {1: "lump"})
    assert medssm_view(monkeypatch, scan, tmp_path / "seg.nrrd", "--html", page) == 0
    assert str(page) in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert f"<title>{name} | seg.nrrd - medssm</title>" in text
    assert f'"numbers": ["{labels.sum() * 2 / 1000:.1f}"]' in text


def test_a_page_of_a_dicom_series_has_no_name_of_the_patient(monkeypatch, tmp_path: Path, real_ct: Path) -> None:
    series = real_ct / "dicom_series"
    assert medssm_view(monkeypatch, series, real_ct / "dicom_label.nii.gz", "--html", tmp_path / "page.html") == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<title>dicom_series | dicom_label.nii.gz - medssm</title>" in text
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(next(path for path in sorted(series.iterdir()) if path.is_file())))
    reader.ReadImageInformation()
    for tag in ("0010|0010", "0010|0020"):
        patient = reader.GetMetaData(tag).strip() if reader.HasMetaDataKey(tag) else ""
        assert not patient or patient not in text.split('<script type="text/plain"')[0]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["none.nii.gz", "--html", "a.html"], 1, "none.nii.gz: no such file or folder"),
        (["source.nii.gz", "--html", "there.html"], 2, "there.html: is there already"),
        (["source.nii.gz", "--compare", "source.nii.gz", "--html", "a.html"], 2, "needs two label maps"),
        (["source.nii.gz", "source.nii.gz", "--html", "a.html"], 1, "negative values, so it is no label map"),
    ],
)
def test_a_mistake_gets_one_sentence(
    monkeypatch, tmp_path: Path, capsys, arguments: list[str], code: int, sentence: str
) -> None:
    write_scan(tmp_path / "source.nii.gz")
    (tmp_path / "there.html").write_text("mine", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert medssm_view(monkeypatch, *arguments) == code
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert (tmp_path / "there.html").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "a.html").exists()


def test_overwrite_writes_again(monkeypatch, tmp_path: Path) -> None:
    scan, page = write_scan(tmp_path / "source.nii.gz"), tmp_path / "page.html"
    page.write_text("old", encoding="utf-8")
    assert medssm_view(monkeypatch, scan, "--html", page, "--overwrite") == 0
    assert "medssm" in page.read_text(encoding="utf-8")
