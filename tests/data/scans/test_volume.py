"""A label map has its scan's geometry to the bit, in every format and for every affine."""

import gzip
import itertools
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from medssm.data.scans.alignment import turned_like
from medssm.data.scans.finding import find_volumes
from medssm.data.scans.geometry import reverse_order
from medssm.data.scans.volume import Volume, output_path, read_volume, write_label_map, write_probabilities
from medssm.errors import DataError, GeometryError, UsageError

NAMES = {1: "spleen", 2: "left & <right> kidney"}
SHAPE = (5, 4, 3)
SPACING = (0.8, 1.3, 2.5)
GEOMETRY_FIELDS = (
    *("dim", "pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)
ORIENTATIONS = [
    pytest.param(axes, signs, id="".join("LRPAIS"[2 * a + (s > 0)] for a, s in zip(axes, signs, strict=True)))
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def load_nifti(path: Path) -> nib.Nifti1Image:
    image = nib.load(path)
    assert isinstance(image, nib.Nifti1Image)
    return image


def raw_header(path: Path) -> nib.Nifti1Header:
    """The header as stored: nibabel mends what is strange when it loads an image."""
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        header_class = nib.Nifti2Header if file.read(1) == b"\x1c" else nib.Nifti1Header
        file.seek(0)
        return header_class.from_fileobj(file, check=False)


def oriented_affine(axes: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    """Voxel axis k runs along patient axis axes[k] in direction signs[k]."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for k, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[axis, k] = sign * SPACING[k]
    affine[:3, 3] = (-31.7, 12.25, 404.125)
    return affine


def oblique_affine(seed: int) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(random_state=seed).as_matrix() * SPACING
    affine[:3, 3] = np.random.default_rng(seed).uniform(-400, 400, 3)
    return affine


def voxels(dtype: str = "int16", shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def write_nifti(path: Path, affine: np.ndarray, qform_code: int = 1, sform_code: int = 1, dtype: str = "int16") -> Path:
    image = nib.Nifti1Image(voxels(dtype), affine)
    image.set_qform(affine, qform_code)
    image.set_sform(affine, sform_code)
    nib.save(image, path)
    return path


def write_itk(path: Path, affine: np.ndarray) -> Path:
    lps = np.diag([-1, -1, 1, 1]) @ affine
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels().T))
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path))
    return path


def label_map_of(scan: Path) -> Path:
    """Labels whose value tells the voxel's place, written on the grid of `scan`."""
    volume = read_volume(scan)
    out = output_path(scan)
    write_label_map(out, (volume.array % 3).astype(np.int64), volume, NAMES)
    return out


def assert_same_nifti_geometry(scan: Path, out: Path) -> None:
    before, after = raw_header(scan), raw_header(out)
    for field in GEOMETRY_FIELDS:
        assert before[field].tobytes() == after[field].tobytes(), field


def assert_itk_agrees(scan: Path, out: Path) -> None:
    before, after = sitk.ReadImage(str(scan)), sitk.ReadImage(str(out))
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(before, name)() == getattr(after, name)(), name
    assert np.array_equal(sitk.GetArrayFromImage(before) % 3, sitk.GetArrayFromImage(after))


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_nifti_label_map_has_the_geometry_of_every_orientation(
    tmp_path: Path, axes: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    affine = oriented_affine(axes, signs)
    scan = write_nifti(tmp_path / "scan.nii.gz", affine)
    volume = read_volume(scan)
    out = label_map_of(scan)
    assert_same_nifti_geometry(scan, out)
    assert_itk_agrees(scan, out)
    assert np.array_equal(np.asarray(load_nifti(out).dataobj), voxels() % 3)
    np.testing.assert_allclose(volume.affine, affine, rtol=0, atol=1e-4)
    np.testing.assert_allclose(volume.spacing, SPACING, rtol=1e-6)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd", ".nhdr"])
@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS[::5])
def test_itk_label_map_has_the_geometry_of_the_scan(
    tmp_path: Path, axes: tuple[int, ...], signs: tuple[int, ...], suffix: str
) -> None:
    affine = oriented_affine(axes, signs)
    scan = write_itk(tmp_path / f"scan{suffix}", affine)
    assert np.array_equal(read_volume(scan).array, voxels())
    np.testing.assert_allclose(read_volume(scan).affine, affine, atol=1e-12)
    assert_itk_agrees(scan, label_map_of(scan))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_oblique_anisotropic_scan_keeps_its_affine_to_the_bit(tmp_path: Path, suffix: str, seed: int) -> None:
    write = write_nifti if "nii" in suffix else write_itk
    scan = write(tmp_path / f"scan{suffix}", oblique_affine(seed))
    out = label_map_of(scan)
    assert np.array_equal(read_volume(scan).affine, read_volume(out).affine)
    assert_itk_agrees(scan, out)


@pytest.mark.parametrize(("qform_code", "sform_code"), list(itertools.product((0, 1, 2, 4), (0, 1, 2, 4))))
def test_nifti_codes_survive(tmp_path: Path, qform_code: int, sform_code: int) -> None:
    scan = write_nifti(tmp_path / "scan.nii.gz", oblique_affine(1), qform_code, sform_code)
    assert_same_nifti_geometry(scan, label_map_of(scan))
    assert np.array_equal(read_volume(scan).affine, load_nifti(scan).affine)


def test_sform_wins_over_a_different_qform_and_both_survive(tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels(), None)
    image.set_qform(oblique_affine(2), 1)
    image.set_sform(oblique_affine(3), 2)
    nib.save(image, tmp_path / "scan.nii.gz")
    np.testing.assert_allclose(read_volume(tmp_path / "scan.nii.gz").affine, oblique_affine(3), atol=1e-4)
    assert_same_nifti_geometry(tmp_path / "scan.nii.gz", label_map_of(tmp_path / "scan.nii.gz"))


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize(("index", "value"), [(0, -1.0), (0, 0.0), (0, 1.0), (1, -0.8), (3, -2.5)])
def test_strange_pixdim_survives(tmp_path: Path, index: int, value: float, code: int) -> None:
    """qfac -1 and 0, and a negative size, which nibabel takes as positive and ITK does not."""
    affine = np.diag([*SPACING, 1.0])
    scan = write_nifti(tmp_path / "scan.nii", affine, qform_code=code, sform_code=0)
    set_pixdim(scan, index, value)
    out = label_map_of(scan)
    assert_same_nifti_geometry(scan, out)
    assert_itk_agrees(scan, out)
    assert np.array_equal(read_volume(scan).affine, load_nifti(scan).affine)


def set_pixdim(path: Path, index: int, value: float) -> None:
    content = bytearray(path.read_bytes())
    content[76 + 4 * index : 80 + 4 * index] = struct.pack("<f", value)
    path.write_bytes(content)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("sform_code", [0, 1])
def test_pixdim_of_zero_is_refused(tmp_path: Path, value: float, sform_code: int) -> None:
    scan = write_nifti(tmp_path / "scan.nii", np.diag([*SPACING, 1.0]), sform_code=sform_code)
    set_pixdim(scan, 2, value)
    with pytest.raises(GeometryError, match=r"scan.nii: spacing \(0.8, (0|nan|inf), 2.5\) mm in pixdim"):
        read_volume(scan)


def test_sheared_affine_survives_although_itk_refuses_it(tmp_path: Path) -> None:
    affine = np.array([[1, 0, 0.4, 5], [0, 1, 0, 6], [0, 0, 2, 7], [0, 0, 0, 1.0]])
    image = nib.Nifti1Image(voxels(), affine)
    image.set_qform(None, 0)
    nib.save(image, tmp_path / "scan.nii.gz")
    out = label_map_of(tmp_path / "scan.nii.gz")
    assert_same_nifti_geometry(tmp_path / "scan.nii.gz", out)
    assert read_volume(out).voxel_volume == pytest.approx(2.0)
    with pytest.raises(RuntimeError, match="orthonormal"):
        sitk.ReadImage(str(out))


@pytest.mark.parametrize("shape", [(5, 4, 3, 1), (5, 4, 1), (5, 4)])
def test_stored_shape_survives(tmp_path: Path, shape: tuple[int, ...]) -> None:
    nib.save(nib.Nifti1Image(voxels(shape=shape), np.diag([2, 2, 3, 1])), tmp_path / "scan.nii.gz")
    assert len(read_volume(tmp_path / "scan.nii.gz").shape) == 3
    assert load_nifti(label_map_of(tmp_path / "scan.nii.gz")).shape == shape


def test_nifti2_stays_nifti2(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(voxels(), oblique_affine(5)), tmp_path / "scan.nii.gz")
    out = label_map_of(tmp_path / "scan.nii.gz")
    assert isinstance(load_nifti(out), nib.Nifti2Image)
    assert_same_nifti_geometry(tmp_path / "scan.nii.gz", out)


def test_big_endian_scan_is_read_in_the_machines_order(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    nib.save(nib.Nifti1Image(voxels().astype(">i2"), oblique_affine(6), header), tmp_path / "scan.nii")
    volume = read_volume(tmp_path / "scan.nii")
    assert volume.array.dtype.isnative
    assert np.array_equal(volume.array, voxels())
    assert_itk_agrees(tmp_path / "scan.nii", label_map_of(tmp_path / "scan.nii"))


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels(), np.eye(4))
    image.header.set_slope_inter(0.5, -1024)
    nib.save(image, tmp_path / "scan.nii.gz")
    content = bytearray(gzip.decompress((tmp_path / "scan.nii.gz").read_bytes()))
    stored = np.frombuffer(content[352:], "<i2").reshape(SHAPE, order="F")
    assert np.array_equal(read_volume(tmp_path / "scan.nii.gz").array, stored * 0.5 - 1024)


def test_unscaled_integers_are_mapped_not_copied(tmp_path: Path) -> None:
    array = read_volume(write_nifti(tmp_path / "scan.nii", np.eye(4))).array
    assert array.dtype == np.int16
    assert isinstance(array if isinstance(array, np.memmap) else array.base, np.memmap)


def test_units_of_length_become_millimetres(tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels(), np.diag([0.001, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "scan.nii.gz")
    spacing = read_volume(tmp_path / "scan.nii.gz").spacing
    np.testing.assert_allclose(spacing, (1, 2, 3), rtol=1e-6)
    np.testing.assert_allclose(spacing, sitk.ReadImage(str(tmp_path / "scan.nii.gz")).GetSpacing(), rtol=1e-6)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_names_are_in_the_file(tmp_path: Path, suffix: str) -> None:
    write_label_map(tmp_path / f"seg{suffix}", voxels("uint8"), Volume(voxels(), oblique_affine(7)), NAMES)
    assert read_volume(tmp_path / f"seg{suffix}").label_names == NAMES


def test_nifti_names_are_an_xml_label_table(tmp_path: Path) -> None:
    write_label_map(tmp_path / "seg.nii.gz", voxels("uint8"), Volume(voxels(), np.eye(4)), NAMES)
    content = load_nifti(tmp_path / "seg.nii.gz").header.extensions[0].get_content()
    assert b"<LabelTable>" in content
    assert b'<Label Key="1"' in content


@pytest.mark.parametrize(("highest", "dtype"), [(13, "uint8"), (255, "uint8"), (256, "uint16"), (70000, "uint32")])
def test_labels_are_stored_in_the_smallest_type(tmp_path: Path, highest: int, dtype: str) -> None:
    labels = np.zeros(SHAPE, np.int64)
    labels[1, 2, 0] = highest
    write_label_map(tmp_path / "seg.nii.gz", labels, Volume(voxels(), np.eye(4)), {highest: "organ"})
    stored = load_nifti(tmp_path / "seg.nii.gz")
    assert stored.get_data_dtype() == dtype
    assert int(np.asarray(stored.dataobj)[1, 2, 0]) == highest


def test_free_text_of_the_scan_stays_behind(tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels(), np.eye(4))
    image.header["descrip"] = b"Jane Doe"
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"Jane Doe"))
    nib.save(image, tmp_path / "scan.nii.gz")
    assert b"Jane" not in gzip.decompress(label_map_of(tmp_path / "scan.nii.gz").read_bytes())


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_probabilities_lie_on_the_grid_of_the_scan(tmp_path: Path, dtype: str) -> None:
    scan = write_nifti(tmp_path / "scan.nii.gz", oblique_affine(8))
    probabilities = np.random.default_rng(0).random((2, *SHAPE)).astype(dtype)
    write_probabilities(tmp_path / "p.nii.gz", probabilities, read_volume(scan), NAMES)
    stored = load_nifti(tmp_path / "p.nii.gz")
    assert np.array_equal(stored.affine, load_nifti(scan).affine)
    assert np.array_equal(np.moveaxis(np.asarray(stored.dataobj), -1, 0), probabilities.astype("float32"))


def test_order_is_reversed_for_simpleitk(tmp_path: Path) -> None:
    scan = write_nifti(tmp_path / "scan.nii.gz", np.diag([1, 2, 3, 1]))
    assert np.array_equal(reverse_order(read_volume(scan).array), sitk.GetArrayFromImage(sitk.ReadImage(str(scan))))
    assert reverse_order((1.0, 2.0, 3.0)) == (3.0, 2.0, 1.0)


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS[::3])
def test_turned_volume_has_the_same_voxels_in_the_same_places(axes: tuple[int, ...], signs: tuple[int, ...]) -> None:
    first = Volume(voxels(), oblique_affine(9))
    like = Volume(voxels(), oriented_affine(axes, signs))
    turned = turned_like(first, like)
    assert nib.aff2axcodes(turned.affine) == nib.aff2axcodes(like.affine)
    for index in np.ndindex(turned.shape):
        there = np.linalg.solve(first.affine, turned.affine @ [*index, 1])[:3]
        assert turned.array[index] == first.array[tuple(np.round(there).astype(int))]
    assert turned_like(first, first) is first


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        ("a.nii.gz", "a_seg.nii.gz"),
        ("a.b.nii", "a.b_seg.nii.gz"),
        ("a.NRRD", "a_seg.nrrd"),
        ("a.mhd", "a_seg.mha"),
        ("series/0001.dcm", "series_seg.nii.gz"),
    ],
)
def test_output_is_named_after_the_scan(tmp_path: Path, scan: str, expected: str) -> None:
    assert output_path(tmp_path / scan) == tmp_path / expected
    assert output_path(tmp_path / scan, tmp_path / "out") == tmp_path / "out" / expected


def test_folder_of_scans_is_each_of_them(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.nii.gz", "a.mha", "sub/c.nrrd", ".hidden.nii.gz", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_volumes(tmp_path)] == ["a.mha", "b.nii.gz", "c.nrrd"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no scan in this folder"):
        find_volumes(tmp_path / "empty")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-12])


def flipped_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)


def replaced(path: Path) -> None:
    path.write_bytes(b"this is a web page, not a scan")


@pytest.mark.parametrize("damage", [truncated, flipped_bit, replaced])
def test_damaged_nifti_is_refused(tmp_path: Path, damage: object) -> None:
    scan = write_nifti(tmp_path / "scan.nii.gz", np.eye(4))
    damage(scan)  # type: ignore[operator]
    with pytest.raises(DataError, match=r"scan.nii.gz: cut off, damaged"):
        read_volume(scan)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nrrd", "scan.mha"])
def test_truncated_scan_is_refused(tmp_path: Path, name: str) -> None:
    scan = tmp_path / name
    (write_nifti if name.endswith("nii") else write_itk)(scan, np.eye(4))
    truncated(scan)
    with pytest.raises(DataError, match=name):
        read_volume(scan)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_header_that_promises_more_than_the_file_holds_is_refused(tmp_path: Path, suffix: str) -> None:
    scan = write_nifti(tmp_path / "scan.nii", np.eye(4))
    content = bytearray(scan.read_bytes())
    content[42:48] = struct.pack("<3h", 30000, 30000, 30000)
    scan = tmp_path / f"lie{suffix}"
    scan.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    with pytest.raises(DataError, match="promises 30000x30000x30000 voxels"):
        read_volume(scan)


def test_four_dimensional_scan_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(voxels(shape=(5, 4, 3, 2)), np.eye(4)), tmp_path / "scan.nii.gz")
    with pytest.raises(DataError, match="5x4x3x2 voxels are several volumes"):
        read_volume(tmp_path / "scan.nii.gz")


def test_colours_are_refused(tmp_path: Path) -> None:
    colour = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colour, np.eye(4)), tmp_path / "scan.nii.gz")
    with pytest.raises(DataError, match="no grey values"):
        read_volume(tmp_path / "scan.nii.gz")


def test_zero_spacing_is_refused(tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels(), np.eye(4))
    image.header["srow_x"] = 0
    image.header["sform_code"] = 1
    nib.Nifti1Image(voxels(), None, image.header).to_filename(tmp_path / "scan.nii.gz")
    with pytest.raises(GeometryError, match=r"spacing \(0, 1, 1\) mm has a zero"):
        read_volume(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("name", ["scan.txt", "scan.jpg"])
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("hello")
    with pytest.raises(DataError, match="no scan that can be read"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["absent.nii.gz", "absent"])
def test_absent_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        read_volume(tmp_path / name)
    assert str(caught.value.filename).endswith(name)


def test_labels_of_another_shape_are_refused(tmp_path: Path) -> None:
    volume = Volume(voxels(), np.eye(4))
    with pytest.raises(GeometryError, match=r"\(3, 4, 5\) do not lie on the grid \(5, 4, 3\)"):
        write_label_map(tmp_path / "seg.nii.gz", voxels().T, volume, NAMES)
    with pytest.raises(UsageError, match="choose one of these endings"):
        write_label_map(tmp_path / "seg.png", voxels(), volume, NAMES)
    assert not list(tmp_path.iterdir())


def test_real_scan_and_its_label_map_agree(real_ct: Path, tmp_path: Path) -> None:
    scan = real_ct / "abdomen_ct.nii.gz"
    volume = read_volume(scan)
    assert volume.array.dtype == np.int16
    assert volume.spacing == (3.0, 3.0, 3.0)
    out = output_path(scan, tmp_path)
    write_label_map(out, read_volume(real_ct / "abdomen_label.nii.gz").array, volume, NAMES)
    assert_same_nifti_geometry(scan, out)
