"""NIfTI headers that contradict themselves or leave something out: read with a note, or refused."""

import bz2
import gzip
import lzma
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medssm.data.scans.finding import find_volumes
from medssm.data.scans.volume import output_path, read_volume, write_label_map
from medssm.errors import DataError, GeometryError, UsageError

SHAPE = (5, 4, 3)
AFFINE = np.array([[-0.8, 0, 0, 30], [0, 1.25, 0, -20], [0, 0, 2.5, 7], [0, 0, 0, 1]])
# Field of the header -> where it lies and as what.
FIELDS = {
    "dim0": (40, "<h"),
    "dim4": (48, "<h"),
    "pixdim1": (80, "<f"),
    "qform_code": (252, "<h"),
    "sform_code": (254, "<h"),
    "slope": (112, "<f"),
    "inter": (116, "<f"),
    "quatern_b": (256, "<f"),
    "quatern_c": (260, "<f"),
    "quatern_d": (264, "<f"),
    "qoffset_z": (276, "<f"),
    "srow_x0": (280, "<f"),
    "offset": (108, "<f"),
}


def voxels() -> np.ndarray:
    return np.arange(60, dtype=np.int16).reshape(SHAPE)


def written(path: Path, changes: Mapping[str, float], affine: np.ndarray = AFFINE) -> Path:
    """An uncompressed file whose header has other values in some fields."""
    image = nib.Nifti1Image(voxels(), affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    for name, value in changes.items():
        place, layout = FIELDS[name]
        struct.pack_into(layout, content, place, value)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, None),
        ({"sform_code": 0}, None),
        ({"qform_code": 0}, None),
        ({"qform_code": 0, "sform_code": 0}, "does not say how it lies in the patient"),
        ({"srow_x0": 0.8}, "mirror images, so left and right may be exchanged"),
        ({"qoffset_z": 57.0}, "place voxels up to 50 mm apart"),
        (
            {"qform_code": 0, "pixdim1": 1.0},
            r"\(0.8, 1.25, 2.5\) mm, which was taken, and its pixdim \(1, ",
        ),
        ({"slope": np.inf}, "scl_slope is infinite"),
        ({"slope": 1.0, "inter": np.nan}, "nothing is added"),
        ({"slope": np.nan, "inter": np.nan}, None),
        ({"dim0": 4, "dim4": 0}, None),
        ({"offset": 0.0}, None),
    ],
)
def test_what_a_header_leaves_open_is_told(changes: Mapping[str, float], note: str | None, tmp_path: Path) -> None:
    volume = read_volume(written(tmp_path / "scan.nii", changes))
    np.testing.assert_array_equal(volume.array, voxels())
    np.testing.assert_allclose(volume.spacing, (0.8, 1.25, 2.5), rtol=1e-6)
    assert len(volume.notes) == (note is not None)
    if note is not None:
        with pytest.raises(AssertionError, match=note):
            raise AssertionError(volume.notes[0])


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_rounded_quaternion_is_a_rotation(name: str, tmp_path: Path) -> None:
    changes = {"sform_code": 0, "quatern_b": 0.80001, "quatern_c": 0.6, "quatern_d": 0.0}
    path = written(tmp_path / "plain.nii", changes, np.diag([2.0, 2, 3, 1]))
    scan = tmp_path / name
    scan.write_bytes(gzip.compress(path.read_bytes()) if name.endswith("gz") else path.read_bytes())
    volume = read_volume(scan)
    rotation = volume.affine[:3, :3] / volume.spacing
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(rotation[:2, :2], [[0.28, 0.96], [0.96, -0.28]], atol=1e-4)


def test_a_quaternion_that_is_no_rotation_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "scan.nii", {"sform_code": 0, "quatern_b": 1.5})
    with pytest.raises(GeometryError, match="the quaternion of its qform is no rotation"):
        read_volume(path)


def test_a_zero_sform_leaves_the_qform(tmp_path: Path) -> None:
    path = written(tmp_path / "scan.nii", {})
    content = bytearray(path.read_bytes())
    content[280:328] = bytes(48)
    path.write_bytes(content)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    assert volume.notes == ("its sform is all zero; its qform was taken",)


def test_compression_is_told_by_the_content_and_not_by_the_name(tmp_path: Path) -> None:
    content = written(tmp_path / "plain.nii", {}).read_bytes()
    for name, pack in (
        ("packed.nii", gzip.compress),
        ("plain.nii.gz", bytes),
        ("scan.nii.bz2", bz2.compress),
        ("scan.nii.xz", lzma.compress),
    ):
        path = tmp_path / name
        path.write_bytes(pack(content))
        np.testing.assert_array_equal(read_volume(path).array, voxels())
        write_label_map(output_path(path), voxels() % 3, read_volume(path), {})
        np.testing.assert_array_equal(read_volume(output_path(path)).affine, read_volume(path).affine)
    assert output_path(tmp_path / "scan.nii.bz2").name == "scan_seg.nii.gz"


@pytest.mark.parametrize("name", ["scan.hdr", "scan.img", "scan.hdr.gz", "scan.img.gz"])
def test_a_pair_is_one_scan_by_either_half(name: str, tmp_path: Path) -> None:
    image = nib.Nifti1Pair(voxels(), AFFINE)
    nib.save(image, tmp_path / name.replace("hdr", "img"))
    volume = read_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.array, voxels())
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    assert [path.name for path in find_volumes(tmp_path)] == [name.replace("img", "hdr")]
    out = output_path(tmp_path / name)
    write_label_map(out, voxels() % 3, volume, {1: "liver"})
    assert out.name == "scan_seg.nii.gz"
    assert isinstance(nib.load(out), nib.Nifti1Image)
    np.testing.assert_array_equal(read_volume(out).affine, volume.affine)
    (tmp_path / name.replace("hdr", "img")).unlink()
    with pytest.raises((DataError, FileNotFoundError), match=r"the other half of the scan, scan\.img|no such file"):
        read_volume(tmp_path / name)


def test_an_analyze_header_is_refused_for_it_does_not_tell_left_from_right(tmp_path: Path) -> None:
    nib.save(nib.AnalyzeImage(voxels(), np.eye(4)), tmp_path / "scan.img")
    with pytest.raises(DataError, match="is an Analyze header, which does not tell left from right"):
        read_volume(tmp_path / "scan.hdr")


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii", "scan.mgz"])
def test_one_of_several_volumes_is_read_and_its_label_map_is_3d(name: str, tmp_path: Path) -> None:
    series = np.stack([voxels(), voxels() + 100, voxels() + 200], -1)
    image_class = nib.MGHImage if name.endswith("mgz") else nib.Nifti1Image
    nib.save(image_class(series.astype(np.int32), AFFINE), tmp_path / name)
    with pytest.raises(DataError, match=r"5x4x3x3 voxels are several volumes.*; choose one with --volume 0 to 2"):
        read_volume(tmp_path / name)
    with pytest.raises(UsageError, match="has no volume 3; it holds 3, counted from 0"):
        read_volume(tmp_path / name, 3)
    volume = read_volume(tmp_path / name, 2)
    np.testing.assert_array_equal(volume.array, voxels() + 200)
    out = output_path(tmp_path / name)
    write_label_map(out, volume.array % 3, volume, {})
    assert nib.load(out).shape == SHAPE  # type: ignore[attr-defined]
    np.testing.assert_allclose(read_volume(out).affine, volume.affine, atol=1e-5)


def test_freesurfers_volumes_lie_where_nibabel_puts_them(tmp_path: Path) -> None:
    oblique = nib.affines.from_matvec(
        nib.quaternions.quat2mat((0.9, 0.1, -0.3, 0.2)) @ np.diag((0.8, 1.25, 2.5)), (3, 4, 5)
    )
    for name in ("scan.mgz", "scan.mgh"):
        nib.save(nib.MGHImage(voxels(), oblique), tmp_path / name)
        volume = read_volume(tmp_path / name)
        np.testing.assert_array_equal(volume.array, voxels())
        np.testing.assert_allclose(volume.affine, oblique, atol=1e-5)
        assert output_path(tmp_path / name).name == "scan_seg.nii.gz"
    content = bytearray((tmp_path / "scan.mgh").read_bytes())
    content[28:30] = bytes(2)  # goodRASFlag
    (tmp_path / "scan.mgh").write_bytes(content)
    assert read_volume(tmp_path / "scan.mgh").notes == (
        "beware: its header tells neither spacing nor orientation, so that is a guess",
    )
    (tmp_path / "scan.mgh").write_bytes(content[:300])
    with pytest.raises(DataError, match="cut off, damaged or no FreeSurfer volume"):
        read_volume(tmp_path / "scan.mgh")


TABLE = b'<CaretExtension><LabelTable><Label Key="1">liver</Label></LabelTable></CaretExtension>'


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table[:60],
        lambda table: table.replace(b"liver", b"Sch\xe4del"),
        lambda table: table.replace(b"liver", b"liver & spleen"),
        lambda table: table.replace(b"Key", b"key"),
        lambda table: table.replace(b'"1"', b'"1.0"'),
        lambda table: table.replace(b'"1"', b'"' + b"9" * 5000 + b'"'),
        lambda table: b'<!DOCTYPE a [<!ENTITY b "b">]>' + table,
    ],
)
def test_a_damaged_table_of_names_is_told(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels(), AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension(0, change(TABLE)))
    nib.save(image, tmp_path / "labels.nii.gz")
    volume = read_volume(tmp_path / "labels.nii.gz")
    assert volume.label_names == {}
    assert volume.notes == ("its table of label names is damaged, so its labels have no names",)


@pytest.mark.parametrize("name", ["a\0b.nii.gz", "a" * 5000 + ".nii.gz"])
def test_names_that_no_file_has_are_refused_in_a_sentence(name: str) -> None:
    with pytest.raises((DataError, FileNotFoundError)) as error:
        read_volume(name)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300
