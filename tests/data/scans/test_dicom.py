"""A DICOM series is read as it is, or refused in a sentence: never silently wrong."""

from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless, generate_uid

from medssm.data.scans.volume import Volume, find_volumes, output_path, read_volume, without_repeats, write_label_map
from medssm.errors import DataError, GeometryError

COUNT, ROWS, COLUMNS = 6, 36, 33  # GDCM encodes no JPEG 2000 picture of fewer than 32 pixels
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PIXEL_SPACING = (0.5, 0.7)  # between rows (y), between columns (x)
IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
REPORT_STORAGE = "1.2.840.10008.5.1.4.1.1.88.11"


def load_nifti(path: Path) -> nib.Nifti1Image:
    image = nib.load(path)
    assert isinstance(image, nib.Nifti1Image)
    return image


def pixels(index: int, shape: tuple[int, int] = (ROWS, COLUMNS)) -> np.ndarray:
    return (np.arange(shape[0] * shape[1]).reshape(shape) * 5 + 1000 * index - 1000).astype(np.int16)


def write_slice(path: Path, array: np.ndarray, position: Iterable[float], **tags: object) -> Path:
    """A slice as a scanner writes it; `tags` are replaced or added by keyword, such as Modality="MR".

    Args:
        array: (rows, columns) rescaled values, or (rows, columns, 3) colours.
    """
    slope, intercept = float(tags.get("RescaleSlope", 1)), float(tags.get("RescaleIntercept", -1024))  # type: ignore[arg-type]
    is_colour = array.ndim == 3
    stored = array if is_colour else ((array - intercept) / slope).astype(np.uint16)
    content = (
        {
            "SOPClassUID": IMAGE_STORAGE,
            "SOPInstanceUID": generate_uid(),
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "Modality": "CT",
            "SeriesDescription": "Body 2.0",
            "SliceThickness": 2,
            "SeriesInstanceUID": "1.2.3",
            "SeriesNumber": 4,
            "ImagePositionPatient": [f"{value:.6f}" for value in position],
            "ImageOrientationPatient": list(AXIAL),
            "PixelSpacing": list(PIXEL_SPACING),
            "RescaleIntercept": intercept,
            "RescaleSlope": slope,
            "Rows": array.shape[0],
            "Columns": array.shape[1],
            "SamplesPerPixel": 3 if is_colour else 1,
            "PhotometricInterpretation": "RGB" if is_colour else "MONOCHROME2",
            "BitsAllocated": 8 * stored.itemsize,
            "BitsStored": 8 * stored.itemsize,
            "HighBit": 8 * stored.itemsize - 1,
            "PixelRepresentation": 0,
            "PixelData": stored.tobytes(),
        }
        | ({"PlanarConfiguration": 0} if is_colour else {})
        | tags
    )
    return write_file(path, {key: value for key, value in content.items() if value is not None})


def write_file(path: Path, content: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset()
    for keyword, value in content.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = UID(str(content["SOPClassUID"]))
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(str(content["SOPInstanceUID"] or "1.2"))
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def compress(path: Path, compressor: str) -> None:
    """Writes the slice again in a compressed transfer syntax: "RLE", or "JPEG" or "JPEG2000" (both lossless)."""
    if compressor == "RLE":
        dataset = dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
        return
    image = sitk.ReadImage(str(path))
    slice_2d = sitk.Cast(image[:, :, 0], sitk.sitkInt16)
    for tag in image.GetMetaDataKeys():
        slice_2d.SetMetaData(tag, image.GetMetaData(tag))
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.SetFileName(str(path))
    writer.Execute(slice_2d)


def write_series(
    folder: Path, positions: Iterable[Iterable[float]] | None = None, compressor: str = "", **tags: object
) -> Path:
    """Slices named in reverse, so that the order of the names is not that of the positions."""
    heights = [(-10.0, 20.0, 100.0 + 2 * k) for k in range(COUNT)] if positions is None else list(positions)
    for k, position in enumerate(heights):
        path = write_slice(folder / f"slice{99 - k}.dcm", pixels(k), position, **tags)
        if compressor:
            compress(path, compressor)
    return folder


def write_report(path: Path) -> None:
    """A DICOM file without pixels."""
    write_file(path, {"SOPClassUID": REPORT_STORAGE, "SOPInstanceUID": generate_uid(), "Modality": "SR"})


def expected_voxels() -> np.ndarray:
    """(X, Y, Z) in the order of the positions."""
    return np.stack([pixels(k).T for k in range(COUNT)], axis=-1)


def expected_affine(step: Iterable[float] = (0, 0, 2)) -> np.ndarray:
    lps = np.eye(4)
    lps[:3] = np.column_stack(([PIXEL_SPACING[1], 0, 0], [0, PIXEL_SPACING[0], 0], list(step), [-10, 20, 100]))
    return np.diag([-1, -1, 1, 1]) @ lps


def assert_is_the_series(volume: Volume) -> None:
    assert np.array_equal(volume.array, expected_voxels())
    np.testing.assert_allclose(volume.affine, expected_affine(), atol=1e-9)


def test_series_is_read_in_the_order_of_its_positions(tmp_path: Path) -> None:
    volume = read_volume(write_series(tmp_path / "series"))
    assert_is_the_series(volume)
    assert volume.array.dtype == np.int16
    assert volume.notes == ()


@pytest.mark.parametrize("compressor", ["JPEG2000", "JPEG", "RLE"])
def test_compressed_series_is_read(tmp_path: Path, compressor: str) -> None:
    assert_is_the_series(read_volume(write_series(tmp_path / "series", compressor=compressor)))


def test_label_map_of_a_series_lies_on_it(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    volume = read_volume(folder)
    out = output_path(folder)
    write_label_map(out, volume.array % 3, volume, {1: "liver"})
    assert out == tmp_path / "series_seg.nii.gz"
    np.testing.assert_allclose(load_nifti(out).affine, expected_affine(), atol=1e-5)
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    series, labels = sitk.ReadImage(files), sitk.ReadImage(str(out))
    np.testing.assert_allclose(labels.GetOrigin(), series.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(labels.GetSpacing(), series.GetSpacing(), atol=1e-6)
    np.testing.assert_allclose(labels.GetDirection(), series.GetDirection(), atol=1e-6)
    assert np.array_equal(sitk.GetArrayFromImage(series) % 3, sitk.GetArrayFromImage(labels))


@pytest.mark.parametrize(
    "axes", [(1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, -1, 0), (0.8, 0.6, 0, -0.6, 0.8, 0)]
)
def test_other_orientations_agree_with_itk(tmp_path: Path, axes: tuple[float, ...]) -> None:
    normal = np.cross(axes[:3], axes[3:])
    folder = write_series(
        tmp_path / "series", [2 * k * normal for k in range(COUNT)], ImageOrientationPatient=list(axes)
    )
    volume = read_volume(folder)
    series = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    corner = tuple(size - 1 for size in volume.shape)
    expected = np.array(series.TransformIndexToPhysicalPoint(corner)) * (-1, -1, 1)
    np.testing.assert_allclose((volume.affine @ [*corner, 1])[:3], expected, atol=1e-6)
    assert np.array_equal(volume.array.T, sitk.GetArrayFromImage(series))


def test_files_without_extension_are_read(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(""))
    assert_is_the_series(read_volume(folder))


def test_slices_named_one_by_one_are_their_series_once(tmp_path: Path) -> None:
    slices = sorted(write_series(tmp_path / "series").iterdir())
    other = write_slice(tmp_path / "series" / "zz.dcm", pixels(0), (0, 0, 0), SeriesInstanceUID="1.2.4")
    scan = tmp_path / "scan.nii.gz"
    assert without_repeats([scan, *slices, other, tmp_path / "." / "scan.nii.gz"]) == [scan, slices[0], other]


def test_series_below_a_dicomdir_is_read(tmp_path: Path) -> None:
    write_series(tmp_path / "disc" / "DICOM" / "0001")
    write_report(tmp_path / "disc" / "DICOMDIR")
    assert find_volumes(tmp_path / "disc") == [tmp_path / "disc"]
    assert_is_the_series(read_volume(tmp_path / "disc"))
    assert_is_the_series(read_volume(tmp_path / "disc" / "DICOMDIR"))


def test_series_with_blanked_uids_is_read(tmp_path: Path) -> None:
    assert_is_the_series(read_volume(write_series(tmp_path / "series", SeriesInstanceUID="", SOPInstanceUID="")))


def test_slope_and_intercept_of_each_slice_are_its_own(tmp_path: Path) -> None:
    for k in range(COUNT):
        tags = {"RescaleSlope": 1 + k % 2, "RescaleIntercept": -2000 - 1000 * (k % 3)}
        write_slice(tmp_path / "series" / f"{k}.dcm", pixels(k) * 2, (-10, 20, 100 + 2 * k), **tags)
    assert np.array_equal(read_volume(tmp_path / "series").array, expected_voxels() * 2)


def test_fractional_slope_gives_float32(tmp_path: Path) -> None:
    volume = read_volume(write_series(tmp_path / "series", RescaleSlope=0.5))
    assert volume.array.dtype == np.float32
    assert np.array_equal(volume.array, expected_voxels())


@pytest.mark.parametrize("tags", [{"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, {"SeriesInstanceUID": "9.9"}])
def test_localiser_is_left_out_and_named(tmp_path: Path, tags: dict[str, object]) -> None:
    """A scout is known by its image type, also in the scan's own series, or by being short."""
    folder = write_series(tmp_path / "series")
    coronal = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "SeriesDescription": "Topogram"}
    write_slice(folder / "scout.dcm", pixels(0, (7, 9)), (0, 0, 0), **(coronal | tags))
    volume = read_volume(folder)
    assert_is_the_series(volume)
    assert len(volume.notes) == 1
    assert "left out 'Topogram'" in volume.notes[0]
    assert ("left out" in str(read_volume(folder / "slice99.dcm").notes)) == ("ImageType" in tags)


def test_two_volumes_are_refused_and_either_can_be_given(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    for k in range(COUNT):
        write_slice(
            folder / f"b{k}.dcm", pixels(k) + 5, (0, 0, 3 * k), SeriesInstanceUID="7.7", SeriesDescription="Lung 3.0"
        )
    with pytest.raises(
        DataError, match=r"2 series could be the scan .*Lung 3.0.*Body 2.0.*give one file of the series"
    ):
        read_volume(folder)
    assert_is_the_series(read_volume(folder / "slice99.dcm"))
    assert read_volume(folder / "b0.dcm").spacing == pytest.approx((0.7, 0.5, 3.0))


def test_reports_and_screenshots_are_ignored_and_named(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    write_report(folder / "report.dcm")
    colours = np.zeros((8, 8, 3), np.uint8)
    write_slice(folder / "screen.dcm", colours, (0, 0, 0), SeriesInstanceUID="5.5", SeriesDescription="Dose report")
    (folder / "readme.txt").write_text("hello")
    volume = read_volume(folder)
    assert_is_the_series(volume)
    assert "Dose report" in volume.notes[0]
    assert "no image, such as report.dcm" in volume.notes[1]


def test_missing_slice_is_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    (folder / "slice97.dcm").unlink()
    expected = r"1 slice is missing from 6, first between slice98.dcm and slice96.dcm \(4 mm apart instead of 2\)"
    with pytest.raises(GeometryError, match=expected):
        read_volume(folder)


def test_several_missing_slices_are_counted(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", [(0, 0, 2 * k) for k in (0, 1, 2, 5, 6, 8)])
    with pytest.raises(GeometryError, match=r"3 slices are missing from 9, first between slice97.dcm and slice96.dcm"):
        read_volume(folder)


@pytest.mark.parametrize(
    "heights", [(0, 2, 4, 6, 8, 9), (0, 2, 4, 6.8, 8.8, 10.8), (0, 1, 2, 3, 4.7, 6.4)], ids=["short", "jump", "two"]
)
def test_uneven_spacing_is_refused(tmp_path: Path, heights: tuple[float, ...]) -> None:
    folder = write_series(tmp_path / "series", [(0, 0, height) for height in heights])
    with pytest.raises(GeometryError, match=r"unevenly spaced|missing"):
        read_volume(folder)


def test_positions_rounded_to_a_tenth_are_even(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", [(-10, 20, round(0.625 * k, 1)) for k in range(COUNT)])
    assert read_volume(folder).spacing[2] == pytest.approx(0.62)


def test_exact_copies_are_dropped_and_counted(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    for name in ("slice99", "slice97"):
        (folder / f"copy of {name}.dcm").write_bytes((folder / f"{name}.dcm").read_bytes())
    volume = read_volume(folder)
    assert_is_the_series(volume)
    assert "dropped 2 exact copies" in volume.notes[0]


def test_different_images_in_one_place_are_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    write_slice(folder / "other.dcm", pixels(3), (-10, 20, 104))
    with pytest.raises(GeometryError, match=r"different images lie in the same place, such as .*several phases"):
        read_volume(folder)


def test_tilted_gantry_gives_a_sheared_affine_and_is_told(tmp_path: Path) -> None:
    drift = np.tan(np.radians(15)) * 2
    folder = write_series(tmp_path / "series", [(-10, 20 + drift * k, 100 + 2 * k) for k in range(COUNT)])
    volume = read_volume(folder)
    np.testing.assert_allclose(volume.affine, expected_affine((0, drift, 2)), atol=1e-6)
    assert volume.voxel_volume == pytest.approx(0.7 * 0.5 * 2)
    assert "tilted by 15.0 degrees" in volume.notes[0]
    write_label_map(tmp_path / "seg.nii.gz", volume.array % 3, volume, {1: "liver"})
    np.testing.assert_allclose(load_nifti(tmp_path / "seg.nii.gz").affine, volume.affine, atol=1e-5)
    assert load_nifti(tmp_path / "seg.nii.gz").header["qform_code"] == 0


@pytest.mark.parametrize(
    ("tags", "shape", "word"),
    [
        ({}, (9, 40), "shape"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, (ROWS, COLUMNS), "orientation"),
        ({"PixelSpacing": [0.9, 0.9]}, (ROWS, COLUMNS), "pixel size"),
    ],
)
def test_slices_that_differ_are_refused(
    tmp_path: Path, tags: dict[str, object], shape: tuple[int, int], word: str
) -> None:
    folder = write_series(tmp_path / "series")
    write_slice(folder / "odd.dcm", pixels(1, shape), (-10, 20, 120), **tags)
    with pytest.raises(GeometryError, match=f"the slices differ in {word}"):
        read_volume(folder)


def test_single_slice_takes_its_thickness(tmp_path: Path) -> None:
    write_slice(tmp_path / "one" / "a.dcm", pixels(0), (-10, 20, 100))
    volume = read_volume(tmp_path / "one" / "a.dcm")
    assert volume.shape == (COLUMNS, ROWS, 1)
    assert volume.spacing == pytest.approx((0.7, 0.5, 2.0))
    assert "single slice" in volume.notes[0]


def test_single_slice_without_thickness_is_refused(tmp_path: Path) -> None:
    write_slice(tmp_path / "one" / "a.dcm", pixels(0), (-10, 20, 100), SliceThickness=None)
    with pytest.raises(GeometryError, match="single slice without a thickness"):
        read_volume(tmp_path / "one")


@pytest.mark.parametrize("compressor", ["", "JPEG2000", "JPEG", "RLE"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.97])
def test_slice_that_is_cut_off_is_refused(tmp_path: Path, kept: float, compressor: str) -> None:
    folder = write_series(tmp_path / "series", compressor=compressor)
    content = (folder / "slice96.dcm").read_bytes()
    (folder / "slice96.dcm").write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=r"slice96.dcm: .*again"):
        read_volume(folder)


def test_multi_frame_file_is_refused(tmp_path: Path) -> None:
    frames = np.stack([pixels(k) for k in range(COUNT)])
    tags = {"NumberOfFrames": COUNT, "Rows": ROWS, "Columns": COLUMNS, "PixelData": (frames + 1024).tobytes()}
    path = write_slice(tmp_path / "multi" / "a.dcm", pixels(0), (0, 0, 0), **tags)
    with pytest.raises(DataError, match=r"a.dcm: multi-frame DICOM is not read; convert it"):
        read_volume(tmp_path / "multi")
    with pytest.raises(DataError, match="multi-frame DICOM"):
        read_volume(path)


@pytest.mark.parametrize("content", ["nothing", "report"])
def test_folder_without_a_volume_is_refused(tmp_path: Path, content: str) -> None:
    if content == "report":
        write_report(tmp_path / "report.dcm")
    with pytest.raises(DataError, match=r"no DICOM series that is a volume \(no image at all\)"):
        read_volume(tmp_path)


def test_real_series_agrees_with_itk_and_its_label_map(real_ct: Path, tmp_path: Path) -> None:
    folder = real_ct / "dicom_series"
    volume = read_volume(folder)
    series = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    assert np.array_equal(volume.array.T, sitk.GetArrayFromImage(series))
    out = output_path(folder, tmp_path)
    write_label_map(out, (volume.array > 0).astype(np.uint8), volume, {1: "bright"})
    written = sitk.ReadImage(str(out))
    for name in ("GetOrigin", "GetSpacing", "GetDirection", "GetSize"):
        assert getattr(written, name)() == getattr(series, name)()
    reference = nib.as_closest_canonical(load_nifti(real_ct / "dicom_label.nii.gz"))
    np.testing.assert_allclose(nib.as_closest_canonical(load_nifti(out)).affine, reference.affine, atol=1e-4)
