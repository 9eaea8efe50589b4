"""Every row of the table of formats keeps its promises."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from medssm.data.scans.formats import FORMATS, format_of, format_written, known_endings, known_formats
from medssm.data.scans.volume import Volume, output_path, read_volume, write_label_map, write_probabilities
from medssm.errors import UsageError

WRITTEN = [ending for row in FORMATS for ending in row.written]
NAMES = {1: "spleen", 13: "left adrenal gland"}
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", (7, -12, 31), degrees=True).as_matrix() @ np.diag((0.8, 1.3, 2.5))
AFFINE[:3, 3] = (-31.7, 12.25, 404.125)


def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 14, (7, 6, 5)).astype(np.uint8)


@pytest.mark.parametrize("ending", WRITTEN)
@pytest.mark.parametrize("source", WRITTEN)
def test_every_row_reads_what_it_writes_on_the_grid_of_every_other(source: str, ending: str, tmp_path: Path) -> None:
    write_label_map(tmp_path / f"scan{source}", labels(), Volume(labels(), AFFINE), {})
    scan = read_volume(tmp_path / f"scan{source}")
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-4)
    path = tmp_path / f"labels{ending}"
    write_label_map(path, scan.array, scan, NAMES)
    found = read_volume(path)
    np.testing.assert_array_equal(found.array, labels())
    np.testing.assert_allclose(found.affine, scan.affine, atol=1e-4)
    if format_of(path) is format_of(scan.path):
        np.testing.assert_array_equal(found.affine, scan.affine)
    row = format_written(path)
    assert row is format_of(path)
    assert row is not None
    assert found.label_names == (NAMES if "label names" in row.carries else {})


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.title)
def test_a_row_writes_what_it_says_it_carries_and_nothing_else(row, tmp_path: Path) -> None:
    assert (row.codec().write is None) == (row.written == ())
    assert set(row.written) <= set(row.suffixes)
    scan, scores = Volume(labels(), AFFINE), np.random.default_rng(0).random((3, 7, 6, 5), np.float32)
    for ending in row.written:
        path = tmp_path / f"probabilities{ending}"
        if "probabilities" in row.carries:
            write_probabilities(path, scores, scan, {})
            assert path.stat().st_size > scores.nbytes / 4
        else:
            with pytest.raises(UsageError, match=known_endings("probabilities")):
                write_probabilities(path, scores, scan, {})


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.title)
def test_a_label_map_is_called_as_its_scans_format_is_usually(row, tmp_path: Path) -> None:
    usual = (row.written or FORMATS[0].written)[0]
    for suffix in row.suffixes:
        assert output_path(tmp_path / f"scan{suffix}") == tmp_path / f"scan_seg{usual}"


def test_formats_in_words() -> None:
    assert known_formats() == "NIfTI (.nii.gz), NRRD, MHA, MGZ, a DICOM folder or a zip of a DICOM folder"
    assert known_endings("label names") == ".nii.gz, .nii, .nrrd or .mha"
    assert known_endings("probabilities") == ".nii.gz or .nii"


def test_the_table_is_read_without_any_library_and_nifti_without_that_of_others(tmp_path: Path) -> None:
    write_label_map(tmp_path / "scan.nii.gz", labels(), Volume(labels(), AFFINE), {})
    code = f"""
import sys, medssm.data.scans.formats
print({{"numpy", "nibabel", "SimpleITK"}} & set(sys.modules))
from medssm.data.scans.finding import find_volumes
from medssm.data.scans.volume import read_volume
print([read_volume(path).shape for path in find_volumes({str(tmp_path)!r})], "SimpleITK" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["set()", "[(7, 6, 5)] False"]
