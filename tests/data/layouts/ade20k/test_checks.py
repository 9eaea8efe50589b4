"""What `medssm data check` finds in photographs with label maps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medssm.data.layouts.check import check_dataset
from medssm.data.layouts.findings import DataReport


def found(report: DataReport, *, notes: bool = False) -> set[tuple[str, str]]:
    """(file, kind) of each fault, or of each note."""
    return {(finding.file.name, finding.kind) for finding in (report.notes if notes else report.faults)}


def test_a_good_folder_has_no_faults(folder: Path) -> None:
    steps: list[tuple[int, int]] = []
    report = check_dataset(folder, progress=lambda done, total: steps.append((done, total)))
    assert report.counts == {"training": 2, "validation": 1}
    assert not report.faults
    assert [(note.kind, note.message) for note in report.notes] == [
        ("missing-class", "1 class (floor) of 3 in no label map; see whether some were lost")
    ]
    assert steps[-1] == (3, 3)


def test_all_faults_are_found_at_once(folder: Path, write_scene: Callable[..., None]) -> None:
    annotations = folder / "annotations" / "training"
    for stem in ("cut", "colours", "size", "palette", "shallow"):
        write_scene("training", stem, [[1, 2], [3, 3]])
    write_scene("training", "range", [[1, 2], [4, 9]])
    write_scene("training", "empty", [[0, 255], [0, 0]])
    photograph = folder / "images" / "training" / "cut.jpg"
    photograph.write_bytes(photograph.read_bytes()[:200])
    (annotations / "shallow.png").write_bytes(b"<html>no file</html>")
    Image.new("RGB", (2, 2)).save(annotations / "colours.png")
    Image.new("L", (3, 2), 1).save(annotations / "size.png")
    coloured = Image.fromarray(np.array([[1, 2], [3, 200]], np.uint8), mode="P")
    coloured.putpalette([0] * 768)
    coloured.save(annotations / "palette.png")
    (annotations / "b.png").unlink()
    (folder / "images" / "validation" / "c.jpg").unlink()
    report = check_dataset(folder)
    assert found(report) == {
        ("training", "missing-partner"),
        ("validation", "missing-partner"),
        ("validation", "no-scene"),
        ("cut.jpg", "unreadable"),
        ("shallow.png", "unreadable"),
        ("colours.png", "colours"),
        ("size.png", "size"),
        ("range.png", "label-range"),
        ("palette.png", "label-range"),
    }
    assert ("empty.png", "empty") in found(report, notes=True)
    messages = {finding.kind: finding.message for finding in report.faults if finding.file.name != "palette.png"}
    assert messages["label-range"].startswith("holds 4, 9, but labels are 1 to 3 and 0 is other")
    assert messages["size"].startswith("label map and photograph are of 2 x 3 and 2 x 2 pixels")


def test_a_folder_without_names_is_still_checked(folder: Path) -> None:
    (folder / "names.txt").unlink()
    Image.new("RGB", (3, 2)).save(folder / "annotations" / "training" / "a.png")
    assert found(check_dataset(folder)) == {(folder.name, "names"), ("a.png", "colours")}


@pytest.mark.parametrize(("orientation", "faults"), [(1, set()), (6, {("a.png", "size")})])
def test_a_photograph_is_compared_as_it_is_shown(folder: Path, orientation: int, faults: set[tuple[str, str]]) -> None:
    path = folder / "images" / "training" / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).save(path, exif=exif)
    assert found(check_dataset(folder)) == faults
