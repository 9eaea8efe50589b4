"""`medssm segment` as it is typed, with a small segmenter of random weights."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import medssm
from medssm.checkpoints import WeightsMetadata, create_model, save_weights
from medssm.data.layouts.check import check_dataset
from medssm.models.info import SemanticInput

NAMES = ("cross", "disc", "ring")
NARROW = {"channels": 16, "auxiliary_channels": 8}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In a run folder."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("run") / "best.safetensors"
    metadata = WeightsMetadata(
        model="spatialmamba-xs",
        head="upernet",
        head_settings=NARROW,
        num_classes=len(NAMES),
        in_channels=3,
        class_names=dict(enumerate(NAMES)),
        preprocessing=asdict(SemanticInput(short_side=48, long_side=96)),
        input_size=(),
    )
    network = create_model("spatialmamba-xs", head="upernet", num_classes=len(NAMES), head_settings=NARROW)
    save_weights(path, network, metadata)
    return path


@pytest.fixture
def segment(typed_here: Callable[..., int]) -> Callable[..., int]:
    return lambda *arguments: typed_here("segment", *arguments)


def test_table_picture_and_files_hold_what_python_finds(
    segment: Callable[..., int], weights: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = medssm.load(weights, "cpu").segment(image)  # type: ignore[union-attr]
    assert segment(image, "--weights", weights, "--overlay", "--csv", "shares.csv") == 0
    printed = capsys.readouterr().out
    out = tmp_path / "here" / "label_maps"
    assert f"{image} -> label_maps/photo [1].png" in printed
    assert "1 segmented, 0 skipped, 0 failed -> label_maps/shares.json" in printed
    assert np.array_equal(np.array(Image.open(out / "photo [1].png")), found.labels + 1)
    assert Image.open(out / "photo [1]_overlay.jpg").size == (140, 100)
    document = json.loads((out / "shares.json").read_text(encoding="utf-8"))
    (entry,) = document["files"]
    assert (entry["height"], entry["width"], document["model"]) == (100, 140, "spatialmamba-xs")
    expected = {name: int(np.sum(found.labels == label)) for label, name in enumerate(NAMES)}
    assert {row["class"]: row["pixels"] for row in entry["classes"]} == {k: n for k, n in expected.items() if n}
    assert sum(row["share"] for row in entry["classes"]) == pytest.approx(1, abs=1e-5)
    for row in entry["classes"]:
        assert row["label"] == NAMES.index(row["class"]) + 1
        assert any(row["class"] in line and f"{row['share']:.2%}" in line for line in printed.splitlines())
    with open(tmp_path / "here" / "shares.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["class"], int(row["pixels"])) for row in rows] == [
        (str(image), row["class"], row["pixels"]) for row in entry["classes"]
    ]


def test_a_folder_of_every_kind_of_image_is_segmented(
    segment: Callable[..., int],
    weights: Path,
    photograph: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    kinds = {"grey.png": "L", "deep.png": "I;16", "clear.png": "RGBA", "below/print.tif": "CMYK", "below/one.bmp": "1"}
    for seed, (name, mode) in enumerate(kinds.items()):
        photograph(folder / name, seed, mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph(folder / "turned.jpg", 9, exif=exif)
    broken = photograph(folder / "broken.jpg", 10)
    broken.write_bytes(broken.read_bytes()[:900])
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    assert segment(folder, "--run", weights.parent, "--out", out) == 1
    printed = capsys.readouterr().out
    assert f"failed: {broken}: cannot be read as an image" in printed
    assert f"{len(kinds) + 1} segmented, 0 skipped, 1 failed" in printed
    assert Image.open(out / "below" / "print.png").size == (140, 100)
    assert Image.open(out / "turned.png").size == (100, 140)
    document = json.loads((out / "shares.json").read_text(encoding="utf-8"))
    assert [entry["file"] for entry in document["failed"]] == [str(broken)]


def test_the_label_maps_are_those_of_a_dataset(
    segment: Callable[..., int],
    weights: Path,
    photograph: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for seed in range(2):
        photograph(tmp_path / "set" / "images" / "validation" / f"{seed}.jpg", seed)
    (tmp_path / "set" / "names.txt").write_text("\n".join(NAMES), encoding="utf-8")
    out = tmp_path / "set" / "annotations" / "validation"
    (tmp_path / "set" / "images" / "training").mkdir()
    images = tmp_path / "set" / "images" / "validation"
    assert segment(images, "--weights", weights, "--out", out, "--json", tmp_path / "shares.json") == 0
    assert {finding.kind for finding in check_dataset(tmp_path / "set").faults} == {"no-scene"}  # of training


def test_windows_and_own_size_reach_the_network(
    segment: Callable[..., int], weights: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segmenter = medssm.load(weights, "cpu")
    expected = segmenter.segment(image, window=40, keep_size=True).labels  # type: ignore[union-attr]
    assert segment(image, "--weights", weights, "--window", 40, "--own-size") == 0
    labels = np.array(Image.open(tmp_path / "here" / "label_maps" / "photo [1].png"))
    assert np.array_equal(labels, expected + 1)
    assert not np.array_equal(expected, segmenter.segment(image).labels)  # type: ignore[union-attr]


def test_nothing_is_overwritten_unless_asked(
    segment: Callable[..., int], weights: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(image, "--weights", weights) == 0
    labels, table = (tmp_path / "here" / "label_maps" / name for name in ("photo [1].png", "shares.json"))
    before = table.read_text(encoding="utf-8")
    labels.write_bytes(b"mine")
    assert segment(image, "--weights", weights) == 0
    assert "is in label_maps/shares.json already, skipped (--overwrite writes it again)" in capsys.readouterr().out
    assert table.read_text(encoding="utf-8") == before
    assert segment(image, "--weights", weights, "--overlay") == 0  # adds what is missing and leaves what is there
    assert labels.read_bytes() == b"mine"
    assert labels.with_name("photo [1]_overlay.jpg").exists()
    assert segment(image, "--weights", weights, "--overwrite") == 0
    assert Image.open(labels).size == (140, 100)


def test_weights_of_another_kind_are_told_their_command(
    segment: Callable[..., int], image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = create_model("spatialmamba-xs", num_classes=3)
    metadata = WeightsMetadata(model="spatialmamba-xs", num_classes=3, in_channels=3, input_size=(64, 64))
    save_weights(tmp_path / "classifier.safetensors", network, metadata)
    assert segment(image, "--weights", tmp_path / "classifier.safetensors") == 2
    assert "classifies images; see medssm classify" in capsys.readouterr().err
