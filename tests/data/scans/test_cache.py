import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from medssm.data.scans import cache
from medssm.data.scans.cache import PreprocessedCases, content_key, remove_unused
from medssm.data.scans.cases import ScanCase
from medssm.data.scans.network_grid import preprocess_scan, read_scan_and_labels
from medssm.data.scans.preprocessing import Preprocessing
from medssm.errors import DataError


def write_case(folder: Path, seed: int = 0) -> ScanCase:
    rng = np.random.default_rng(seed)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    image, label = folder / f"img{seed}.nii.gz", folder / f"label{seed}.nii.gz"
    nib.save(nib.Nifti1Image(rng.integers(-500, 300, (14, 12, 10)).astype(np.int16), affine), image)
    nib.save(nib.Nifti1Image(rng.integers(0, 4, (14, 12, 10)).astype(np.uint8), affine), label)
    return ScanCase(f"case{seed}", image, label)


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a raw volume was read")

    monkeypatch.setattr("medssm.data.scans.scan.read_volume", fail)


def test_the_second_run_reads_no_raw_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [write_case(tmp_path, seed) for seed in (0, 1)]
    first = PreprocessedCases(cases, Preprocessing(), tmp_path / "cache")
    first.prepare()
    volume, labels = read_scan_and_labels(cases[1], Preprocessing())
    expected = preprocess_scan(volume, Preprocessing(), labels)
    forbid_reading(monkeypatch)
    second = PreprocessedCases(cases, Preprocessing(), tmp_path / "cache")
    second.prepare()
    again = second[1]
    assert torch.equal(again.image, expected.image)
    assert torch.equal(again.label, expected.label)
    np.testing.assert_array_equal(again.affine, expected.affine)


def test_candidates_are_the_voxels_with_that_label(tmp_path: Path) -> None:
    case = PreprocessedCases([write_case(tmp_path)], Preprocessing(), tmp_path / "cache")[0]
    label, image = case.label.numpy(), case.image[0].numpy()
    for organ in (1, 2, 3):
        expected = np.flatnonzero(label == organ)
        np.testing.assert_array_equal(np.sort(case.candidates.of_organ(organ)), expected)
    np.testing.assert_array_equal(case.candidates.background, np.flatnonzero((label == 0) & (image > 0)))
    assert case.candidates.present().tolist() == [1, 2, 3]


def test_a_case_without_labels_is_kept_too(tmp_path: Path) -> None:
    case = ScanCase("unlabelled", write_case(tmp_path).image, None)
    cached = PreprocessedCases([case], Preprocessing(), tmp_path / "cache")[0]
    assert cached.label is None
    assert cached.candidates is None


@pytest.mark.parametrize(
    "change",
    [
        {"spacing": (1.5, 1.5, 2.1)},
        {"intensity": (-175.0, 251.0)},
        {"intensity": (-176.0, 250.0)},
        {"crop_foreground": False},
    ],
)
def test_every_preprocessing_parameter_changes_the_key(tmp_path: Path, change: dict[str, object]) -> None:
    case = write_case(tmp_path)
    assert content_key(case, Preprocessing(**change)) != content_key(case, Preprocessing())


def test_no_preprocessing_parameter_is_left_out_of_these_tests() -> None:
    assert set(Preprocessing.model_fields) == {"orientation", "spacing", "channels", "crop_foreground"}


def test_changed_files_and_code_change_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = write_case(tmp_path)
    keys = {content_key(case, Preprocessing())}
    os.utime(case.image, ns=(1, 1))
    keys.add(content_key(case, Preprocessing()))
    os.utime(case.label, ns=(2, 2))
    keys.add(content_key(case, Preprocessing()))
    keys.add(content_key(ScanCase(case.id, case.image, None), Preprocessing()))
    with open(case.image, "ab") as file:
        file.write(b"\0")
    os.utime(case.image, ns=(1, 1))
    keys.add(content_key(case, Preprocessing()))
    monkeypatch.setattr(cache, "CONTENT_VERSION", cache.CONTENT_VERSION + 1)
    keys.add(content_key(case, Preprocessing()))
    assert len(keys) == 6


def test_every_slice_of_a_series_that_one_of_them_stands_for_changes_the_key(tmp_path: Path) -> None:
    slices = [tmp_path / name for name in ("a.dcm", "b.dcm")]
    for path in slices:
        path.write_bytes(bytes(128) + b"DICM")
    case = ScanCase("1", slices[0])
    before = content_key(case, Preprocessing())
    assert content_key(case, Preprocessing()) == before
    os.utime(slices[1], ns=(1, 1))
    assert content_key(case, Preprocessing()) != before


@pytest.mark.parametrize("keep", [0, 9, 300, -1])
def test_a_damaged_file_is_made_again(tmp_path: Path, keep: int) -> None:
    cases = PreprocessedCases([write_case(tmp_path)], Preprocessing(), tmp_path / "cache")
    expected = cases[0].image.clone()
    path = cases.path(0)
    path.write_bytes(path.read_bytes()[:keep])
    assert torch.equal(cases[0].image, expected)


def test_a_flipped_bit_is_noticed_before_a_run(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    cases = PreprocessedCases([case], Preprocessing(), tmp_path / "cache")
    cases.prepare()
    expected, path = cases[0].image.clone(), cases.path(0)
    content = bytearray(path.read_bytes())
    content[-100] ^= 16
    path.write_bytes(content)
    PreprocessedCases([case], Preprocessing(), tmp_path / "cache").prepare()
    assert path.read_bytes() != bytes(content)
    assert torch.equal(PreprocessedCases([case], Preprocessing(), tmp_path / "cache")[0].image, expected)


def test_preprocessed_patients_can_be_read_by_their_user_alone(tmp_path: Path) -> None:
    cases = PreprocessedCases([write_case(tmp_path)], Preprocessing(), tmp_path / "cache")
    cases.prepare()
    assert cases.path(0).stat().st_mode & 0o777 == 0o600


def test_what_a_killed_process_left_half_written_is_swept_after_a_day(tmp_path: Path) -> None:
    cases = PreprocessedCases([write_case(tmp_path)], Preprocessing(), tmp_path / "cache")
    cases.prepare()
    old, new = tmp_path / "cache" / ".writing-old.safetensors", tmp_path / "cache" / ".writing-new.safetensors"
    for left in (old, new):
        left.write_bytes(b"half")
    os.utime(old, (0, 0))
    cases.prepare()
    assert not old.exists()
    assert new.exists()


def test_a_full_disk_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "save_file", full)
    cases = PreprocessedCases([write_case(tmp_path)], Preprocessing(), tmp_path / "cache")
    with pytest.raises(DataError, match=r"disk is full .* MEDSSM_CACHE"):
        cases[0]
    assert not list((tmp_path / "cache").iterdir())


def test_a_scan_that_changes_while_it_is_read_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = write_case(tmp_path)
    prepare = preprocess_scan

    def beside_a_writer(*given: object) -> object:
        os.utime(case.label, ns=(1, 1))
        return prepare(*given)

    monkeypatch.setattr(cache, "preprocess_scan", beside_a_writer)
    with pytest.raises(DataError, match=r"img0\.nii\.gz: it or its labels were changed while they were read"):
        PreprocessedCases([case], Preprocessing(), tmp_path / "cache")[0]
    assert not (tmp_path / "cache").exists()


def test_a_missing_raw_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    cases = PreprocessedCases([ScanCase("lost", tmp_path / "lost.nii.gz", None)], Preprocessing(), tmp_path / "cache")
    with pytest.raises(DataError, match=r"lost\.nii\.gz: is not there"):
        cases[0]


def test_only_files_unused_for_long_are_removed(tmp_path: Path) -> None:
    cases = PreprocessedCases([write_case(tmp_path, s) for s in (0, 1)], Preprocessing(), tmp_path / "cache")
    cases.prepare()
    os.utime(cases.path(0), (0, 0))
    remove_unused(tmp_path / "cache", days=60)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [cases.path(1).name]
