"""Headers of NRRD and MetaImage files that lie, point elsewhere or are damaged end in one sentence."""

import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medssm.data.scans.volume import Volume, read_volume, write_label_map
from medssm.errors import DataError, MedssmError

LABELS = np.arange(8 * 7 * 6).reshape(8, 7, 6) % 3


@pytest.fixture(params=[".mha", ".nrrd", ".mhd", ".nhdr"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of each kind, as SimpleITK or we ourselves write it."""
    path = tmp_path / f"scan{request.param}"
    if request.param in (".mha", ".nrrd"):
        write_label_map(path, LABELS.astype(np.uint8), Volume(LABELS, np.diag([1.5, 1.4, 2.5, 1])), {1: "spleen"})
    else:
        sitk.WriteImage(sitk.GetImageFromArray(LABELS.astype(np.int16)), str(path))
    return path


def changed(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert re.search(old, content), content[:500]
    path.write_bytes(re.sub(old, lambda _: new, content, count=1))
    return path


def test_whole_files_are_read(whole: Path) -> None:
    assert read_volume(whole).array.size == LABELS.size


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "/dev/zero", "../scan.raw", "%5$n", "LIST", "a%03d.raw 1 6 1", ".hidden", "none.raw", ""]
)
def test_voxels_are_looked_for_in_the_headers_folder_alone(name: str, tmp_path: Path) -> None:
    for suffix, field in ((".mhd", b"ElementDataFile = .*"), (".nhdr", b"data file: .*")):
        path = tmp_path / f"scan{suffix}"
        sitk.WriteImage(sitk.GetImageFromArray(LABELS.astype(np.int16)), str(path))
        with pytest.raises(DataError, match=r"its voxels are said to be in|line \d+ of its header|promises|cut off"):
            read_volume(changed(path, field, field.split(b".")[0] + name.encode()))


def test_voxels_that_a_link_leads_to_are_not_read(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(LABELS.astype(np.int16)), str(tmp_path / "scan.mhd"))
    (tmp_path / "scan.raw").rename(tmp_path / "elsewhere")
    (tmp_path / "scan.raw").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="where there is no plain file"):
        read_volume(tmp_path / "scan.mhd")


def test_a_detached_file_is_compared_with_the_headers_size(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(LABELS.astype(np.int16)), str(tmp_path / "scan.mhd"))
    (tmp_path / "scan.raw").write_bytes((tmp_path / "scan.raw").read_bytes()[:-1])
    with pytest.raises(DataError, match=r"promises 672 bytes of voxels, more than 'scan\.raw' can hold"):
        read_volume(tmp_path / "scan.mhd")


@pytest.mark.parametrize(
    ("suffix", "old", "new"),
    [
        (".mha", b"NDims = 3", b"NDims = 100"),
        (".mha", b"DimSize = .*", b"DimSize = 99999999 99999999 99999999"),
        (".mha", b"DimSize = .*", b"DimSize = 8 7 -6"),
        (".mha", b"TransformMatrix = -?1", b"TransformMatrix = 1e308"),
        (".mha", b"ElementType = .*", b"ElementType = MET_OTHER"),
        (".mha", b"CompressedData = .*", b"Compre\0ssedData"),
        (".nrrd", b"space: .*", b"space: " + b"left" * 500),
        (".nrrd", b"sizes: .*", b"sizes: 1 2 3 4"),
        (".nrrd", b"type: .*", b"type: block"),
        (".nrrd", b"encoding: .*", b"encoding: bzip2"),
        (".nrrd", b"space directions: \\([0-9.]*", b"space directions: (1e300"),
    ],
)
def test_what_crashed_the_library_or_never_ended_is_refused(
    suffix: str, old: bytes, new: bytes, tmp_path: Path
) -> None:
    path = tmp_path / f"scan{suffix}"
    write_label_map(path, LABELS.astype(np.uint8), Volume(LABELS, np.eye(4)), {1: "spleen"})
    with pytest.raises(DataError) as error:
        read_volume(changed(path, old, new))
    sentence = str(error.value).replace(str(tmp_path), "")
    assert len(sentence) < 300
    assert sentence.isprintable()


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_headers_are_read_or_refused_in_a_sentence(data: st.DataObject, whole: Path) -> None:
    content = bytearray(whole.read_bytes())
    end = len(content) if whole.suffix in (".mhd", ".nhdr") else max(content.find(b"LOCAL"), content.find(b"\n\n"))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, end - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=6))
    mutant = whole.with_name(f"mutant{whole.suffix}")
    mutant.write_bytes(content)
    sentence = ""
    try:
        assert isinstance(read_volume(mutant).label_names, dict)
    except MedssmError as error:
        sentence = str(error).replace(str(mutant.parent), "")
    assert "\n" not in sentence
    assert len(sentence) < 300


@pytest.fixture(params=[".nii", ".nii.gz"])
def nifti(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"scan{request.param}"
    write_label_map(path, LABELS.astype(np.uint8), Volume(LABELS, np.diag([1.5, 1.4, 2.5, 1])), {1: "spleen"})
    return path


def rewritten(path: Path, change: Callable[[bytearray], None]) -> Path:
    """A NIfTI file with other bytes."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        content = bytearray(file.read())
    change(content)
    with opened(path, "wb") as file:
        file.write(content)
    return path


@pytest.mark.parametrize(
    ("place", "layout", "values"),
    [
        (40, "<8h", (3, 32767, 32767, 32767, 32767, 32767, 32767, 32767)),
        (40, "<8h", (7, 32767, 32767, 32767, 32767, 32767, 32767, 32767)),
        (40, "<8h", (3, 8, -7, 6, 1, 1, 1, 1)),
        (40, "<8h", (9, 8, 7, 6, 1, 1, 1, 1)),
        (108, "<f", (1e9,)),
        (108, "<f", (float("inf"),)),
        (108, "<f", (float("nan"),)),
        (108, "<f", (-400.0,)),
        (70, "<h", (2304,)),
    ],
)
def test_a_nifti_header_that_claims_impossible_sizes_is_refused(
    place: int, layout: str, values: tuple[float, ...], nifti: Path
) -> None:
    path = rewritten(nifti, lambda content: struct.pack_into(layout, content, place, *values))
    with pytest.raises(MedssmError) as error:
        read_volume(path)
    sentence = str(error.value).replace(str(path), "")
    assert "\n" not in sentence
    assert len(sentence) < 300


def test_gigabytes_behind_the_voxels_of_a_small_file_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    write_label_map(path, LABELS.astype(np.uint8), Volume(LABELS, np.eye(4)), {})
    rewritten(path, lambda content: content.extend(bytes(80 << 20)))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="many more bytes follow its voxels"):
        read_volume(path)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_nifti_files_are_read_or_refused_in_a_sentence(data: st.DataObject, nifti: Path) -> None:
    mutant = nifti.with_name(f"mutant{''.join(nifti.suffixes)}")
    mutant.write_bytes(nifti.read_bytes())

    def change(content: bytearray) -> None:
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(content) - 1))
            content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=6))

    sentence = ""
    try:
        assert isinstance(read_volume(rewritten(mutant, change)).label_names, dict)
    except MedssmError as error:
        sentence = str(error).replace(str(mutant.parent), "")
    assert "\n" not in sentence
    assert len(sentence) < 300
