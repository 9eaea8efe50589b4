import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medssm.data.layouts.check import check_dataset
from medssm.data.layouts.scans.dataset import load_dataset
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.synthetic.phantom import PhantomScan, cached_phantom, dataset, write_phantom
from medssm.errors import UsageError

COARSE = (9.0, 10.0)


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_it_is_a_btcv_folder_without_a_fault(tmp_path: Path) -> None:
    write_phantom(tmp_path / "phantom", cases=4, spacing=COARSE)
    loaded = load_dataset(tmp_path / "phantom")
    assert [case.id for case in loaded.training] == ["img0001", "img0002", "img0003"]
    assert [case.id for case in loaded.validation] == ["img0004"]
    assert loaded.label_names == BTCV_ORGANS
    assert not check_dataset(tmp_path / "phantom").faults


def test_image_and_label_share_one_geometry(tmp_path: Path) -> None:
    write_phantom(tmp_path, cases=1, spacing=COARSE)
    image, label = (nib.load(path) for path in sorted(tmp_path.rglob("*.nii.gz")))
    np.testing.assert_array_equal(image.affine, label.affine)
    assert image.shape == label.shape
    assert image.get_data_dtype() == np.int16
    assert label.get_data_dtype() == np.uint8
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-4)


def test_a_case_is_the_same_whatever_the_number_of_cases(tmp_path: Path) -> None:
    write_phantom(tmp_path / "two", cases=2, spacing=COARSE)
    write_phantom(tmp_path / "three", cases=3, spacing=COARSE)
    write_phantom(tmp_path / "other", cases=2, seed=1, spacing=COARSE)
    for name in ("imagesTr/img0002.nii.gz", "labelsTr/label0002.nii.gz"):
        np.testing.assert_array_equal(voxels(tmp_path / "two" / name), voxels(tmp_path / "three" / name))
    first, second, other = (voxels(tmp_path / n) for n in LABEL_FILES)
    assert first.shape != second.shape or (first != second).mean() > 0.01
    assert first.shape != other.shape or (first != other).mean() > 0.01


LABEL_FILES = ("two/labelsTr/label0001.nii.gz", "two/labelsTr/label0002.nii.gz", "other/labelsTr/label0001.nii.gz")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"):
        write_phantom(tmp_path, cases=1, spacing=COARSE)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("cases", "spacing"), [(0, COARSE), (1, (0.0, 3.0)), (1, (3.0, 2.0))])
def test_impossible_arguments_are_refused(tmp_path: Path, cases: int, spacing: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="at least one case and voxel sizes above 0 mm"):
        write_phantom(tmp_path / "phantom", cases=cases, spacing=spacing)


def test_the_cached_one_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path))
    first = cached_phantom(cases=2, spacing=COARSE)
    written = (first / "dataset_0.json").stat().st_mtime_ns
    assert cached_phantom(cases=2, spacing=COARSE) == first
    assert (first / "dataset_0.json").stat().st_mtime_ns == written
    assert len({cached_phantom(*arguments) for arguments in ((1, 0, COARSE), (1, 1, COARSE), (1, 0, (9.0, 9.5)))}) == 3


def test_a_newer_generator_takes_nothing_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path))
    older = cached_phantom(cases=1, spacing=COARSE)
    monkeypatch.setattr(dataset, "VERSION", dataset.VERSION + 1)
    assert cached_phantom(cases=1, spacing=COARSE) != older


def test_a_half_written_one_is_never_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path))
    real = dataset.phantom_scan

    def stop_at_the_second(seed: int, case: int, spacing: tuple[float, float]) -> PhantomScan:
        if case == 1:
            raise KeyboardInterrupt
        return real(seed, case, spacing)

    monkeypatch.setattr(dataset, "phantom_scan", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        cached_phantom(cases=2, spacing=COARSE)
    assert not list((tmp_path / "phantom").iterdir())


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path))
    old, young = tmp_path / "phantom/.writing-old", tmp_path / "phantom/.writing-young"
    for left in (old, young):
        (left / "imagesTr").mkdir(parents=True)
    os.utime(old, (0, 0))
    cached_phantom(cases=1, spacing=COARSE)
    assert young.exists()
    assert not old.exists()


def test_two_at_once_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        folders = set(pool.map(lambda _: cached_phantom(cases=2, spacing=COARSE), range(2)))
    assert len(folders) == 1
    assert [path.name for path in (tmp_path / "phantom").iterdir()] == [folders.pop().name]
    content = json.loads(next((tmp_path / "phantom").glob("*/dataset_0.json")).read_text(encoding="utf-8"))
    assert len(content["training"]) == len(content["validation"]) == 1
