"""`medssm classify` as it is typed, with small networks of random weights."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

import medssm
from medssm.checkpoints import WeightsMetadata, create_model, save_weights
from medssm.models import model_info

ANIMALS = ("ant", "bee", "cat", "dog", "eel", "fox")


def write_weights(path: Path, model: str, size: tuple[int, ...], names: tuple[str, ...]) -> Path:
    torch.manual_seed(0)
    metadata = WeightsMetadata(
        model=model,
        num_classes=len(names),
        in_channels=3,
        class_names=dict(enumerate(names)),
        preprocessing=asdict(model_info(model).input),
        input_size=size,
    )
    save_weights(path, create_model(model, num_classes=len(names), input_size=size), metadata)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model for images, in a run folder."""
    return write_weights(tmp_path_factory.mktemp("run") / "best.safetensors", "mamba2d-n", (64, 64), ANIMALS)


@pytest.fixture(scope="module")
def video_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "w.safetensors"
    return write_weights(path, "mamband-video-ucf101", (8, 32, 32), ("Archery", "Bowling"))


@pytest.fixture
def classify(typed: Callable[..., int]) -> Callable[..., int]:
    return lambda *arguments: typed("classify", *arguments, "--device", "cpu")


def test_table_shows_what_python_finds(classify, weights: Path, image: Path, capsys) -> None:
    assert classify(image, "--weights", weights, "--top", 2) == 0
    printed = capsys.readouterr().out
    first, second, third = medssm.load(weights, "cpu").classify(image).top(3)
    assert f"{image}\n" in printed
    for candidate in (first, second):
        [row] = [line for line in printed.splitlines() if f" {candidate.name} " in line]
        assert f"{candidate.rank} " in row
        assert f"{candidate.probability:.2%}" in row
    assert f" {third.name} " not in printed
    assert "1 classified, 0 skipped, 0 failed" in printed


def test_files_hold_every_class_and_every_failure(
    classify, weights: Path, image: Path, photograph, tmp_path: Path, capsys
) -> None:
    broken = photograph(tmp_path / "broken.png", 1)
    broken.write_bytes(broken.read_bytes()[:1000])
    other = photograph(tmp_path / "other.webp", 2)
    outputs = ("--csv", tmp_path / "out" / "a.csv", "--json", tmp_path / "out" / "a.json")
    assert classify(tmp_path, "--run", weights.parent, *outputs) == 1
    printed = capsys.readouterr().out
    assert f"failed: {broken}: cannot be read as an image" in printed
    assert "2 classified, 0 skipped, 1 failed" in printed
    with open(tmp_path / "out" / "a.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == 5 * [str(other)] + 5 * [str(image)]
    assert [int(row["rank"]) for row in rows] == 2 * [1, 2, 3, 4, 5]
    assert all(ANIMALS[int(row["label"])] == row["name"] for row in rows)
    content = json.loads((tmp_path / "out" / "a.json").read_text(encoding="utf-8"))
    assert content["model"] == "mamba2d-n"
    assert [entry["file"] for entry in content["files"]] == [str(other), str(image)]
    first = content["files"][1]["classes"][0]
    assert (first["name"], first["probability"]) == (rows[5]["name"], pytest.approx(float(rows[5]["probability"])))
    [failed] = content["failed"]
    assert failed["file"] == str(broken)
    assert str(broken) in failed["error"]


def test_videos_of_every_container_go_to_a_video_model(
    classify, video_weights: Path, photograph, tmp_path: Path, write_video: Callable[..., Path], capsys
) -> None:
    codecs = {"a.mp4": "libx264", "b.avi": "mpeg4", "c.webm": "libvpx", "d.gif": "gif"}
    for name, codec in codecs.items():
        write_video(tmp_path / name, 12, codec)
    half = write_video(tmp_path / "half.mp4", 12)
    half.write_bytes(half.read_bytes()[:500])
    photograph(tmp_path / "photo.jpg", 3)
    assert classify(tmp_path, tmp_path / "photo.jpg", "--weights", video_weights) == 1
    printed = capsys.readouterr().out
    assert printed.count("Archery") == printed.count("Bowling") == len(codecs)
    assert "photo.jpg: is an image, and the weights are of a model for video" in printed
    assert "half.mp4: the file breaks off" in printed
    assert f"{len(codecs)} classified, 0 skipped, 2 failed" in printed


def test_a_video_for_a_model_of_images_is_told(classify, weights: Path, tmp_path: Path, write_video, capsys) -> None:
    assert classify(write_video(tmp_path / "a.mp4", 3), "--weights", weights) == 3
    assert "is a video, and the weights are of a model for images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("--model", "mamba2d-n"), 0, ""),
        (("--model", "mamba2d-s"), 1, "holds weights of mamba2d-n, not of mamba2d-s"),
        (("--model", "mamba2d-x"), 2, "did you mean"),
        (("--run", "x"), 2, "give one of them"),
        (("--precision", "16-mixed"), 2, "a CPU has no float16"),
        (("--precision", "bf16-mixed"), 0, ""),
        (("--top", "0"), 2, "--top"),
    ],
)
def test_options_are_taken_or_refused_in_a_sentence(
    classify, weights: Path, image: Path, options: tuple[str, ...], code: int, sentence: str, capsys
) -> None:
    assert classify(image, "--weights", weights, *options) == code
    assert sentence in capsys.readouterr().err


def test_without_weights_the_newest_run_is_taken(
    classify, weights: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert classify(image) == 2
    assert "give --weights FILE or --run DIR, or --model NAME" in capsys.readouterr().err
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "best.safetensors").symlink_to(weights)
    assert classify(image) == 0
    assert "weights: runs/mine (mamba2d-n)" in capsys.readouterr().out


def test_weights_for_scans_are_refused(classify, image: Path, tmp_path: Path, capsys) -> None:
    torch.save({"state_dict": create_model("mamband-xs").state_dict()}, tmp_path / "scans.pt")
    assert classify(image, "--weights", tmp_path / "scans.pt") == 2
    assert "holds mamband-xs, which segments scans; see medssm predict" in capsys.readouterr().err
