"""NRRD and MetaImage files in the forms that people have, held against SimpleITK, and 3D Slicer's segmentations."""

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medssm.data.scans.alignment import turned_like
from medssm.data.scans.organ_masks import read_label_file
from medssm.data.scans.volume import Volume, output_path, read_volume, write_label_map
from medssm.errors import DataError, GeometryError
from medssm.metrics import evaluate

SHAPE = (5, 4, 3)
LINES = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "5 4 3",
    "space directions": "(0.8,0,0) (0,1.25,0) (0,0,2.5)",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(-30,20,7)",
}
AFFINE = np.array([[-0.8, 0, 0, 30], [0, -1.25, 0, -20], [0, 0, 2.5, 7], [0, 0, 0, 1]])
META = {
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "-30 20 7",
    "ElementSpacing": "0.8 1.25 2.5",
    "DimSize": "5 4 3",
    "ElementType": "MET_SHORT",
}


def voxels() -> np.ndarray:
    return np.arange(60, dtype=np.int16).reshape(SHAPE)


def content_of(array: np.ndarray) -> bytes:
    return array.tobytes(order="F")


def nrrd(path: Path, changes: Mapping[str, str | None] = {}, content: bytes | None = None, end: str = "\n") -> Path:
    """An NRRD file with other lines than LINES; None leaves one out."""
    lines = [f"{key}: {value}" for key, value in ({**LINES, **changes}).items() if value is not None]
    body = content_of(voxels()) if content is None else content
    path.write_bytes((end.join(["NRRD0005", *lines, "", ""])).encode() + body)
    return path


def meta(path: Path, changes: Mapping[str, str | None] = {}, content: bytes | None = None) -> Path:
    """A MetaImage file with other lines than META; None leaves one out."""
    fields = {**META, **changes, "ElementDataFile": "LOCAL"}
    lines = [f"{key} = {value}" for key, value in sorted(fields.items(), key=_last) if value is not None]
    path.write_bytes("\n".join([*lines, ""]).encode() + (content_of(voxels()) if content is None else content))
    return path


def _last(field: tuple[str, str | None]) -> bool:
    return field[0] == "ElementDataFile"


PACKED = zlib.compress(content_of(voxels()))
BIG = content_of(voxels().astype(">i2"))
TEXT = " ".join(map(str, voxels().ravel(order="F").tolist())).encode()


@pytest.mark.parametrize(
    ("changes", "content"),
    [
        ({}, content_of(voxels())),
        ({"encoding": "gzip"}, gzip.compress(content_of(voxels()))),
        ({"encoding": "hex"}, content_of(voxels()).hex().encode()),
        ({"encoding": "ascii"}, TEXT),
        ({"endian": "big"}, BIG),
        ({"byte skip": "7"}, bytes(7) + content_of(voxels())),
        ({"byte skip": "-1"}, bytes(9) + content_of(voxels())),
        ({"space": "RAS"}, content_of(voxels())),
        ({"space": "left-anterior-superior"}, content_of(voxels())),
        ({"space directions": "(0.8,0.3,0) (-0.4,1.25,0) (0,0,2.5)"}, content_of(voxels())),
        ({"space": None, "space directions": None, "space origin": None, "spacings": "1 2 3"}, content_of(voxels())),
    ],
    ids=lambda value: str(len(value)),
)
def test_an_nrrd_file_is_read_as_itk_reads_it(
    changes: Mapping[str, str | None], content: bytes, tmp_path: Path
) -> None:
    assert_itk_agrees(nrrd(tmp_path / "scan.nrrd", changes, content))
    assert_itk_agrees(nrrd(tmp_path / "lines.nrrd", changes, content, "\r\n" if "byte skip" not in changes else "\n"))


@pytest.mark.parametrize(
    ("changes", "content"),
    [
        ({}, content_of(voxels())),
        ({"BinaryDataByteOrderMSB": "True"}, BIG),
        ({"CompressedData": "True", "CompressedDataSize": str(len(PACKED))}, PACKED),
        ({"TransformMatrix": "0.8 0.6 0 -0.6 0.8 0 0 0 1"}, content_of(voxels())),
        ({"TransformMatrix": None, "Orientation": "0 1 0 1 0 0 0 0 -1", "Offset": None}, content_of(voxels())),
        ({"ElementSpacing": None, "ElementSize": "1 2 3"}, content_of(voxels())),
        ({"ElementSpacing": None}, content_of(voxels())),
    ],
    ids=lambda value: str(len(value)),
)
def test_a_metaimage_file_is_read_as_itk_reads_it(
    changes: Mapping[str, str | None], content: bytes, tmp_path: Path
) -> None:
    assert_itk_agrees(meta(tmp_path / "scan.mha", changes, content))


def assert_itk_agrees(path: Path) -> None:
    """Voxels and geometry are those of SimpleITK, for the scan and for the label map written on it."""
    volume, image = read_volume(path), sitk.ReadImage(str(path))
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image).T)
    for index in ((0, 0, 0), (4, 0, 0), (0, 3, 0), (1, 2, 2)):
        there = (volume.affine @ [*index, 1])[:3] * (-1, -1, 1)
        np.testing.assert_allclose(there, image.TransformIndexToPhysicalPoint(index), atol=1e-9)
    out = output_path(path)
    write_label_map(out, voxels() % 3, volume, {1: "liver\nand\\more"})
    labels = sitk.ReadImage(str(out))
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(labels, name)(), getattr(image, name)(), rtol=0, atol=1e-15)
    np.testing.assert_array_equal(read_volume(out).affine, volume.affine)
    assert labels.GetMetaData("Segment0_Name").startswith("liver")


def test_ascii_metaimage_and_bzip2_nrrd_are_read_although_itk_does_not(tmp_path: Path) -> None:
    import bz2

    path = meta(tmp_path / "scan.mha", {"BinaryData": "False"}, TEXT)
    np.testing.assert_array_equal(read_volume(path).array, voxels())
    path = nrrd(tmp_path / "scan.nrrd", {"encoding": "bzip2"}, bz2.compress(content_of(voxels())))
    np.testing.assert_array_equal(read_volume(path).array, voxels())


NO_SPACE: Mapping[str, str | None] = {"space": None, "space directions": None, "space origin": None}


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, None),
        ({**NO_SPACE, "spacings": "0.8 1.25 2.5"}, "tells no orientation, so it is a guess"),
        (NO_SPACE, "tells no spacing and orientation, so they are a guess"),
        ({"space": "scanner-xyz"}, "its space 'scanner-xyz' does not say where left and right are"),
        ({"space": None, "space dimension": "3"}, "its header does not say where left and right are"),
        ({"space units": '"mm" "mm" "mm"'}, None),
    ],
)
def test_what_an_nrrd_header_leaves_open_is_told(
    changes: Mapping[str, str | None], note: str | None, tmp_path: Path
) -> None:
    notes = read_volume(nrrd(tmp_path / "scan.nrrd", changes)).notes
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, None),
        ({"ElementSpacing": None}, "tells no spacing, so that is a guess"),
        ({"TransformMatrix": None}, "tells no orientation, so that is a guess"),
        ({"ElementSpacing": None, "TransformMatrix": None}, "tells no spacing and no orientation"),
    ],
)
def test_what_a_metaimage_header_leaves_open_is_told(
    changes: Mapping[str, str | None], note: str | None, tmp_path: Path
) -> None:
    notes = read_volume(meta(tmp_path / "scan.mha", changes)).notes
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


@pytest.mark.parametrize("size", ["0", "nan", "-1"])
def test_a_spacing_that_is_none_is_refused(size: str, tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="has a zero or is no number"):
        read_volume(meta(tmp_path / "scan.mha", {"ElementSpacing": f"1 {size} 1"}))
    if size != "-1":
        with pytest.raises(GeometryError, match="have a zero or are no number"):
            read_volume(nrrd(tmp_path / "scan.nrrd", {**NO_SPACE, "spacings": f"1 {size} 1"}))
    with pytest.raises(GeometryError, match=r"has a zero|not finite|parallel"):
        read_volume(nrrd(tmp_path / "scan.nrrd", {"space directions": f"(1,0,0) (0,{size},0) (0,{size},0)"}))


@pytest.mark.parametrize(("unit", "mm"), [("microns", 0.001), ("um", 0.001), ("cm", 10), ("m", 1000), ("mm", 1)])
def test_lengths_in_other_units_become_millimetres(unit: str, mm: float, tmp_path: Path) -> None:
    changes = {
        "space units": " ".join([f'"{unit}"'] * 3),
        "space directions": f"({0.8 / mm},0,0) (0,{1.25 / mm},0) (0,0,{2.5 / mm})",
        "space origin": f"({-30 / mm},{20 / mm},{7 / mm})",
    }
    path = nrrd(tmp_path / "scan.nrrd", changes)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine, AFFINE, rtol=1e-12)
    assert bool(volume.notes) == (unit != "mm")
    write_label_map(output_path(path), voxels() % 3, volume, {})
    np.testing.assert_array_equal(read_volume(output_path(path)).affine, volume.affine)
    with pytest.raises(GeometryError, match=r"lengths in '.*' cannot be turned into mm"):
        read_volume(nrrd(path, {"space units": '"mm" "mm" "furlong"'}))


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_a_list_axis_is_one_of_volumes_and_not_of_space(count: int, is_first: bool, tmp_path: Path) -> None:
    series = np.stack([voxels() + 100 * k for k in range(count)], 0 if is_first else -1)
    vectors = LINES["space directions"]
    changes = {
        "dimension": "4",
        "sizes": f"{count} 5 4 3" if is_first else f"5 4 3 {count}",
        "space directions": f"none {vectors}" if is_first else f"{vectors} none",
        "kinds": "list domain domain domain" if is_first else "domain domain domain list",
    }
    path = nrrd(tmp_path / "scan.nrrd", changes, content_of(series))
    if count > 1:
        with pytest.raises(DataError, match="choose one with --volume 0 to 1"):
            read_volume(path)
    volume = read_volume(path, count - 1)
    np.testing.assert_array_equal(volume.array, voxels() + 100 * (count - 1))
    write_label_map(output_path(path), voxels() % 3, volume, {})
    image = sitk.ReadImage(str(output_path(path)))
    assert image.GetSize() == SHAPE
    assert image.GetSpacing() == (0.8, 1.25, 2.5)
    np.testing.assert_array_equal(read_volume(output_path(path)).affine, AFFINE)


def test_channels_and_time_of_a_metaimage_are_volumes(tmp_path: Path) -> None:
    series = np.stack([voxels(), voxels() + 100])
    path = meta(tmp_path / "channels.mha", {"ElementNumberOfChannels": "2"}, content_of(series))
    np.testing.assert_array_equal(read_volume(path, 1).array, voxels() + 100)
    changes = {
        "NDims": "4",
        "DimSize": "5 4 3 2",
        "ElementSpacing": "0.8 1.25 2.5 1",
        "Offset": "-30 20 7 0",
        "TransformMatrix": "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1",
    }
    path = meta(tmp_path / "time.mha", changes, content_of(np.moveaxis(series, 0, -1)))
    np.testing.assert_array_equal(read_volume(path, 1).array, voxels() + 100)
    np.testing.assert_array_equal(read_volume(path, 1).affine, AFFINE)


def segmentation(path: Path, layers: np.ndarray, segments: list[tuple[str, int, int]], start=(0, 0, 0)) -> Path:
    """A .seg.nrrd as 3D Slicer writes it; layers (L, X, Y, Z), segments of name, layer and value."""
    vectors = LINES["space directions"]
    origin = AFFINE @ [*start, 1] * (-1, -1, 1, 1)
    fields: dict[str, str | None] = {
        "type": "unsigned char",
        "space origin": f"({','.join(map(repr, origin[:3].tolist()))})",
        "sizes": " ".join(map(str, layers.shape[1:])),
    }
    if len(layers) > 1:
        fields |= {"dimension": "4", "sizes": " ".join(map(str, layers.shape)), "space directions": f"none {vectors}"}
    for index, (name, layer, value) in enumerate(segments):
        own = {"ID": f"Segment_{index + 1}", "Name": name, "Layer": layer, "LabelValue": value}
        fields |= {f"Segment{index}_{key}:": f"={text}"[1:] for key, text in own.items()}
    nrrd(path, fields, content_of(layers if len(layers) > 1 else layers[0]))
    path.write_bytes(path.read_bytes().replace(b":: ", b":="))
    return path


def test_a_cropped_segmentation_lies_where_it_was_drawn(tmp_path: Path) -> None:
    whole = np.zeros(SHAPE, np.uint8)
    whole[1:4, 2:4, 1] = 3
    path = segmentation(tmp_path / "a.seg.nrrd", whole[None, 1:4, 2:4, 1:2], [("left kidney", 0, 3)], (1, 2, 1))
    assert read_volume(path).shape == (3, 2, 1)
    for affine in (AFFINE, AFFINE @ np.array([[-1, 0, 0, 4], [0, 1, 0, 0], [0, 0, -1, 2], [0, 0, 0, 1]])):
        scan = Volume(voxels(), affine)
        there = turned_like(read_volume(path), scan)
        expected = whole if affine is AFFINE else whole[::-1, :, ::-1]
        np.testing.assert_array_equal(there.array, expected)
        np.testing.assert_array_equal(there.affine, affine)
    write_label_map(tmp_path / "b.nii.gz", whole, Volume(whole, AFFINE), {})
    other = segmentation(tmp_path / "c.seg.nrrd", whole[None, 0:4, 2:4, 0:2], [("left kidney", 0, 3)], (0, 2, 0))
    for one, two in ((path, tmp_path / "b.nii.gz"), (tmp_path / "b.nii.gz", path), (path, other), (other, path)):
        (score,) = evaluate(one, two).scores
        assert (score.organ, score.dice, score.hd95) == ("left kidney", 1.0, 0.0)
        assert score.volume_ml == pytest.approx(6 * 2.5 / 1000)


def test_a_segmentation_off_the_grid_or_beyond_it_is_refused(tmp_path: Path) -> None:
    block = np.ones((1, 3, 2, 1), np.uint8)
    write_label_map(tmp_path / "b.nii.gz", np.ones(SHAPE, np.uint8), Volume(voxels(), AFFINE), {})
    for start in ((0.5, 0, 0), (4, 0, 0)):
        path = segmentation(tmp_path / "a.seg.nrrd", block, [("liver", 0, 1)], start)
        with pytest.raises(GeometryError, match=r"shapes .* differ|not on one grid"):
            evaluate(path, tmp_path / "b.nii.gz")


def test_layers_become_one_label_map_with_numbers_of_their_own(tmp_path: Path) -> None:
    layers = np.zeros((2, *SHAPE), np.uint8)
    layers[0, 0], layers[1, 2], layers[1, 3] = 1, 1, 2
    segments = [("kidney", 0, 1), ("liver", 1, 1), ("spleen", 1, 2)]
    labels = read_label_file(segmentation(tmp_path / "a.seg.nrrd", layers, segments))
    (only,) = labels.layers
    found = {labels.names[int(only[x, 0, 0])]: x for x in (0, 2, 3)}
    assert found == {"kidney": 0, "liver": 2, "spleen": 3}
    assert np.count_nonzero(only) == 36


def test_overlapping_segments_are_scored_and_are_no_label_map(tmp_path: Path) -> None:
    layers = np.zeros((2, *SHAPE), np.uint8)
    layers[0, 0:3], layers[1, 2:4] = 1, 1
    path = segmentation(tmp_path / "a.seg.nrrd", layers, [("liver", 0, 1), ("lesion", 1, 1)])
    with pytest.raises(DataError, match=r"a\.seg\.nrrd: liver and lesion overlap, and a label map holds one segment"):
        read_volume(path)
    assert {score.organ: score.dice for score in evaluate(path, path).scores} == {"liver": 1.0, "lesion": 1.0}


def test_a_segmentation_of_fractions_is_refused(tmp_path: Path) -> None:
    path = segmentation(tmp_path / "a.seg.nrrd", np.ones((1, *SHAPE), np.float32), [("liver", 0, 1)])
    path.write_bytes(path.read_bytes().replace(b"unsigned char", b"float"))
    with pytest.raises(DataError, match="its segments are fractions, not labels"):
        read_volume(path)


def test_names_with_backslashes_come_back(tmp_path: Path) -> None:
    labels = np.ones((4, 3, 2), np.uint8)
    write_label_map(tmp_path / "a.nrrd", labels, Volume(labels, np.eye(4)), {1: r"left\new \\ part"})
    assert read_volume(tmp_path / "a.nrrd").label_names == {1: r"left\new \\ part"}
