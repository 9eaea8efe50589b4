"""A folder of 200 scans of which ten are bad in ten ways: 190 label maps, ten sentences, a report that tells all."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medssm.data.scans.volume import read_volume
from medssm.tasks.records import read_record, record_path

SHAPE, AFFINE = (12, 11, 10), np.diag([6.0, 6.0, 6.0, 1.0])


def nifti(path: Path, values: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(values, AFFINE), path)


def cut(path: Path, values: np.ndarray) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(values), path)
    path.write_bytes(path.read_bytes()[:-500])


def series_of_one_cut_file(path: Path, _: np.ndarray) -> None:
    path.mkdir()
    (path / "IM1").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0")


def halved(path: Path, values: np.ndarray) -> None:
    nifti(path, values)
    path.write_bytes(path.read_bytes()[:800])


BAD: dict[str, Callable[[Path, np.ndarray], object]] = {
    "empty.nii.gz": lambda path, _: path.touch(),
    "halved.nii.gz": halved,
    "page.nii.gz": lambda path, _: path.write_text("<html>404 not found</html>"),
    "pointer.nii": lambda path, _: path.write_text("version https://git-lfs.github.com/spec/v1\nsize 123\n"),
    "nothing.nii.gz": lambda path, values: nifti(path, np.full(values.shape, np.nan, np.float32)),
    "air.nii.gz": lambda path, values: nifti(path, np.full_like(values, -1000)),
    "four.nii.gz": lambda path, values: nifti(path, np.stack([values, values], -1)),
    "cut.mha": cut,
    "header.nrrd": lambda path, _: path.write_text("NRRD0004\ndimension: 3\nsizes: 1 2\n\n"),
    "series": series_of_one_cut_file,
}


@pytest.mark.slow
def test_190_of_200_scans_are_predicted_and_ten_told(
    typed: Callable[..., int], weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out, report = tmp_path / "in", tmp_path / "out", tmp_path / "report.json"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(190):
        nifti(folder / f"good{number:03}.nii.gz", random.integers(-1000, 400, SHAPE, dtype=np.int16))
    for name, write in BAD.items():
        write(folder / name, random.integers(-1000, 400, SHAPE, dtype=np.int16))
    command = ("predict", folder, "--weights", weights, "--device", "cpu", "--out", out, "--report", report)

    assert typed(*command) == 1
    printed = capsys.readouterr()
    assert "190 predicted, 0 skipped, 10 failed" in printed.out
    sentences = [line for line in printed.err.splitlines() if line.startswith("failed: ")]
    assert len(sentences) == 10
    for name in BAD:
        [sentence] = [line for line in sentences if str(folder / name) in line]
        assert "defect" not in sentence
    document = json.loads(report.read_text(encoding="utf-8"))
    assert document["counts"] == {"done": 190, "skipped": 0, "failed": 10}
    assert {Path(one["file"]).name for one in document["files"] if one["status"] == "failed"} == set(BAD)
    assert all(one["why"] for one in document["files"] if one["status"] == "failed")
    label_maps = sorted(out.glob("*_seg.nii.gz"))
    assert len(label_maps) == 190
    for path in label_maps:
        record = read_record(record_path(path))
        assert record is not None
        assert record.status == "done"
    assert read_volume(label_maps[0]).shape == SHAPE

    assert typed(*command) == 1
    assert "0 predicted, 190 skipped, 10 failed" in capsys.readouterr().out
    for name in BAD:
        assert not list(out.glob(f"{name.partition('.')[0]}_seg*"))
