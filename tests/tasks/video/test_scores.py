"""Top-1 and top-5 of weights on videos, against the network run on frames that are decoded one after the other."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional
from typer.testing import CliRunner

from medssm.checkpoints import WeightsMetadata, load_model, save_weights
from medssm.cli.main import build_app
from medssm.data.layouts.actions.names import UCF101_ACTIONS
from medssm.errors import CheckpointError, DataError, UsageError
from medssm.models import fresh_model
from medssm.models.info import IMAGENET_MEAN, IMAGENET_STD
from medssm.recipes import load_recipe, measure

SETTINGS = {"run.loader_processes": 1, "run.accelerator": "cpu", "data.max_broken_share": 0.1}
BROKEN = "v_up_g02_c01.avi"


def views(path: Path) -> Tensor:
    """2 clips of every second of 4 frames, evenly spread, times 3 crops from end to end; (6, 3, 4, 16, 16)."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    pictures = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    pictures = functional.resize(pictures, [20], antialias=True)
    height, width = pictures.shape[2:]
    found = []
    for view in range(2):
        start = int((len(frames) - 7) / 2 * (view + 0.5))
        clip = pictures[[start, start + 2, start + 4, start + 6]]
        for place in (0.0, 0.5, 1.0):
            top, left = (height - 16) // 2, int((width - 16) * place)
            if height > width:
                top, left = int((height - 16) * place), (width - 16) // 2
            found.append(clip[:, :, top : top + 16, left : left + 16])
    values = torch.stack(found).permute(0, 2, 1, 3, 4) / 255
    return (values - torch.tensor(IMAGENET_MEAN).view(3, 1, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1, 1)


@pytest.fixture(scope="module")
def places(motions: Path, recognised: Path) -> dict[str, list[int]]:
    """Class -> place of the right one among the most probable ones (0 is the first), video by video."""
    model, metadata = load_model(recognised)
    found: dict[str, list[int]] = {}
    listed = (motions / "ucfTrainTestlist" / "testlist01.txt").read_text(encoding="utf-8").split()
    for name in (name for name in listed if not name.endswith(BROKEN)):
        with torch.no_grad():
            logits = model(views(motions / "UCF-101" / name))[:, :8]  # the others never occur
            probabilities = logits.softmax(1).mean(0)
        action = name.partition("/")[0]
        order = [metadata.class_names[label] for label in probabilities.argsort(descending=True).tolist()]
        found.setdefault(action, []).append(order.index(action))
    return found


def test_the_command_gives_the_accuracy_of_every_class(
    recognised: Path, motions: Path, places: dict[str, list[int]], tmp_path: Path
) -> None:
    options: list[Any] = ["--data", motions, "--csv", tmp_path / "a.csv", "--json", tmp_path / "a.json"]
    options += ["--set", "data.max_broken_share=0.1", "--set", "run.accelerator=cpu", "--workers", "1"]
    result = CliRunner().invoke(build_app(), ["validate", "ucf101", "--weights", str(recognised), *map(str, options)])
    assert result.exit_code == 0, result.output
    flat = [place for row in places.values() for place in row]
    written = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert written["videos"] == len(flat) == 15
    assert written["top1"] == pytest.approx(np.mean(np.array(flat) < 1))
    assert written["top5"] == pytest.approx(np.mean(np.array(flat) < 5))
    per_class = [np.mean(np.array(row) < 1) for row in places.values()]
    assert written["mean_class"] == pytest.approx(np.mean(per_class))
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        found = {
            row["action"]: (int(row["videos"]), float(row["top1"]), float(row["top5"])) for row in csv.DictReader(file)
        }
    for action, row in places.items():
        assert found[action] == (len(row), sum(place < 1 for place in row), sum(place < 5 for place in row))
    assert [BROKEN in reason for reason in written["broken"]] == [True]
    output = " ".join(result.output.split())
    assert f"{100 * written['top1']:.2f} %" in output
    assert "every 2. frame; 2 x 3 views a video, shorter side 20, 16 x 16; 32-true. 1 broken videos were left" in output


def test_classes_are_found_by_their_names(
    recognised: Path, motions: Path, places: dict[str, list[int]], tmp_path: Path
) -> None:
    """A data set of some of the classes, in another order, numbers them otherwise than the network does."""
    shutil.copytree(motions, tmp_path / "data")
    lists = tmp_path / "data" / "ucfTrainTestlist"
    kept = ("up", "down", "left")
    (lists / "classInd.txt").write_text("1 up\n2 down\n3 left\n", encoding="utf-8")
    for name in ("trainlist01.txt", "testlist01.txt"):
        lines = [line.split()[0] for line in (lists / name).read_text(encoding="utf-8").splitlines()]
        own = [line for line in lines if line.partition("/")[0] in kept]
        (lists / name).write_text("\n".join(own), encoding="utf-8")
    recipe = load_recipe(
        "ucf101", overrides={**SETTINGS, "data.folder": str(tmp_path / "data"), "data.max_broken_share": 0.2}
    )
    outcome = measure(recipe, recognised)
    assert [entry.action for entry in outcome.classes] == list(kept)
    for entry in outcome.classes:
        assert (entry.videos, entry.top1) == (len(places[entry.action]), sum(p < 1 for p in places[entry.action]))


def test_too_many_broken_videos_are_refused(recognised: Path, motions: Path) -> None:
    recipe = load_recipe("ucf101", overrides={**SETTINGS, "data.folder": str(motions), "data.max_broken_share": 0.01})
    with pytest.raises(DataError, match=r"1 of 16 validation videos cannot be read, more than data\.max_broken_share"):
        measure(recipe, recognised)


def test_other_classes_are_refused(recognised: Path, motions: Path, tmp_path: Path) -> None:
    network, metadata = load_model(recognised)
    names = dict(enumerate(UCF101_ACTIONS[:2]))
    save_weights(tmp_path / "two.safetensors", network, metadata.model_copy(update={"class_names": names}))
    recipe = load_recipe("ucf101", overrides={**SETTINGS, "data.folder": str(motions)})
    with pytest.raises(UsageError, match="has 8 classes, such as 'anticlockwise', which are not those 2 of"):
        measure(recipe, tmp_path / "two.safetensors")


def test_weights_of_another_task_or_model_are_refused(recognised: Path, classified_image: Path, motions: Path) -> None:
    recipe = load_recipe("ucf101", overrides={**SETTINGS, "data.folder": str(motions)})
    with pytest.raises(UsageError, match=r"spatialmamba-xs, which classifies images; the recipe .* is imagenet"):
        measure(recipe, classified_image)
    with pytest.raises(CheckpointError, match="mamband-video-xs, not of mamband-video-ucf101"):
        measure(recipe, recognised, "mamband-video-ucf101")


@pytest.fixture
def classified_image(tmp_path: Path) -> Path:
    """Weights of a network for images."""
    model = fresh_model("spatialmamba-xs", num_classes=8)
    metadata = WeightsMetadata(model="spatialmamba-xs", num_classes=8, in_channels=3, input_size=(64, 64))
    save_weights(tmp_path / "image.safetensors", model, metadata)
    return tmp_path / "image.safetensors"
