"""Top-1 and top-5 of weights, against the network run image by image."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from medssm.checkpoints import load_model
from medssm.cli.main import build_app
from medssm.data.images.reading import read_image
from medssm.data.layouts.imagenet import load_image_dataset
from medssm.data.transforms.images import evaluation_transform
from medssm.errors import CheckpointError, UsageError
from medssm.models.info import IMAGENET_MEAN, IMAGENET_STD
from medssm.recipes import load_recipe, measure

SETTINGS = {"run.loader_processes": 1, "validation.batch_size": 8, "run.accelerator": "cpu"}


def places(folder: Path, weights: Path) -> dict[str, list[int]]:
    """Class -> place of the right one among the most probable ones (0 is the first), image by image."""
    model, _ = load_model(weights)
    prepare = evaluation_transform((32, 32), 0.875, "center", "bicubic", IMAGENET_MEAN, IMAGENET_STD)
    dataset = load_image_dataset(folder)
    found: dict[str, list[int]] = {}
    for sample in dataset.validation:
        with torch.no_grad():
            order = model(prepare(read_image(sample.path))[None])[0].argsort(descending=True).tolist()
        found.setdefault(dataset.classes[sample.label], []).append(order.index(sample.label))
    return found


def test_the_command_gives_the_accuracy_of_every_class(classified: Path, shapes: Path, tmp_path: Path) -> None:
    options: list[Any] = ["--data", shapes, "--csv", tmp_path / "a.csv", "--json", tmp_path / "a.json"]
    options += ["--batch-size", "7", "--workers", "2"]
    result = CliRunner().invoke(build_app(), ["validate", "imagenet", "--weights", str(classified), *map(str, options)])
    assert result.exit_code == 0, result.output
    expected = places(shapes, classified)
    flat = [place for row in expected.values() for place in row]
    written = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert written["images"] == 30
    assert written["top1"] == pytest.approx(sum(place < 1 for place in flat) / 30)
    assert written["top5"] == pytest.approx(sum(place < 5 for place in flat) / 30)
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert float(row["top1"]) == sum(place < 1 for place in expected[row["folder"]])
    assert f"{100 * written['top1']:.2f} %" in result.output
    assert "shorter side to 36, bicubic, middle 32 x 32; 32-true" in " ".join(result.output.split())


def test_classes_are_found_by_their_names(classified: Path, shapes: Path, tmp_path: Path) -> None:
    """A dataset of a few of the classes numbers them otherwise than the network does."""
    shutil.copytree(shapes, tmp_path / "data")
    for name in sorted(folder.name for folder in (shapes / "val").iterdir())[:4]:
        shutil.rmtree(tmp_path / "data" / "val" / name)
        shutil.rmtree(tmp_path / "data" / "train" / name)
    recipe = load_recipe("imagenet", overrides={**SETTINGS, "data.folder": str(tmp_path / "data")})
    outcome = measure(recipe, classified)
    expected = places(shapes, classified)
    assert len(outcome.classes) == 6
    for entry in outcome.classes:
        assert (entry.images, entry.top1) == (3, sum(place < 1 for place in expected[entry.folder]))


def test_a_dataset_of_other_classes_is_refused(classified: Path, shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes, tmp_path / "data")
    for part in ("train", "val"):
        first, second = sorted((tmp_path / "data" / part).iterdir())[:2]
        first.rename(first.with_name("aardvark"))
        shutil.rmtree(second)
    recipe = load_recipe("imagenet", overrides={**SETTINGS, "data.folder": str(tmp_path / "data")})
    with pytest.raises(UsageError, match="has 9 classes, such as 'aardvark', which are not those 10 of the weights"):
        measure(recipe, classified)


def test_weights_of_another_model_are_refused(classified: Path, shapes: Path) -> None:
    recipe = load_recipe("imagenet", overrides={**SETTINGS, "data.folder": str(shapes)})
    with pytest.raises(CheckpointError, match="of tiny, not of groupmamba-t"):
        measure(recipe, classified, "groupmamba-t")


def test_published_weights_are_asked_for_by_name(shapes: Path) -> None:
    recipe = load_recipe("imagenet", overrides={**SETTINGS, "data.folder": str(shapes)})
    with pytest.raises(UsageError, match="--weights published: say whose, with --model NAME"):
        measure(recipe, "published")
