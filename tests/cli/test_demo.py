"""`medssm demo`, as short as it can be: the whole chain, and a second call that goes on."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from medssm.cli.main import build_app

SHORT = ["demo", "--minutes", "0.01", "--cases", "3"]


def test_the_demo_ends_with_its_dice_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("medssm.recipes.demo.UNSEEN_CASES", 2)
    result = CliRunner().invoke(build_app(), SHORT)
    assert result.exit_code == 0, (result.output, result.exception)

    summary = json.loads(Path("demo/scores.json").read_text(encoding="utf-8"))["summary"]
    assert "<h1" in Path("demo/report.html").read_text(encoding="utf-8")
    assert summary[-1]["n"] == 2
    assert f"mean Dice on 2 scans that it never saw: {summary[-1]['dice']['mean']:.3f}" in result.output
    assert "not fit for patients" in result.output
    assert "pictures: demo/pictures, label maps: demo/predictions" in result.output

    names = ["img0001", "img0002"]
    assert sorted(path.name for path in Path("demo/pictures").iterdir()) == [f"{name}.png" for name in names]
    for name in names:
        scan, labels = (nib.load(path) for path in (f"demo/unseen/imagesTr/{name}.nii.gz", prediction(name)))
        assert labels.shape == scan.shape
        np.testing.assert_array_equal(labels.affine, scan.affine)

    training = set(Path("cache").rglob("imagesTr/*.nii.gz"))
    assert len(training) == 3
    unseen = {path.read_bytes() for path in Path("demo/unseen/imagesTr").iterdir()}
    assert not unseen & {path.read_bytes() for path in training}


def prediction(name: str) -> Path:
    return Path("demo/predictions") / f"{name}_seg.nii.gz"
