"""`medssm predict` with a network for scans of several channels."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medssm.checkpoints import WeightsMetadata, create_model, save_weights

CHANNELS = [{"name": name, "normalisation": {"kind": "zscore"}} for name in ("T1", "FLAIR")]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "two.safetensors"
    metadata = WeightsMetadata(
        model="mamband-xs",
        num_classes=3,
        in_channels=2,
        class_names={1: "core", 2: "edema"},
        preprocessing={"spacing": (3.0, 3.0, 3.0), "channels": CHANNELS},
        input_size=(16, 16, 16),
    )
    save_weights(path, create_model("mamband-xs", num_classes=3, in_channels=2), metadata)
    return path


def write(path: Path, *seeds: int) -> Path:
    """Noise of one seed, or a 4-D file of several."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = [np.random.default_rng(seed).normal(500, 100, (14, 15, 12)).astype(np.float32) for seed in seeds]
    nib.save(nib.Nifti1Image(np.stack(arrays, axis=-1).squeeze(), np.diag([3.0, 3.0, 3.0, 1])), path)
    return path


def labels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_channels_come_from_numbers_names_or_one_file_and_give_the_same(
    typed: Any, weights: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    t1, flair = write(folder / "a_0000.nii.gz", 1), write(folder / "a_0001.nii.gz", 2)
    write(folder / "b_T1.nii.gz", 1), write(folder / "b_flair.nii.gz", 2)
    write(folder / "c.nii.gz", 1, 2)
    assert typed("predict", folder, "--weights", weights, "--out", out) == 0
    names = sorted(path.name for path in out.glob("*.nii.gz"))
    assert names == ["a_0000_seg.nii.gz", "b_T1_seg.nii.gz", "c_seg.nii.gz"]
    alone = tmp_path / "alone.nii.gz"
    by_name = ("--channel", f"flair={flair}", "--channel", f"t1={t1}")
    assert typed("predict", *by_name, "--weights", weights, "--out", alone) == 0
    for name in names:
        np.testing.assert_array_equal(labels(out / name), labels(alone))
    assert len(np.unique(labels(alone))) > 1


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (("in/a_0000.nii.gz",), 3, "has 1 channel, where 2 are needed (T1, FLAIR)"),
        (("--channel", "T1=in/a_0000.nii.gz"), 2, "channel 'FLAIR' has no file: the network's channels are T1, FLAIR"),
        (("--channel", "T1"), 2, "is not of the form NAME=FILE"),
        (("--channel", "T1=in/a_0000.nii.gz", "--channel", "FLAIR=in/gone.nii"), 1, "in/gone.nii"),
        ((), 2, "give scans, or a scan by its channels"),
        (("in", "--channel", "T1=in/a_0000.nii.gz"), 2, "give scans, or a scan by its channels"),
    ],
)
def test_a_channel_that_is_missing_is_said(
    given: tuple[str, ...],
    code: int,
    said: str,
    typed: Any,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in" / "a_0000.nii.gz", 1)
    assert typed("predict", *given, "--weights", weights) == code
    assert said in capsys.readouterr().err


def test_label_maps_among_scans_of_several_channels_are_left_out(
    typed: Any, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "in" / "a.nii.gz", 1, 2)
    organ = np.zeros((14, 15, 12), np.uint8)
    organ[4:9, 4:9, 4:9] = 1
    nib.save(nib.Nifti1Image(organ, np.diag([3.0, 3.0, 3.0, 1])), tmp_path / "in" / "truth.nii.gz")
    assert typed("predict", tmp_path / "in", "--weights", weights, "--out", tmp_path / "out") == 0
    assert "is a label map" in capsys.readouterr().out
