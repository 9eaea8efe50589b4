"""The ade20k recipe run on a few scenes: what it leaves behind, exact resuming, two processes, and its measures."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from medssm.checkpoints import load_model
from medssm.cli.main import build_app
from medssm.data.synthetic.scenes import write_scenes
from medssm.data.synthetic.scenes.drawing import CLASSES
from medssm.errors import DataError, UsageError
from medssm.recipes import train
from medssm.tasks.semantic.training import SemanticSegmentation
from medssm.training import Outcome

Run = Callable[..., Outcome]
MODEL = "spatialmamba-xs"
SMALL = {
    "model.head_settings": {"channels": 8, "auxiliary_channels": 8},
    "augmentation.short_side": 48,
    "augmentation.crop": [32, 32],
    "validation.short_side": 48,
    "schedule.iterations": 6,
    "schedule.warmup_steps": 2,
    "run.batch_size": 2,
    "run.total_batch": 4,
    "run.validate_every_steps": 3,
    "run.log_every_steps": 1,
    "run.accelerator": "cpu",
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten scenes to train on, four to validate."""
    folder = tmp_path_factory.mktemp("scenes") / "data"
    write_scenes(folder, training=10, validation=4)
    return folder


@pytest.fixture(scope="module")
def run(scenes: Path) -> Run:
    """train() into a folder with changes, where `run__seed` stands for run.seed."""

    def call(folder: Path, resume: bool = False, **changes: Any) -> Outcome:
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        return train("ade20k", MODEL, {"data.folder": str(scenes), **SMALL, **changes}, folder, resume)

    return call


@pytest.fixture(scope="module")
def trained(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run folder."""
    folder = tmp_path_factory.mktemp("semantic") / "run"
    run(folder)
    return folder


def state(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "last.ckpt", weights_only=True)


def test_the_metrics_hold_both_losses_and_all_scores(trained: Path) -> None:
    with open(trained / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = [row for row in rows if row["loss"]]
    assert len(steps) == 6
    for row in steps:
        assert float(row["loss"]) == pytest.approx(float(row["main"]) + float(row["auxiliary"]), rel=1e-5)
    validations = [row for row in rows if row["miou"]]
    assert [row["step"] for row in validations] == ["3", "6"]
    assert all(0 <= float(row[name]) <= 1 for row in validations for name in ("miou", "macc", "aacc"))


def test_tensorboard_shows_label_maps(trained: Path) -> None:
    board = EventAccumulator(str(trained / "tensorboard")).Reload()
    assert {"loss", "miou", "images_per_second"} <= set(board.Tags()["scalars"])
    assert board.Tags()["images"] == [f"photograph {number}" for number in range(1, 5)]


def test_the_best_weights_say_what_segmenting_needs(trained: Path) -> None:
    _, metadata = load_model(trained)
    assert (metadata.model, metadata.head, metadata.num_classes) == (MODEL, "upernet", len(CLASSES))
    assert metadata.head_settings == SMALL["model.head_settings"]
    assert metadata.class_names == dict(enumerate(CLASSES))
    assert (metadata.preprocessing["short_side"], metadata.preprocessing["long_side"]) == (48, 448)
    assert f"mIoU {state(trained)['progress']['best_score']:.4f}" in metadata.source


@pytest.mark.parametrize("passes", [pytest.param(3, marks=pytest.mark.slow), 10])
def test_a_stopped_and_resumed_run_is_the_same_bit_for_bit(
    passes: int, run: Run, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the first of a step's two passes and in the second."""
    losses, count = SemanticSegmentation.losses, iter(range(1, 1000))

    def stopping(*arguments: Any) -> dict[str, torch.Tensor]:
        if next(count) == passes:
            signal.raise_signal(signal.SIGINT)
        return losses(*arguments)

    monkeypatch.setattr(SemanticSegmentation, "losses", stopping)
    assert run(tmp_path / "parts").step == (passes + 1) // 2
    assert run(tmp_path / "parts", resume=True).step == 6
    mine, theirs = state(tmp_path / "parts")["model"], state(trained)["model"]
    assert all(torch.equal(mine[name], value) for name, value in theirs.items())
    assert (tmp_path / "parts" / "best.safetensors").read_bytes() == (trained / "best.safetensors").read_bytes()


def first_gradients(folder: Path, starter: list[str], data: Path, *settings: str) -> list[dict[str, torch.Tensor]]:
    """Those of each process after the first step of a training in processes of their own."""
    script = str(Path(__file__).with_name("keep_gradients.py"))
    changes = {**SMALL, "model.dropout_rate": 0.0, "schedule.iterations": 4, "schedule.warmup_steps": 1}
    options = [word for key, value in changes.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    command = ["train", "ade20k", "--model", MODEL, "--data", str(data), "--max-steps", "1", "--out", "run"]
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, *starter, script, *command, *options, *settings],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(path, weights_only=True) for path in sorted(folder.glob("gradients?.pt"))]


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_with_twice_the_batch(scenes: Path, tmp_path: Path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    first, second = first_gradients(tmp_path / "two", torchrun, scenes)
    (whole,) = first_gradients(tmp_path / "one", [], scenes, "--set", "run.batch_size=4")
    for name, value in whole.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=1e-5 * max(1, float(value.abs().max())))


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


def test_a_dataset_of_more_classes_than_the_model_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has 8 classes, but the model has 7; .* --set model\.num_classes=8"):
        run(tmp_path / "run", model__num_classes=7)


def test_a_broken_label_map_ends_the_run_with_a_sentence(run: Run, scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes, tmp_path / "data")
    for path in (tmp_path / "data" / "annotations" / "training").iterdir():
        Image.new("L", (20, 20), 1).save(path)
    with pytest.raises(DataError, match=r"label map and photograph are of 20 x 20 and \d+ x \d+ pixels"):
        run(tmp_path / "run", data__folder=str(tmp_path / "data"))
