"""`medssm detect` as it is typed, with a small detector of random weights."""

import csv
import errno
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO

import medssm
from medssm.checkpoints import WeightsMetadata, create_model, save_weights
from medssm.models.info import DetectionInput
from medssm.tasks.tables import Tables

NAMES = ("cross", "disc", "ring")
SMALL = {"neck_channels": 16, "box_features": 32, "test_proposals.per_image": 60, "detections": 30}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In a run folder."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "best.safetensors"
    metadata = WeightsMetadata(
        model="spatialmamba-xs",
        head="mask-rcnn",
        head_settings=SMALL,
        num_classes=len(NAMES),
        in_channels=3,
        class_names=dict(enumerate(NAMES)),
        preprocessing=asdict(DetectionInput(short_side=64, long_side=96)),
        input_size=(),
    )
    network = create_model("spatialmamba-xs", head="mask-rcnn", num_classes=len(NAMES), head_settings=SMALL)
    save_weights(path, network, metadata)
    return path


@pytest.fixture
def detect(typed_here: Callable[..., int]) -> Callable[..., int]:
    return lambda *arguments: typed_here("detect", *arguments)


def content_of(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_table_picture_and_file_hold_what_python_finds(
    detect, weights: Path, image: Path, tmp_path: Path, capsys
) -> None:
    found = medssm.load(weights, "cpu").detect(image, score=0.0)
    second = float(found.scores[1])
    assert detect(image, "--weights", weights, "--score", second - 1e-6) == 0
    printed = capsys.readouterr().out
    kept = found.objects()[: int((found.scores >= second - 1e-6).sum())]
    assert f"{image} -> detections/photo [1]_objects.jpg: {len(kept)} objects" in printed
    for one in kept[:2]:
        box = ", ".join(f"{value:.0f}" for value in one.box)
        assert any(one.name in line and f"{one.score:.2f}" in line and box in line for line in printed.splitlines())
    assert "1 searched, 0 skipped, 0 failed -> detections/objects.json" in printed
    assert np.asarray(Image.open(tmp_path / "here" / "detections" / "photo [1]_objects.jpg")).shape == (300, 420, 3)
    annotations = content_of(tmp_path / "here" / "detections" / "objects.json")["annotations"]
    expected = found.as_coco()[: len(kept)]
    assert [{**one, "image_id": 1, "id": number} for number, one in enumerate(expected, 1)] == annotations


def test_a_folder_of_every_kind_of_image_becomes_one_file(
    detect, weights: Path, photograph, tmp_path: Path, capsys
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    kinds = {
        "grey.png": "L",
        "deep.png": "I;16",
        "clear.png": "RGBA",
        "below/print.tif": "CMYK",
        "below/one.bmp": "1",
    }
    for seed, (name, mode) in enumerate(kinds.items()):
        photograph(folder / name, seed, mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph(folder / "turned.jpg", 9, exif=exif)
    broken = photograph(folder / "broken.jpg", 10)
    broken.write_bytes(broken.read_bytes()[:1500])
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    assert detect(folder, "--run", weights.parent, "--out", out, "--score", 0.2, "--csv", out / "rows.csv") == 1
    printed = capsys.readouterr().out
    assert f"failed: {broken}: cannot be read as an image" in printed
    assert f"{len(kinds) + 1} searched, 0 skipped, 1 failed" in printed
    content = content_of(out / "objects.json")
    sizes = {entry["file_name"]: (entry["width"], entry["height"]) for entry in content["images"]}
    assert sizes == {str(folder / name): (140, 100) for name in kinds} | {str(folder / "turned.jpg"): (100, 140)}
    assert [entry["file"] for entry in content["failed"]] == [str(broken)]
    drawn = {path.relative_to(out).as_posix() for path in out.rglob("*.jpg")}
    assert drawn == {f"{name}_objects.jpg" for name in ("grey", "deep", "clear", "below/print", "below/one", "turned")}
    with open(out / "rows.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(content["annotations"]) > 0
    for row, entry in zip(rows, content["annotations"], strict=True):
        left, top, width, height = entry["bbox"]
        corners = [float(row[side]) for side in ("left", "top", "right", "bottom")]
        assert corners == pytest.approx([left, top, left + width, top + height], abs=0.02)
        assert (int(row["category_id"]), row["name"]) == (entry["category_id"], NAMES[entry["category_id"] - 1])
        assert float(row["score"]) == entry["score"] >= 0.2


def test_pycocotools_reads_the_file(detect, weights: Path, photograph, tmp_path: Path, capsys) -> None:
    """Masks touch their boxes, which are at most a pixel larger: cells of a box end at its border."""
    files = [photograph(tmp_path / f"{number:012d}.png", number) for number in (139, 285)]
    assert detect(*files, "--weights", weights, "--score", 0, "--json", tmp_path / "a.json", "--no-pictures") == 0
    assert list((tmp_path / "here").iterdir()) == []
    coco = COCO(str(tmp_path / "a.json"))
    assert coco.getImgIds() == [139, 285]
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(NAMES)
    results = coco.loadRes(content_of(tmp_path / "a.json")["annotations"])
    assert len(results.getAnnIds()) == len(coco.getAnnIds()) > 20
    for entry in coco.loadAnns(coco.getAnnIds(imgIds=[285])):
        mask = coco.annToMask(entry)
        assert mask.shape == (100, 140)
        assert entry["area"] == mask.sum() == run_lengths.area(entry["segmentation"])
        if not mask.any():
            continue
        left, top, width, height = entry["bbox"]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert left - 1 <= columns[0] <= columns[-1] + 1 <= left + width + 1
        assert top - 1 <= rows[0] <= rows[-1] + 1 <= top + height + 1


def test_nothing_is_overwritten_unless_asked(detect, weights: Path, image: Path, tmp_path: Path, capsys) -> None:
    assert detect(image, "--weights", weights, "--score", 0.9) == 0
    table = tmp_path / "here" / "detections" / "objects.json"
    table.write_text("mine", encoding="utf-8")
    assert detect(image, "--weights", weights) == 2
    assert "objects.json: there already, and not what medssm detect writes; give --overwrite" in capsys.readouterr().err
    assert table.read_text(encoding="utf-8") == "mine"
    assert detect(image, "--weights", weights, "--overwrite") == 0
    assert content_of(table)["info"]["model"] == "spatialmamba-xs"


def test_a_second_call_adds_to_the_file_and_leaves_what_is_there(
    detect, weights: Path, image: Path, photograph, tmp_path: Path, capsys
) -> None:
    """What is known of the first image stays to the letter, and its picture is not drawn again."""
    options = ("--weights", weights, "--score", 0.2, "--csv", "rows.csv")
    assert detect(image, *options) == 0
    table, picture = (tmp_path / "here" / "detections" / name for name in ("objects.json", "photo [1]_objects.jpg"))
    before, rows = content_of(table), (tmp_path / "here" / "rows.csv").read_text(encoding="utf-8")
    picture.write_bytes(b"mine")
    capsys.readouterr()
    assert detect(image, photograph(tmp_path / "second.png", 5), *options) == 0
    printed = capsys.readouterr().out
    assert f"1 of 2: {image}: is in detections/objects.json already, skipped" in printed
    assert "1 searched, 1 skipped, 0 failed" in printed
    assert picture.read_bytes() == b"mine"
    after = content_of(table)
    assert [one["file_name"] for one in after["images"]] == [str(image), str(tmp_path / "second.png")]
    assert after["annotations"][: len(before["annotations"])] == before["annotations"]
    assert {one["image_id"] for one in after["annotations"]} == {1, 2}
    assert (tmp_path / "here" / "rows.csv").read_text(encoding="utf-8").startswith(rows)
    picture.unlink()
    assert detect(image, *options) == 0  # a picture that is missing is drawn
    assert np.asarray(Image.open(picture)).shape == (300, 420, 3)
    assert len(content_of(table)["images"]) == 2


def test_a_file_of_other_settings_is_refused_and_named(
    detect, weights: Path, image: Path, tmp_path: Path, capsys
) -> None:
    assert detect(image, "--weights", weights, "--score", 0.9) == 0
    before = content_of(tmp_path / "here" / "detections" / "objects.json")
    assert detect(image, "--weights", weights, "--score", 0.5) == 2
    error = capsys.readouterr().err
    assert "objects.json: there already, made with settings {'score': 0.9, 'precision': '32-true'}" in error
    assert content_of(tmp_path / "here" / "detections" / "objects.json") == before


def test_rows_of_another_file_are_not_lost(detect, weights: Path, image: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "here").mkdir()
    rows = tmp_path / "here" / "rows.csv"
    for text in (
        "patient,age\n7,50\n",
        "file,category_id,name,score,left,top,right,bottom\nother.jpg,1,disc,1,1,1,1,1\n",
    ):
        rows.write_text(text, encoding="utf-8")
        assert detect(image, "--weights", weights, "--csv", "rows.csv") == 2
        assert "rows.csv: there already, with rows that no --json of this command has" in capsys.readouterr().err
        assert rows.read_text(encoding="utf-8") == text


def test_pictures_of_an_earlier_call_are_not_searched(
    detect, weights: Path, photograph, tmp_path: Path, capsys
) -> None:
    photograph(tmp_path / "here" / "a.jpg", 0)
    assert detect(".", "--weights", weights) == 0
    assert detect(".", "--weights", weights, "--overwrite") == 0
    assert "1 searched, 0 skipped" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--precision", "16-mixed"), "a CPU has no float16"),
        (("--score", "1.5"), "--score"),
        (("--run", "x"), "give one of them"),
    ],
)
def test_impossible_options_get_a_sentence(detect, weights: Path, image: Path, options, sentence: str, capsys) -> None:
    assert detect(image, "--weights", weights, *options) == 2
    assert sentence in capsys.readouterr().err


def test_without_weights_and_runs_it_says_what_to_give(detect, image: Path, capsys) -> None:
    assert detect(image) == 2
    assert "holds no run with best.safetensors; give --weights FILE or --run DIR" in capsys.readouterr().err


def test_objects_are_kept_where_their_picture_cannot_be_written(
    detect, weights: Path, image: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    assert detect(image, "--weights", weights, "--score", 0.0, "--report", tmp_path / "report.json") == 1
    shown = capsys.readouterr()
    assert "the disk is full" in shown.err
    assert "1 searched, 0 skipped, 1 failed" in shown.out
    assert content_of(tmp_path / "here" / "detections" / "objects.json")["annotations"]
    monkeypatch.undo()


def test_a_table_that_cannot_be_written_does_not_cost_the_report(
    detect, weights: Path, image: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "objects.json")

    monkeypatch.setattr(Tables, "write", full)
    assert detect(image, "--weights", weights, "--report", tmp_path / "report.json") == 1
    assert content_of(tmp_path / "report.json")["counts"] == {"done": 1, "skipped": 0, "failed": 0}
    assert "objects.json: the disk is full" in capsys.readouterr().err
