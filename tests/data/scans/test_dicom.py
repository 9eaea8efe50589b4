"""A DICOM series is read as it is, or refused in a sentence: never silently wrong."""

import shutil
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.finding import find_volumes, without_repeats
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.volume import Volume, output_path, read_volume, write_label_map
from medssm.errors import DataError, GeometryError
from medssm.tasks.segmentation.samples import check_windows

COUNT, ROWS, COLUMNS = 6, 36, 33  # GDCM encodes no JPEG 2000 picture of fewer than 32 pixels
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PIXEL_SPACING = (0.5, 0.7)  # between rows (y), between columns (x)
STORAGE = "1.2.840.10008.5.1.4.1.1."
IMAGE_STORAGE, ENHANCED_CT, ENHANCED_MR = STORAGE + "2", STORAGE + "2.1", STORAGE + "4.1"


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
    slope, intercept = (
        float(tags.get(keyword) or usual)  # type: ignore[arg-type]
        for keyword, usual in (("RescaleSlope", 1), ("RescaleIntercept", -1024))
    )
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


def write_report(path: Path, storage: str = STORAGE + "88.11", modality: str = "SR") -> None:
    """A DICOM file without pixels."""
    write_file(path, {"SOPClassUID": storage, "SOPInstanceUID": generate_uid(), "Modality": modality})


def items(**tags: object) -> list[Dataset]:
    """The value of a sequence with one item."""
    item = Dataset()
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return [item]


def write_enhanced(path: Path, order: Iterable[int] = range(COUNT), **tags: object) -> Path:
    """The series as one multi-frame file with functional groups, its frames in some order.

    The intercept of a frame is its own, as PET and some CT have it; orientation and spacing are shared.
    """
    frames, groups = [], []
    for k in order:
        position = items(ImagePositionPatient=[-10, 20, 100 + 2 * k])
        values = items(RescaleSlope=1, RescaleIntercept=-1000 - k, RescaleType="HU")
        groups += items(PlanePositionSequence=position, PixelValueTransformationSequence=values)
        frames.append((pixels(k) + 1000 + k).astype(np.uint16))
    shared = items(
        PixelMeasuresSequence=items(PixelSpacing=list(PIXEL_SPACING), SliceThickness=2),
        PlaneOrientationSequence=items(ImageOrientationPatient=list(AXIAL)),
    )
    content = {
        "SOPClassUID": ENHANCED_CT,
        "ImagePositionPatient": None,
        "ImageOrientationPatient": None,
        "PixelSpacing": None,
        "SliceThickness": None,
        "RescaleSlope": None,
        "RescaleIntercept": None,
        "NumberOfFrames": len(frames),
        "PixelData": np.stack(frames).tobytes(),
        "SharedFunctionalGroupsSequence": shared,
        "PerFrameFunctionalGroupsSequence": groups,
    }
    return write_slice(path, pixels(0), (0, 0, 0), **content | tags)


def edited(path: Path, change: Callable[[Dataset], object]) -> None:
    """Writes a file again with its dataset changed."""
    dataset = dcmread(path)
    change(dataset)
    dataset.save_as(path)


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
    expected = (
        r"1 slice is missing from 6, first between slice98.dcm and slice96.dcm \(4 mm apart instead of 2\); "
        r"copy or export the series again \(--fill-gaps of predict and view resamples it\)"
    )
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


SAGITTAL = [0, 1, 0, 0, 0, -1]


@pytest.mark.parametrize(
    ("tags", "shape"),
    [({}, (9, 40)), ({"ImageOrientationPatient": SAGITTAL}, (ROWS, COLUMNS)), ({"PixelSpacing": [0.9, 0.9]}, None)],
    ids=["another shape", "another orientation", "another size of pixels"],
)
@pytest.mark.parametrize("count", [1, 3])
def test_pictures_that_do_not_fit_are_left_out_and_named(
    tmp_path: Path, tags: dict[str, object], shape: tuple[int, int] | None, count: int
) -> None:
    """A scout or a report in the scan's own series, which no tag tells apart."""
    folder = write_series(tmp_path / "series")
    for k in range(count):
        write_slice(folder / f"odd{k}.dcm", pixels(1, shape or (ROWS, COLUMNS)), (-10, 20, 120 + k), **tags)
    volume = read_volume(folder)
    assert_is_the_series(volume)
    [note] = volume.notes
    assert f"6 images of 33x36, such as slice94.dcm; left out 'Body 2.0', number 4, {count} images" in note
    assert "such as odd0.dcm" in note


def test_reformations_within_a_series_are_left_out_and_can_be_given(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", [(-10, 20, 100 + 2 * k) for k in range(2 * COUNT)])
    for k in range(5):
        tags = {"ImageOrientationPatient": SAGITTAL}
        write_slice(folder / f"odd{k}.dcm", pixels(k), (-10 + 3 * k, 20, 120), **tags)
    volume = read_volume(folder)
    assert volume.shape == (COLUMNS, ROWS, 2 * COUNT)
    assert "left out 'Body 2.0', number 4, 5 images" in volume.notes[0]
    assert read_volume(folder / "odd1.dcm").shape == (COLUMNS, ROWS, 5)


@pytest.mark.parametrize(
    ("count", "tags"),
    [(4, {"ImageOrientationPatient": SAGITTAL}), (4, {"PixelSpacing": [0.9, 0.9]})],
    ids=["as long", "in the same planes"],
)
def test_two_stacks_within_a_series_are_refused(tmp_path: Path, count: int, tags: dict[str, object]) -> None:
    folder = write_series(tmp_path / "series")
    for k in range(count):
        write_slice(folder / f"odd{k}.dcm", pixels(k), (-10, 20 + k, 120 + 2 * k), **tags)
    with pytest.raises(DataError, match=r"2 series could be the scan .*odd0.dcm.*slice94.dcm"):
        read_volume(folder)


def test_rounding_of_cosines_and_spacings_keeps_a_series_together(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    for k, path in enumerate(sorted(folder.iterdir())):
        noise = 4e-6 * (k % 2)

        def change(dataset: Dataset, noise: float = noise) -> None:
            dataset.ImageOrientationPatient = [1, noise, 0, -noise, 1, noise]
            dataset.PixelSpacing = [PIXEL_SPACING[0] + noise, PIXEL_SPACING[1]]

        edited(path, change)
    volume = read_volume(folder)
    assert np.array_equal(volume.array, expected_voxels())
    np.testing.assert_allclose(volume.affine, expected_affine(), atol=1e-5)


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


def test_multi_frame_file_without_places_is_refused(tmp_path: Path) -> None:
    frames = np.stack([pixels(k) for k in range(COUNT)])
    tags = {"NumberOfFrames": COUNT, "Rows": ROWS, "Columns": COLUMNS, "PixelData": (frames + 1024).tobytes()}
    path = write_slice(tmp_path / "multi" / "a.dcm", pixels(0), (0, 0, 0), **tags)
    for given in (path, path.parent):
        with pytest.raises(DataError, match=r"a.dcm: multi-frame DICOM is not read where its 6 frames .*; convert it"):
            read_volume(given)


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


@pytest.mark.parametrize("compressor", ["", "RLE", "JPEG2000"])
def test_monochrome1_shows_the_lowest_value_white_and_changes_none(tmp_path: Path, compressor: str) -> None:
    """PS3.3, C.7.6.3.1.2: it concerns how a value is drawn; Hounsfield units are what the rescaling gives."""
    folder = write_series(tmp_path / "series", compressor=compressor)
    for path in folder.iterdir():
        edited(path, lambda dataset: setattr(dataset, "PhotometricInterpretation", "MONOCHROME1"))
    assert_is_the_series(read_volume(folder))


@pytest.mark.parametrize(
    ("storage", "modality"),
    [
        ("481.2", "RTDOSE"),
        ("481.3", "RTSTRUCT"),
        ("481.5", "RTPLAN"),
        ("4.2", "MR"),  # spectroscopy
        ("88.59", "KO"),
        ("104.1", "DOC"),
        ("66", "OT"),
    ],
)
def test_what_is_exported_beside_a_scan_is_ignored_and_named(tmp_path: Path, storage: str, modality: str) -> None:
    folder = write_series(tmp_path / "series")
    write_report(folder / "beside.dcm", STORAGE + storage, modality)
    volume = read_volume(folder)
    assert_is_the_series(volume)
    assert f"ignored 1 DICOM file that holds no image, such as beside.dcm ({modality})" in volume.notes[0]
    with pytest.raises(DataError, match=r"beside.dcm: this file is no slice of a volume"):
        read_volume(folder / "beside.dcm")


@pytest.mark.parametrize(("storage", "modality"), [("481.2", "RTDOSE"), ("66.4", "SEG"), ("20", "NM")])
def test_pictures_computed_from_a_scan_are_no_scan(tmp_path: Path, storage: str, modality: str) -> None:
    """Dose, segmentation and nuclear medicine come as multi-frame images."""
    folder = write_series(tmp_path / "series")
    tags = {"SOPClassUID": STORAGE + storage, "Modality": modality, "SeriesInstanceUID": "7.7"}
    frames = np.stack([pixels(k) for k in range(COUNT)])
    write_slice(
        folder / "beside.dcm", pixels(0), (-10, 20, 90), NumberOfFrames=COUNT, PixelData=frames.tobytes(), **tags
    )
    volume = read_volume(folder)
    assert_is_the_series(volume)
    assert "beside.dcm" in volume.notes[0]


def test_files_beside_slices_that_are_named_one_by_one_are_no_scans(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    write_report(folder / "RS.dcm", STORAGE + "481.3", "RTSTRUCT")
    files = sorted(folder.iterdir())
    assert without_repeats(files) == [folder / "slice94.dcm"]
    assert without_repeats([folder / "RS.dcm"]) == [folder / "RS.dcm"]


@pytest.mark.parametrize("kept", [0.3, 0.8])
def test_damaged_file_of_another_series_is_left_out_and_named(tmp_path: Path, kept: float) -> None:
    folder = write_series(tmp_path / "series")
    other = write_slice(folder / "other.dcm", pixels(1), (0, 0, 0), SeriesInstanceUID="7.7")
    other.write_bytes(other.read_bytes()[: int(kept * other.stat().st_size)])
    volume = read_volume(folder)
    assert_is_the_series(volume)
    assert "left out 1 damaged file of other series, such as other.dcm" in volume.notes[0]
    with pytest.raises(DataError, match=r"other.dcm: this slice is cut off or damaged"):
        read_volume(other)


def test_damaged_file_that_does_not_tell_its_series_is_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    content = (folder / "slice99.dcm").read_bytes()
    (folder / "cut.dcm").write_bytes(content[: content.index(b"1.2.3\0") + 2])
    with pytest.raises(DataError, match=r"cut.dcm: .*cut off or damaged"):
        read_volume(folder)


@pytest.mark.parametrize("order", [range(COUNT), (3, 0, 5, 1, 4, 2)], ids=["in order", "mixed"])
@pytest.mark.parametrize("storage", [ENHANCED_CT, ENHANCED_MR])
def test_enhanced_multi_frame_file_is_read(tmp_path: Path, storage: str, order: Iterable[int]) -> None:
    path = write_enhanced(tmp_path / "multi" / "a.dcm", order, SOPClassUID=storage)
    assert_is_the_series(read_volume(path.parent))
    assert_is_the_series(read_volume(path))


def test_compressed_enhanced_file_is_read_frame_by_frame(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "multi" / "a.dcm")
    compress(path, "RLE")
    assert dcmread(path).file_meta.TransferSyntaxUID == RLELossless
    assert_is_the_series(read_volume(path))


def test_enhanced_files_of_a_slice_each_are_read(tmp_path: Path) -> None:
    for k in range(COUNT):
        write_enhanced(tmp_path / "multi" / f"{k}.dcm", [k])
    assert_is_the_series(read_volume(tmp_path / "multi"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.PerFrameFunctionalGroupsSequence.pop(), r"describes 5 of its 6 frames"),
        (lambda d: d.PerFrameFunctionalGroupsSequence.pop(2), r"describes 5 of its 6 frames"),
        (lambda d: setattr(d, "NumberOfFrames", 7), r"cut off or damaged|describes 6 of its 7 frames"),
        (
            lambda d: d.PerFrameFunctionalGroupsSequence.__setitem__(3, d.PerFrameFunctionalGroupsSequence[2]),
            r"different images lie in the same place, such as frame 3 of a.dcm and frame 4 of a.dcm",
        ),
        (
            lambda d: d.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence.pop(),
            r"1 slice is missing from 6, first between frame 3 of a.dcm and frame 5 of a.dcm",
        ),
    ],
)
def test_enhanced_file_that_contradicts_itself_is_refused(
    tmp_path: Path, change: Callable[[Dataset], object], sentence: str
) -> None:
    path = write_enhanced(tmp_path / "a.dcm")
    edited(path, change)
    with pytest.raises(DataError, match=sentence):
        read_volume(path)


@pytest.mark.parametrize("names", [("A", "B"), ("A/1", "B/2")])
@pytest.mark.parametrize("first", [(0, 1, 2), (0, 2, 4)], ids=["halves", "interleaved"])
def test_series_in_two_folders_is_one_scan(tmp_path: Path, first: tuple[int, ...], names: tuple[str, str]) -> None:
    for k in range(COUNT):
        name = names[0] if k in first else names[1]
        write_slice(tmp_path / "disc" / name / f"{k}.dcm", pixels(k), (-10, 20, 100 + 2 * k), PatientID="p")
    for root in (tmp_path / "disc", tmp_path):
        assert find_volumes(root) == [tmp_path / "disc"]
    assert_is_the_series(read_volume(tmp_path / "disc"))
    assert output_path(tmp_path / "disc") == tmp_path / "disc_seg.nii.gz"


def test_half_of_a_series_tells_of_the_other(tmp_path: Path) -> None:
    for k in range(2 * COUNT):
        write_slice(tmp_path / str(k // COUNT) / f"{k}.dcm", pixels(k), (-10, 20, 100 + 2 * k))
    for given in (tmp_path / "0", tmp_path / "0" / "0.dcm"):
        volume = read_volume(given)
        assert_is_the_series(volume)
        assert f"more of the same series lies in {tmp_path / '1'}; put all of a scan into one folder" in volume.notes[0]


@pytest.mark.parametrize("tags", [{}, {"PatientID": "other"}, {"SeriesInstanceUID": "7.7"}])
def test_phases_patients_and_series_in_folders_of_their_own_stay_apart(tmp_path: Path, tags: dict[str, object]) -> None:
    """With the same series, the two are in the same place; else the second follows the first."""
    height = 0 if not tags else 2 * COUNT
    write_series(tmp_path / "a")
    write_series(tmp_path / "b", [(-10, 20, 100 + height + 2 * k) for k in range(COUNT)], **tags)
    assert find_volumes(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert_is_the_series(read_volume(tmp_path / "a"))


def test_split_series_beside_another_one_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for k in range(2 * COUNT):
        write_slice(tmp_path / f"half{k % 2}" / f"{k}.dcm", pixels(k), (-10, 20, 100 + 2 * k))
    write_series(tmp_path / "other", SeriesInstanceUID="7.7")
    assert find_volumes(tmp_path) == [tmp_path, tmp_path / "other"]
    with pytest.raises(DataError, match=r"2 series could be the scan .*put the files of each into a folder of its own"):
        read_volume(tmp_path)


def test_links_that_lead_up_are_entered_once(tmp_path: Path) -> None:
    write_series(tmp_path / "top" / "series")
    for name in ("up1", "up2", "up3"):
        (tmp_path / "top" / name).symlink_to(tmp_path / "top", target_is_directory=True)
    (tmp_path / "top" / "again").symlink_to(tmp_path / "top" / "series", target_is_directory=True)
    [found] = find_volumes(tmp_path / "top")
    assert found.resolve() == tmp_path / "top" / "series"


def zipped(folder: Path, **inside: bytes) -> Path:
    """A zip of a folder, below a folder of its name, with more files."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{folder.name}/{file.name}")
        for name, content in inside.items():
            archive.writestr(name, content)
    shutil.rmtree(folder)
    return path


@pytest.mark.parametrize("compressor", ["", "RLE"])
def test_zip_of_a_series_is_read(tmp_path: Path, compressor: str) -> None:
    folder = write_series(tmp_path / "in" / "series", compressor=compressor)
    write_report(folder / "RS.dcm", STORAGE + "481.3", "RTSTRUCT")
    path = zipped(folder, **{"readme.txt": b"hello", "__MACOSX/._slice99.dcm": b"\0\5\x16\7", "DICOMDIR": b"\2\0" * 99})
    volume = read_volume(path)
    assert_is_the_series(volume)
    assert volume.notes == ("ignored 1 DICOM file that holds no image, such as RS.dcm (RTSTRUCT)",)
    assert find_volumes(path.parent) == [path]
    assert output_path(path) == tmp_path / "in" / "series_seg.nii.gz"


def test_names_in_a_zip_lead_nowhere(tmp_path: Path) -> None:
    content = write_slice(tmp_path / "a.dcm", pixels(0), (0, 0, 0), SliceThickness=None).read_bytes()
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("../../up.dcm", "/root.dcm", "line\n\x1b[2J.dcm"):
            archive.writestr(name, content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(GeometryError, match=r"in.zip: a single slice without a thickness") as caught:
        read_volume(path)
    assert str(caught.value).isprintable()
    assert sorted(tmp_path.rglob("*")) == before


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.dcm", "w") as member:
        for _ in range(80):
            member.write(bytes(1 << 20))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (bomb, "unpacks to more than 50000 files or 71 MiB"),
        (lambda path: path.write_bytes(b"PK\3\4" + bytes(99)), "the zip is damaged"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "no image at all"),
    ],
)
def test_zip_that_is_none_of_a_scan_is_refused(tmp_path: Path, make: Callable[[Path], object], sentence: str) -> None:
    make(tmp_path / "in.zip")
    with pytest.raises(DataError, match=f"in.zip: .*{sentence}"):
        read_volume(tmp_path / "in.zip")
    with pytest.raises(DataError, match="no scan in this folder"):
        find_volumes(tmp_path)


def test_damaged_member_of_a_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(write_series(tmp_path / "series"))
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"series/slice9\d.dcm: .*again"):
        read_volume(path)


@pytest.mark.parametrize("name", ["CT.1.2.840.113619.2.55", "slice", "slice.dcm"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_files_without_preamble_and_meta_header_are_read(tmp_path: Path, name: str, syntax: UID) -> None:
    folder = write_series(tmp_path / "series")
    for k, path in enumerate(sorted(folder.iterdir())):
        dataset = dcmread(path)
        dataset.remove_private_tags()
        dataset.file_meta = FileMetaDataset()
        with open(folder / f"{k}{name}", "wb") as file:
            dcmwrite(file, Dataset(dataset), implicit_vr=syntax.is_implicit_VR, little_endian=True)
        path.unlink()
    assert_is_the_series(read_volume(folder))


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian])
def test_other_encodings_are_read(tmp_path: Path, syntax: UID) -> None:
    folder = write_series(tmp_path / "series")
    for path in folder.iterdir():
        dataset = dcmread(path)
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        plain = Dataset(dataset)
        plain.file_meta = dataset.file_meta
        dcmwrite(path, plain)
    assert_is_the_series(read_volume(folder))


def slanted(heights: Iterable[float], drift: float = 0.0) -> tuple[list[tuple[float, float, float]], np.ndarray]:
    """Positions of slices, and the values of each, which grow by 10 a mm; `drift` mm of y a mm as a tilted gantry."""
    values = np.stack([np.full((ROWS, COLUMNS), round(10 * height) - 500) for height in heights])
    return [(-10, 20 + drift * height, 100 + height) for height in heights], values


@pytest.mark.parametrize("drift", [0.0, 0.25], ids=["upright", "tilted"])
@pytest.mark.parametrize(
    ("heights", "planes"),
    [
        ((0, 2, 4, 8, 10), (0, 2, 4, 6, 8, 10)),
        ((0, 2, 4, 10, 12, 16), (0, 2, 4, 6, 8, 10, 12, 14, 16)),
        ((0, 2, 4, 6, 7, 8), range(9)),
        ((0, 2.1, 5.2, 7.5, 9.6), np.linspace(0, 9.6, 5)),
    ],
    ids=["one missing", "three missing", "half a step", "uneven"],
)
def test_gaps_are_filled_where_that_is_asked_for(
    tmp_path: Path, heights: tuple[float, ...], planes: Iterable[float], drift: float
) -> None:
    """By linear interpolation along the slices, which is exact for values that grow evenly."""
    positions, values = slanted(heights, drift)
    for k, (position, value) in enumerate(zip(positions, values, strict=True)):
        write_slice(tmp_path / "series" / f"{k}.dcm", value, position)
    with pytest.raises(GeometryError, match="--fill-gaps of predict and view resamples it"):
        read_volume(tmp_path / "series")
    volume = read_volume(tmp_path / "series", fill_gaps=True)
    _, expected = slanted(planes)
    step = (max(heights) - min(heights)) / (len(expected) - 1)
    assert np.abs(volume.array - expected.transpose(2, 1, 0)).max() <= 1  # rounding of both
    np.testing.assert_allclose(volume.affine, expected_affine((0, drift * step, step)), atol=1e-6)
    assert "were filled by linear interpolation onto" in volume.notes[0]


def test_slices_on_the_grid_are_kept_to_the_bit_when_gaps_are_filled(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    (folder / "slice97.dcm").unlink()
    filled = read_volume(folder, fill_gaps=True)
    kept = [0, 1, 3, 4, 5]
    assert np.array_equal(filled.array[..., kept], expected_voxels()[..., kept])
    np.testing.assert_allclose(filled.affine, expected_affine(), atol=1e-9)


def test_an_even_series_is_as_it_is_with_gaps_filled(tmp_path: Path) -> None:
    volume = read_volume(write_series(tmp_path / "series"), fill_gaps=True)
    assert_is_the_series(volume)
    assert volume.notes == ()


@pytest.mark.parametrize(
    ("positions", "sentence"),
    [
        ([(0, 0, 0), (0, 0, 2), (9, 0, 4), (0, 0, 8)], "do not lie one above the other"),
        ([(0, 0, 0), (0, 0, 2), (0, 0, 4), (0, 0, 900)], "an even grid of 2 mm would be 451 planes for 4 slices"),
    ],
)
def test_gaps_that_cannot_be_filled_are_refused(
    tmp_path: Path, positions: list[tuple[float, ...]], sentence: str
) -> None:
    with pytest.raises(GeometryError, match=sentence):
        read_volume(write_series(tmp_path / "series", positions), fill_gaps=True)


def test_bits_beside_the_stored_ones_are_no_value(tmp_path: Path) -> None:
    """An overlay in the high bits; and 12 signed bits, of which the last is the sign."""
    folder = write_series(tmp_path / "series")
    for path in folder.iterdir():

        def change(dataset: Dataset) -> None:
            stored = np.frombuffer(dataset.PixelData, np.uint16).copy()
            stored = (stored.astype(np.int32) - 1024 + 500) & 0xFFF | 0x8000
            dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 1
            dataset.RescaleIntercept, dataset.PixelData = -500, stored.astype(np.uint16).tobytes()

        edited(path, change)
    within = (expected_voxels() + 500 >= -2048) & (expected_voxels() + 500 < 2048)
    assert within.mean() > 0.1
    assert np.array_equal(read_volume(folder).array[within], expected_voxels()[within])


def test_bright_padding_of_a_ct_is_air_and_is_told(tmp_path: Path) -> None:
    """-2000 that was written as an unsigned number: a rim of metal, were it a value."""
    folder = write_series(tmp_path / "series")
    for path in folder.iterdir():

        def change(dataset: Dataset) -> None:
            stored = np.frombuffer(dataset.PixelData, np.uint16).copy()
            stored[:40] = 63536
            dataset.add_new("PixelPaddingValue", "US", 63536)
            dataset.PixelData = stored.tobytes()

        edited(path, change)
    volume = read_volume(folder)
    flat = volume.array.transpose(2, 1, 0).reshape(COUNT, -1)
    assert (flat[:, :40] == -1000).all()
    assert np.array_equal(flat[:, 40:], expected_voxels().transpose(2, 1, 0).reshape(COUNT, -1)[:, 40:])


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ({"RescaleSlope": 0}, "RescaleSlope is 0, which was taken as 1"),
        ({"RescaleSlope": None}, "RescaleSlope is missing, which was taken as 1"),
        ({"RescaleSlope": None, "RescaleIntercept": None}, "the stored values were taken as Hounsfield units"),
    ],
)
def test_rescaling_that_is_guessed_is_told(tmp_path: Path, tags: dict[str, object], sentence: str) -> None:
    folder = write_series(tmp_path / "series")
    for path in folder.iterdir():
        for keyword, value in tags.items():
            edited(path, lambda dataset, k=keyword, v=value: setattr(dataset, k, v))
    [note] = read_volume(folder).notes
    assert sentence in note


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_modality_is_that_of_the_header(tmp_path: Path, modality: str) -> None:
    assert read_volume(write_series(tmp_path / "series", Modality=modality)).modality == modality


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_modality_of_a_series_is_told_before_a_training_clips_it(tmp_path: Path, modality: str) -> None:
    case = ScanCase("1", write_series(tmp_path / "series", Modality=modality))
    dataset = ScanDataset("small", tmp_path, tmp_path, (case,), (), (), {1: "spleen"})
    told = "the header says that its modality is MR, not CT; the window of -175 to 250 is one of Hounsfield units"
    assert (told in " ".join(check_windows(dataset, Preprocessing()))) == (modality == "MR")


@pytest.mark.parametrize("text", [b"1A", b"\xff\xfe", b"0 ", b"-3", b"1.5 ", b"1\\2 ", b"1e99", b"nan "])
def test_number_of_frames_that_is_none_is_refused(tmp_path: Path, text: bytes) -> None:
    folder = write_series(tmp_path / "series", NumberOfFrames=99999999999999)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"99999999999999", text.ljust(14)))
    with pytest.raises(DataError, match=r"slice94.dcm: NumberOfFrames is .*, which cannot be; export the series"):
        read_volume(folder)


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"])
@pytest.mark.parametrize("text", [b"1A", b"nan", b"inf", b"\xff\xfe\x1b[2J"])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, keyword: str, text: bytes) -> None:
    folder = write_series(tmp_path / "series")
    path = folder / "slice96.dcm"
    edited(path, lambda dataset: setattr(dataset, keyword, ["0.123456789"] * dataset[keyword].VM))
    path.write_bytes(path.read_bytes().replace(b"0.123456789", text.ljust(11), 1))
    with pytest.raises(DataError, match=rf"slice96.dcm: {keyword} is .*, which cannot be") as caught:
        read_volume(folder)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Rows", 65535),
        ("Columns", 60000),
        ("Rows", 0),
        ("BitsAllocated", 12),
        ("BitsStored", 17),
        ("BitsAllocated", 64),
    ],
)
@pytest.mark.parametrize("compressor", ["", "RLE", "JPEG"])
def test_header_that_promises_what_cannot_be_is_refused(
    tmp_path: Path, keyword: str, value: int, compressor: str
) -> None:
    folder = write_series(tmp_path / "series", compressor=compressor)
    for path in folder.iterdir():
        edited(path, lambda dataset: setattr(dataset, keyword, value))
    with pytest.raises(DataError, match=r"slice9\d.dcm: .* again|more than a label map can hold"):
        read_volume(folder)


def test_deflated_bomb_is_refused(tmp_path: Path) -> None:
    path = write_slice(tmp_path / "a.dcm", pixels(0), (0, 0, 0))
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.PixelData = bytes(16 << 20)
    dataset.save_as(path)
    with pytest.raises(DataError, match=r"a.dcm: unpacks to more than \d+ MiB, as no slice does"):
        read_volume(path)


def test_series_without_places_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", ImageOrientationPatient=None)
    with pytest.raises(DataError, match="has no ImageOrientationPatient, so it lies nowhere"):
        read_volume(folder)


def test_descriptions_are_read_in_their_own_letters(tmp_path: Path) -> None:
    tags = {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "SeriesDescription": "腹部CT"}
    folder = write_series(tmp_path / "series", **tags)
    write_slice(folder / "scout.dcm", pixels(0), (0, 0, 0), SeriesInstanceUID="9.9", SeriesDescription="\x1b[2J\nx")
    [note] = read_volume(folder).notes
    assert "read '腹部CT', number 4" in note
    assert note.isprintable()


def test_contours_above_the_folders_of_series_hide_none(tmp_path: Path) -> None:
    """A planning system's export: RS.dcm and RP.dcm, and a folder for each image series."""
    write_report(tmp_path / "patient" / "RS.dcm", STORAGE + "481.3", "RTSTRUCT")
    write_series(tmp_path / "patient" / "CT")
    assert find_volumes(tmp_path / "patient") == [tmp_path / "patient" / "CT"]
    assert_is_the_series(read_volume(tmp_path / "patient"))
    write_series(tmp_path / "patient" / "CT2", SeriesInstanceUID="7.7")
    assert find_volumes(tmp_path) == [tmp_path / "patient" / "CT", tmp_path / "patient" / "CT2"]


def test_series_below_that_of_a_folder_is_told(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    write_series(folder / "thin", SeriesInstanceUID="7.7")
    volume = read_volume(folder)
    assert_is_the_series(volume)
    assert volume.notes == (f"the DICOM files in {folder / 'thin'} were not read",)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"<html>" + b" " * 500])
def test_file_that_should_be_a_slice_by_its_name_is_refused(tmp_path: Path, content: bytes) -> None:
    """One that was copied in vain may be the last slice, which no gap tells of."""
    folder = write_series(tmp_path / "series")
    (folder / "slice93.dcm").write_bytes(content)
    with pytest.raises(DataError, match=r"slice93.dcm: .*cut off or damaged"):
        read_volume(folder)


def test_picture_with_a_palette_is_no_slice(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    write_slice(folder / "map.dcm", pixels(9), (-10, 20, 112), PhotometricInterpretation="PALETTE COLOR")
    volume = read_volume(folder)
    assert_is_the_series(volume)
    assert "left out 'Body 2.0', number 4, 1 images of 33x36, such as map.dcm" in volume.notes[0]
