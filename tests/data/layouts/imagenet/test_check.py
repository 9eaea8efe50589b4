"""`medssm data check` on folders of images: each test plants one fault in a sound dataset."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medssm.data.layouts.check import check_dataset
from medssm.data.layouts.findings import DataReport
from medssm.data.layouts.imagenet import imagenet_classes
from medssm.data.synthetic.shapes import write_shapes
from medssm.errors import DataError

CLASSES = ("cat", "cow", "dog")


def image(kind: str = "JPEG", mode: str = "RGB", size: int = 8) -> bytes:
    content = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(content, kind)
    return content.getvalue()


def put(folder: Path, names: Iterable[str], content: bytes | None = None) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image() if content is None else content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two training images and one validation image of each class."""
    put(tmp_path, (f"{part}/{name}/{number}.jpg" for name in CLASSES for part, number in PLACES))
    return tmp_path


PLACES = (("train", 1), ("train", 2), ("val", 1))


def found(folder: Path, is_note: bool = False) -> set[tuple[str, str]]:
    """(file relative to the folder, kind) of the faults or of the notes."""
    report = check_dataset(folder)
    return {
        (finding.file.relative_to(folder).as_posix(), finding.kind)
        for finding in (report.notes if is_note else report.faults)
    }


def message(report: DataReport, kind: str) -> str:
    (finding,) = (finding for finding in report.findings if finding.kind == kind)
    return finding.message


def test_a_sound_folder_has_no_findings(folder: Path) -> None:
    report = check_dataset(folder)
    assert report.findings == ()
    assert report.counts == {"training": 6, "validation": 3}


def test_the_synthetic_dataset_is_sound(tmp_path: Path) -> None:
    write_shapes(tmp_path / "shapes", training=2, validation=1)
    assert check_dataset(tmp_path / "shapes").findings == ()


def test_all_faults_are_told_at_once(folder: Path) -> None:
    whole = image(size=64)
    put(folder, ["train/cat/cut.jpg"], whole[: len(whole) // 2])
    put(folder, ["train/cow/empty.jpg"], b"")
    put(folder, ["val/dog/page.jpg"], b"<html>not found</html>")
    put(folder, ["train/stray.jpg", "val/wolf/1.jpg"])
    (folder / "train/owl").mkdir()
    assert found(folder) == {
        ("train/cat/cut.jpg", "unreadable"),
        ("train/cow/empty.jpg", "unreadable"),
        ("val/dog/page.jpg", "unreadable"),
        ("train", "stray"),
        ("val", "unknown-class"),
        ("train/owl", "empty-class"),
    }
    assert found(folder, is_note=True) == {("val", "missing-class")}


def test_other_formats_and_printing_colours_are_worth_a_note_only(folder: Path) -> None:
    put(folder, ["train/cat/drawing.JPEG", "train/cat/n02105855_2933.JPEG"], image("PNG"))
    put(folder, ["train/cow/print.jpg"], image(mode="CMYK"))
    assert found(folder) == set()
    assert found(folder, is_note=True) == {
        ("train/cat/drawing.JPEG", "format"),
        ("train/cat/n02105855_2933.JPEG", "format"),
        ("train/cow/print.jpg", "cmyk"),
    }
    messages = {finding.file.name: finding.message for finding in check_dataset(folder).notes}
    assert "as in all copies of ImageNet" in messages["n02105855_2933.JPEG"]
    assert "as in all copies" not in messages["drawing.JPEG"]


def test_a_class_that_was_lost_is_a_fault_and_many_left_out_are_a_note(tmp_path: Path) -> None:
    names = [f"class{number:02d}" for number in range(40)]
    put(tmp_path, (f"{part}/{name}/1.jpg" for name in names for part in ("train", "val")))
    (tmp_path / "val/class07/1.jpg").unlink()
    (tmp_path / "val/class07").rmdir()
    report = check_dataset(tmp_path)
    assert [fault.kind for fault in report.faults] == ["missing-class"]
    assert "lacks 1 class (class07) of the 40" in message(report, "missing-class")
    for name in names[10:20]:
        (tmp_path / f"val/{name}/1.jpg").unlink()
        (tmp_path / f"val/{name}").rmdir()
    assert ("val", "missing-class") in found(tmp_path, is_note=True)


def test_imagenet_that_lacks_a_class_is_told(tmp_path: Path) -> None:
    """With 999 folders every later label is one too small for the published models."""
    for wnid in imagenet_classes():
        (tmp_path / "train" / wnid).mkdir(parents=True)
    put(tmp_path, [f"train/{imagenet_classes()[0]}/a.JPEG"])
    (tmp_path / "train" / imagenet_classes()[500]).rmdir()
    missing = [fault for fault in check_dataset(tmp_path).faults if fault.kind == "missing-class"]
    assert [fault.message for fault in missing] == [
        f"lacks 1 class ({imagenet_classes()[500]}) of the 1000 of ImageNet-1k; add what was lost"
    ]


def test_images_of_another_class_and_repeated_ones_are_told(tmp_path: Path) -> None:
    tench, goldfish = imagenet_classes()[:2]
    put(tmp_path, (f"train/{wnid}/{wnid}_{number}.JPEG" for wnid in (tench, goldfish) for number in (1, 2)))
    put(tmp_path, [f"train/{goldfish}/{tench}_1.JPEG", f"train/{goldfish}/{goldfish}_2.png"])
    put(tmp_path, [f"train/{goldfish}/{goldfish}_2.png"], image("PNG"))
    assert found(tmp_path) == {(f"train/{goldfish}", "misplaced"), (".", "same-name")}
    assert (f"train/{goldfish}", "same-name") in found(tmp_path, is_note=True)


def flat(folder: Path, images: int, lines: Iterable[str]) -> None:
    """A flat validation folder in place of the one that is there."""
    for name in CLASSES:
        (folder / "val" / name / "1.jpg").unlink()
        (folder / "val" / name).rmdir()
    put(folder, (f"val/{number:03d}.jpg" for number in range(images)))
    (folder / "val.txt").write_text("".join(f"{line}\n" for line in lines))


def test_flat_images_without_a_label_and_labels_out_of_range_are_told(folder: Path) -> None:
    flat(folder, 5, ["000.jpg 0", "001.jpg 1", "002.jpg 2", "003.jpg 9"])
    assert found(folder) == {("val", "no-label"), ("val.txt", "label-range")}
    report = check_dataset(folder)
    assert message(report, "no-label").startswith("1 image (004.jpg) not named in val.txt")
    assert message(report, "label-range").startswith("gives 1 class (9): no training folder")
    assert report.counts["validation"] == 5


def test_a_listed_image_that_was_lost_is_told(folder: Path) -> None:
    flat(folder, 40, (f"{number:03d}.jpg {number % 3}" for number in range(41)))
    assert found(folder) == {("val", "missing-image")}
    assert "holds 40 of the 41 images" in message(check_dataset(folder), "missing-image")


def test_flat_images_of_which_nothing_is_known_are_one_fault(folder: Path) -> None:
    flat(folder, 4, [])
    assert found(folder) == {("val", "no-labels")}


def test_progress_counts_every_image(folder: Path) -> None:
    calls: list[tuple[int, int]] = []
    check_dataset(folder, progress=lambda done, total: calls.append((done, total)))
    assert calls[0] == (0, 9)
    assert calls[-1] == (9, 9)


def test_a_folder_of_neither_kind_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither scans .* nor images of classes \(train/CLASS"):
        check_dataset(tmp_path)
