"""The agreement of a segmenter with label maps, against the network run photograph by photograph."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from typer.testing import CliRunner

from medssm.checkpoints import load_model
from medssm.cli.main import build_app
from medssm.data.synthetic.scenes.drawing import CLASSES
from medssm.errors import UsageError

MODEL = "spatialmamba-xs"


def independent_scores(data: Path, weights: Path) -> dict[str, Any]:
    """Photograph by photograph with the loaded network, and pixel by pixel in plain Python."""
    model, _ = load_model(weights)
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    pixels: list[tuple[int, int]] = []
    for path in sorted((data / "images" / "validation").iterdir()):
        numbers = np.array(Image.open(data / "annotations" / "validation" / f"{path.stem}.png"))
        photograph = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None].float()
        factor = min(48 / min(numbers.shape), 448 / max(numbers.shape))
        size = [int(side * factor + 0.5) for side in numbers.shape]
        image = F.interpolate(photograph, size, mode="bilinear").round()
        with torch.no_grad():
            logits = model((image - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))
        found = F.interpolate(logits, numbers.shape, mode="bilinear").argmax(1)[0]
        pairs = zip(found.flatten().tolist(), numbers.flatten().tolist(), strict=True)
        pixels += [(guess, number - 1) for guess, number in pairs if number]
    overlaps, shares = {}, []
    for label, name in enumerate(CLASSES):
        both = sum(guess == truth == label for guess, truth in pixels)
        either = sum(label in pair for pair in pixels)
        own = sum(truth == label for _, truth in pixels)
        overlaps[name] = both / either if either else None
        shares += [both / own] if own else []
    known = [overlap for overlap in overlaps.values() if overlap is not None]
    right = sum(guess == truth for guess, truth in pixels) / len(pixels)
    return {"classes": overlaps, "miou": sum(known) / len(known), "macc": sum(shares) / len(shares), "aacc": right}


def validate(weights: Path, data: Path, folder: Path, *settings: str) -> tuple[dict[str, Any], str]:
    """What the command writes and prints."""
    command = ["validate", "ade20k", "--model", MODEL, "--weights", str(weights), "--data", str(data)]
    files = ["--json", str(folder / "a.json"), "--csv", str(folder / "a.csv")]
    result = CliRunner().invoke(build_app(), [*command, *files, *settings])
    assert result.exit_code == 0, result.output
    return json.loads((folder / "a.json").read_text(encoding="utf-8")), " ".join(result.output.split())


def test_the_command_gives_the_scores_of_every_class(trained: Path, scenes: Path, tmp_path: Path) -> None:
    written, output = validate(trained, scenes, tmp_path)
    expected = independent_scores(scenes, trained)
    for name in ("miou", "macc", "aacc"):
        assert written[name] == pytest.approx(expected[name], abs=2e-4)
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        found = {row["class"]: float(row["iou"]) if row["iou"] else None for row in csv.DictReader(file)}
    assert found == {name: value and pytest.approx(value, abs=2e-4) for name, value in expected["classes"].items()}
    assert f"{100 * written['miou']:.2f}" in output
    assert "Images seen whole: shorter side 48, longer at most 448 pixels; 32-true" in output


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["validation.window=[32,32]", "validation.stride=[16,16]"], "seen in windows of 32 x 32: shorter side 48"),
        (
            ["validation.multi_scale=true", "validation.scales=[0.4,0.5]"],
            "0.4, 0.5 of their own size, each mirrored too, probabilities averaged",
        ),
    ],
)
def test_windows_and_several_scales_are_said(
    settings: list[str], sentence: str, trained: Path, scenes: Path, tmp_path: Path
) -> None:
    plain, _ = validate(trained, scenes, tmp_path)
    written, output = validate(trained, scenes, tmp_path, *(word for text in settings for word in ("--set", text)))
    assert sentence in output
    assert written["miou"] != plain["miou"]


def test_classes_are_found_by_their_names(trained: Path, scenes: Path, tmp_path: Path) -> None:
    """A dataset of the same classes in another order, some of them left out, numbers them otherwise."""
    shutil.copytree(scenes, tmp_path / "data")
    names = ("hill", "sky", "grass")
    numbers = np.zeros(len(CLASSES) + 1, np.uint8)
    for place, name in enumerate(names, start=1):
        numbers[CLASSES.index(name) + 1] = place
    for path in (tmp_path / "data" / "annotations").rglob("*.png"):
        Image.fromarray(numbers[np.array(Image.open(path))]).save(path)
    (tmp_path / "data" / "names.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    written, _ = validate(trained, tmp_path / "data", tmp_path)
    whole, _ = validate(trained, scenes, tmp_path)
    before = {entry["class"]: entry for entry in whole["classes"]}
    for entry in written["classes"]:
        assert entry["accuracy"] == before[entry["class"]]["accuracy"]


def test_a_dataset_of_other_classes_is_refused(trained: Path, scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes, tmp_path / "data")
    (tmp_path / "data" / "names.txt").write_text("\n".join(["lion", *CLASSES[1:]]) + "\n", encoding="utf-8")
    command = ["validate", "ade20k", "--weights", str(trained), "--data", str(tmp_path / "data")]
    result = CliRunner().invoke(build_app(), command)
    assert isinstance(result.exception, UsageError)
    assert "has 8 classes, of which 'lion' is none of the weights' 8" in str(result.exception)
