"""`medssm predict` as it is typed, with a small network of random weights."""

import csv
import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

import medssm
from medssm.checkpoints import save_weights
from medssm.data.scans.volume import read_volume
from medssm.tasks.weights import choose

NAMES = {1: "right lump", 2: "left lump"}


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "case1.nii.gz", seed=1)


def write_scan(path: Path, seed: int) -> Path:
    values = np.random.default_rng(seed).integers(-1000, 400, (30, 26, 22), dtype=np.int16)
    affine = np.array([[0, 0, -2.5, 3], [-2.0, 0, 0, 4], [0, 2.2, 0, 5], [0, 0, 0, 1]])
    image = nib.Nifti1Image(values, affine)
    image.set_qform(affine, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".nii.gz"):
        nib.save(image, path)
    else:
        nib.save(image, path.parent / "source.nii.gz")
        sitk.WriteImage(sitk.ReadImage(path.parent / "source.nii.gz"), path)
        (path.parent / "source.nii.gz").unlink()
    return path


@pytest.fixture
def predict(typed: Callable[..., int], weights: Path) -> Callable[..., int]:
    return lambda *arguments: typed("predict", *arguments, "--weights", weights, "--device", "cpu")


def test_a_label_map_with_names_lies_beside_the_scan(predict, scan: Path, capsys) -> None:
    assert predict(scan) == 0
    found, source = read_volume(scan.with_name("case1_seg.nii.gz")), read_volume(scan)
    np.testing.assert_array_equal(found.affine, source.affine)
    assert found.shape == source.shape
    assert found.label_names == NAMES
    assert len(np.unique(found.array)) > 1
    printed = capsys.readouterr().out
    assert "of memory (held already" in printed
    assert "1 predicted, 0 skipped, 0 failed" in printed


def test_python_and_the_command_give_the_same_labels(predict, scan: Path, weights: Path) -> None:
    assert predict(scan) == 0
    labels = medssm.load(weights, "cpu").predict(scan).labels
    np.testing.assert_array_equal(read_volume(scan.with_name("case1_seg.nii.gz")).array, labels)
    in_run = medssm.load(weights.parent, "cpu").predict(scan).labels
    np.testing.assert_array_equal(in_run, labels)


def test_a_folder_of_several_formats_goes_to_another_folder(predict, tmp_path: Path) -> None:
    scans = [write_scan(tmp_path / "scans" / name, 2) for name in ("a.nii.gz", "b.nrrd", "c.mha")]
    assert predict(tmp_path / "scans", "--out", tmp_path / "out") == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [".medssm", "a_seg.nii.gz", "b_seg.nrrd", "c_seg.mha"]
    first, *others = (read_volume(tmp_path / "out" / name) for name in written[1:])
    for scan, other in zip(scans[1:], others, strict=True):
        np.testing.assert_array_equal(other.affine, read_volume(scan).affine)
        np.testing.assert_array_equal(other.array, first.array)


def test_everything_that_can_be_written_beside_it(predict, scan: Path) -> None:
    assert predict(scan, "--preview", "--stats", "--probabilities", "--tta", "--overlap", 0.25) == 0
    out = scan.parent
    names = {path.name for path in out.iterdir()} - {scan.name}
    assert names == {
        "case1_seg.nii.gz",
        "case1_seg.png",
        "case1_seg.csv",
        "case1_seg.json",
        "case1_prob.nii.gz",
        ".medssm",
    }
    with open(out / "case1_seg.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(NAMES.values())
    labels = read_volume(out / "case1_seg.nii.gz").array
    assert [int(row["voxels"]) for row in rows] == [int((labels == label).sum()) for label in NAMES]
    assert all(0 < float(row["confidence"]) <= 1 for row in rows if int(row["voxels"]))
    assert json.loads((out / "case1_seg.json").read_text(encoding="utf-8"))["scan"] == str(scan)
    assert nib.load(out / "case1_prob.nii.gz").shape == (*labels.shape, 3)


def test_outputs_that_are_there_are_left_alone_unless_asked(predict, scan: Path, capsys) -> None:
    out = scan.with_name("case1_seg.nii.gz")
    out.write_bytes(b"mine")
    for options in ((), ("--preview",)):
        assert predict(scan, *options) == 3
        assert out.read_bytes() == b"mine"
        assert f"{out}: is there already, without a record of how it was made; give" in capsys.readouterr().err
        assert not scan.with_name("case1_seg.png").exists()
    assert predict(scan, "--overwrite") == 0
    assert read_volume(out).shape == read_volume(scan).shape
    made = out.stat()
    assert predict(scan) == 0
    assert f"{out} is there already, skipped (--overwrite writes it again)" in capsys.readouterr().out
    assert predict(scan, "--preview") == 0  # adds what is missing and leaves what is there
    assert scan.with_name("case1_seg.png").exists()
    assert out.stat() == made


def test_one_bad_scan_is_reported_and_the_others_go_on(predict, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "scans"
    for name in ("a.nii.gz", "c.nii.gz"):
        write_scan(folder / name, 3)
    whole = (folder / "a.nii.gz").read_bytes()
    (folder / "b.nii.gz").write_bytes(whole[: len(whole) // 2])
    assert predict(folder, "--out", tmp_path / "out") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".medssm", "a_seg.nii.gz", "c_seg.nii.gz"]
    printed = capsys.readouterr().out
    assert "failed: " in printed
    assert "b.nii.gz" in printed.split("failed: ")[1]
    assert "2 predicted, 0 skipped, 1 failed" in printed


def test_a_second_call_on_a_folder_does_not_take_label_maps_for_scans(predict, scan: Path, capsys) -> None:
    assert predict(scan.parent, "--probabilities") == 0
    assert predict(scan.parent, "--probabilities") == 0
    assert "0 predicted, 1 skipped, 0 failed" in capsys.readouterr().out


def test_two_scans_of_one_name_are_refused_before_anything_is_written(predict, tmp_path: Path, capsys) -> None:
    scans = [write_scan(tmp_path / folder / "ct.nii.gz", 4) for folder in ("one", "two")]
    assert predict(*scans, "--out", tmp_path / "out") == 2
    assert "would both write" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_single_scan_may_name_its_output(predict, scan: Path, tmp_path: Path, capsys) -> None:
    assert predict(scan, "--out", tmp_path / "labels.mha") == 0
    assert read_volume(tmp_path / "labels.mha").shape == read_volume(scan).shape
    assert predict(scan, write_scan(tmp_path / "b.nii.gz", 5), "--out", tmp_path / "labels.mha") == 2
    assert "there are 2 scans; give a folder" in capsys.readouterr().err


def test_memory_that_cannot_do_is_refused_with_the_figure(predict, scan: Path, capsys) -> None:
    assert predict(scan, "--memory", "100M") == 3
    printed = capsys.readouterr().err
    assert "of memory are needed and the bound of --memory is 100 MiB" in printed
    assert predict(scan, "--memory", "plenty") == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--overlap", "2"), "overlap"),
        (("--device", "warp"), "--device cpu always works"),
        (("--run", "x"), "give one"),
    ],
)
def test_wrong_options_exit_with_2(options: tuple[str, ...], sentence: str, typed, weights, scan, capsys) -> None:
    assert typed("predict", scan, "--weights", weights, *options) == 2
    assert sentence in capsys.readouterr().err


def test_weights_that_saw_no_mirror_images_refuse_tta(typed, weights: Path, scan: Path, tmp_path, capsys) -> None:
    from medssm.checkpoints import load_weights

    state, metadata = load_weights(weights)
    save_weights(tmp_path / "w.safetensors", state, metadata.model_copy(update={"flips": {}}))
    assert typed("predict", scan, "--weights", tmp_path / "w.safetensors", "--tta") == 3
    assert "leave --tta out" in capsys.readouterr().err


def test_the_newest_run_is_used_where_no_weights_are_named(weights: Path, tmp_path: Path) -> None:
    for age, name in ((300, "old"), (100, "new"), (200, "middle"), (0, "unfinished")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        if name != "unfinished":
            file = shutil.copy(weights, tmp_path / "runs" / name / "best.safetensors")
            os.utime(file, (1e9 - age, 1e9 - age))
    assert choose(None, None, None, runs=tmp_path / "runs").name == "new"
    assert choose(weights, None, None, runs=tmp_path / "runs") == weights


def test_without_weights_and_offline_one_sentence_says_what_to_give(
    typed, monkeypatch, scan: Path, tmp_path: Path, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert typed("predict", scan) == 1
    error = capsys.readouterr().err
    assert "holds no run" in error
    assert "give --weights FILE or --run DIR" in error
    assert error.count("\n") == 1


def test_a_dicom_series_is_written_on_its_own_grid(predict, real_ct: Path, tmp_path: Path) -> None:
    assert predict(real_ct / "dicom_series", "--out", tmp_path, "--overlap", 0.0) == 0
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(real_ct / "dicom_series")))
    series, labels = reader.Execute(), sitk.ReadImage(tmp_path / "dicom_series_seg.nii.gz")
    assert labels.GetSize() == series.GetSize()
    for field in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(labels, field)(), getattr(series, field)(), atol=1e-4)


def test_a_real_scan_keeps_its_header(predict, real_ct: Path, tmp_path: Path) -> None:
    assert predict(real_ct / "abdomen_ct.nii.gz", "--out", tmp_path, "--overlap", 0.0) == 0
    scan, labels = (nib.load(path) for path in (real_ct / "abdomen_ct.nii.gz", tmp_path / "abdomen_ct_seg.nii.gz"))
    assert scan.shape == labels.shape
    np.testing.assert_array_equal(scan.affine, labels.affine)
    for field in ("qform_code", "sform_code", "pixdim", "srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_x"):
        np.testing.assert_array_equal(scan.header[field], labels.header[field])


def write_series(folder: Path, heights: tuple[float, ...]) -> Path:
    """A DICOM series of flat slices with a brighter block, at heights in mm."""
    folder.mkdir()
    for k, height in enumerate(heights):
        plane = np.full((24, 24), 24, np.uint16)
        plane[8:16, 8:16] = 1074
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = CTImageStorage, f"1.2.{k + 1}", "CT"
        dataset.SeriesInstanceUID, dataset.PixelSpacing = "1.2.3", [4, 4]
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, height], [1, 0, 0, 0, 1, 0]
        dataset.Rows = dataset.Columns = 24
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.RescaleSlope, dataset.RescaleIntercept = 15, 1, -1024
        dataset.PixelData = plane.tobytes()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dcmwrite(folder / f"{k}.dcm", dataset, enforce_file_format=True)
    return folder


def test_gaps_of_a_series_are_refused_and_filled_where_that_is_asked_for(
    predict, typed, tmp_path: Path, capsys
) -> None:
    series = write_series(tmp_path / "series", (0, 4, 8, 16, 20, 24))
    assert predict(series) == 3
    assert "--fill-gaps of predict and view resamples it" in capsys.readouterr().err.replace("\n", " ")
    assert predict(series, "--fill-gaps") == 0
    assert "were filled by linear interpolation onto 7 planes 4 mm apart" in capsys.readouterr().out.replace("\n", " ")
    assert read_volume(tmp_path / "series_seg.nii.gz").shape == (24, 24, 7)
    assert typed("view", series, tmp_path / "series_seg.nii.gz", "--html", tmp_path / "page.html", "--fill-gaps") == 0


def test_one_volume_of_a_file_with_several_is_segmented(predict, scan: Path, tmp_path: Path, capsys) -> None:
    image = nib.load(scan)
    assert isinstance(image, nib.Nifti1Image)
    values = np.asarray(image.dataobj)
    series = tmp_path / "series.nii.gz"
    nib.save(nib.Nifti1Image(np.stack([values // 2, values], -1), image.affine, image.header), series)
    assert predict(series) == 3
    assert "choose one with --volume 0 to 1" in capsys.readouterr().err
    assert predict(series, "--volume", 1) == 0
    assert predict(scan) == 0
    found, expected = (read_volume(path.with_name(f"{path.name[:-7]}_seg.nii.gz")) for path in (series, scan))
    np.testing.assert_array_equal(found.array, expected.array)
    np.testing.assert_array_equal(found.affine, expected.affine)
    assert nib.load(found.path).shape == values.shape  # type: ignore[attr-defined]
    assert predict(series, "--volume", 0) == 3
    assert "made with volume 1" in capsys.readouterr().err


def test_what_a_header_leaves_open_is_in_the_log_the_statistics_and_the_preview(
    predict, scan: Path, tmp_path: Path, capsys
) -> None:
    content = bytearray(gzip.decompress(scan.read_bytes()))
    content[252:256] = bytes(4)  # qform_code and sform_code
    path = tmp_path / "unplaced.nii"
    path.write_bytes(content)
    assert predict(path, "--stats") == 0
    note = "does not say how it lies in the patient"
    assert note in capsys.readouterr().out
    assert note in " ".join(json.loads((tmp_path / "unplaced_seg.json").read_text())["notes"])


@pytest.mark.parametrize("name", ["out.mhd", "out.mgz", "out.img"])
def test_an_output_that_no_label_map_can_be_is_refused_at_once(predict, scan: Path, name: str, capsys) -> None:
    assert predict(scan, "--out", scan.with_name(name)) == 2
    assert "label maps are written as .nii.gz, .nii, .nrrd or .mha" in " ".join(capsys.readouterr().err.split())
