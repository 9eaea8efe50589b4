"""Which files are DICOM, before any is parsed."""

from pathlib import Path

_SUFFIXES = (".dcm", ".ima", ".dicom")


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its magic, or, lacking the preamble, by its name and first tag."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return True
    return (path.suffix.lower() in _SUFFIXES or not path.suffix) and start[:2] in (b"\x02\x00", b"\x08\x00")


def holds_series(folder: Path) -> bool:
    """Whether a folder has DICOM files in it (not in its sub-folders), or a DICOMDIR that speaks for those."""
    return any(is_dicom(child) for child in folder.iterdir())


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files of a folder by name; of all its sub-folders if a DICOMDIR, or nothing, lies at its top."""
    inside = [child for child in sorted(folder.iterdir()) if child.name.upper() != "DICOMDIR" and is_dicom(child)]
    return inside or [path for path in sorted(folder.rglob("*")) if path.name.upper() != "DICOMDIR" and is_dicom(path)]
