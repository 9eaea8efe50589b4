"""Which files make up a scan, for all that ask whether it has changed: the cache, the records, the digests."""

import os
from pathlib import Path

import pytest

from medssm.data.scans.cache import content_key
from medssm.data.scans.cases import ScanCase
from medssm.data.scans.files_of import files_of_scan
from medssm.data.scans.preprocessing import Preprocessing
from medssm.tasks.records import contents_of, holds
from medssm.tasks.segmentation.samples import scan_digest

DICOM = bytes(128) + b"DICM"
NRRD = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: %s\ndata file: %s\n"
META = b"NDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = %s\n"
VOXELS = bytes(16)

# Its path, the files that it is made of with what they hold, and what else lies beside them.
Scan = tuple[str, dict[str, bytes], dict[str, bytes]]
SCANS: dict[str, Scan] = {
    "one file": ("a.nii", {"a.nii": bytes(2 << 20)}, {"a_seg.nii.gz": b""}),
    "a pair by its header": ("a.hdr", {"a.hdr": b"", "a.img": VOXELS}, {"b.img": b"", "a.raw": b""}),
    "a pair by its voxels": ("a.img.gz", {"a.hdr.gz": b"", "a.img.gz": VOXELS}, {"a.nii": b""}),
    "nhdr": ("x.nhdr", {"x.nhdr": NRRD % (b"raw", b"x.raw"), "x.raw": VOXELS}, {"x.nrrd": b""}),
    "nhdr, packed": ("x.nhdr", {"x.nhdr": NRRD % (b"gzip", b"x.raw.gz"), "x.raw.gz": VOXELS}, {"x.raw": b""}),
    "mhd of another stem": ("y.mhd", {"y.mhd": META % b"other.raw", "other.raw": VOXELS}, {"y.raw": b""}),
    "mha": ("y.mha", {"y.mha": META % b"LOCAL" + VOXELS}, {"y.raw": b""}),
    "a damaged header": ("x.nhdr", {"x.nhdr": VOXELS}, {"x.raw": b""}),
    "a slice": ("s/1", {"s/1": DICOM, "s/2": DICOM + b"2"}, {"s/.DS_Store": b"", "s/1_seg.nii.gz": b""}),
    "a folder": ("s", {"s/1.dcm": DICOM, "s/2.dcm": DICOM + b"2"}, {"s/Thumbs.db": b"", "s/.medssm/1.json": b""}),
    "slices below a DICOMDIR": ("s", {"s/a/1": DICOM, "s/b/1": DICOM + b"2"}, {"s/DICOMDIR": DICOM}),
    "slices below a stray file": (
        "s",
        {"s/a/1": DICOM, "s/b/1": DICOM + b"2"},
        {"s/readme.txt": b"", "s/a/x": b""},
    ),
}
every_scan = pytest.mark.parametrize("case", SCANS.values(), ids=SCANS)


def write(folder: Path, files: dict[str, bytes]) -> list[Path]:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return [folder / name for name in files]


@every_scan
def test_a_scan_is_its_files_and_no_others(case: Scan, tmp_path: Path) -> None:
    name, own, others = case
    expected = write(tmp_path, own)
    write(tmp_path, others)
    assert files_of_scan(tmp_path / name) == expected


@every_scan
def test_all_notice_a_change_of_any_byte_and_of_nothing_else(case: Scan, tmp_path: Path) -> None:
    name, own, others = case
    files, scan = write(tmp_path, own), tmp_path / name
    key, digest, known = _key(scan), scan_digest(scan), contents_of(files_of_scan(scan))
    write(tmp_path, others)
    assert (_key(scan), scan_digest(scan), holds(files_of_scan(scan), known)) == (key, digest, True)
    content = files[-1].read_bytes()
    files[-1].write_bytes(content[:-1] + b"!")
    assert scan_digest(scan) != digest
    assert not holds(files_of_scan(scan), known)
    files[-1].write_bytes(content + b"longer, as two changes can fall into one tick of the clock")
    assert _key(scan) != key


def test_a_digest_is_the_same_wherever_the_scan_lies(tmp_path: Path) -> None:
    write(tmp_path, {"a/1.dcm": DICOM, "a/2.dcm": DICOM + b"2", "b/x": DICOM + b"2", "b/y": DICOM})
    assert scan_digest(tmp_path / "a") == scan_digest(tmp_path / "b")


@pytest.mark.parametrize("name", ["lost.nii", "lost.hdr", "lost.mhd", "lost"])
def test_what_is_not_there_is_the_path_alone(name: str, tmp_path: Path) -> None:
    assert files_of_scan(tmp_path / name) == [tmp_path / name]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_what_has_no_end_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii")
    assert files_of_scan(tmp_path / "pipe.nii") == files_of_scan(Path(os.devnull)) == []


def _key(scan: Path) -> str:
    return content_key(ScanCase("a", scan, None), Preprocessing())
