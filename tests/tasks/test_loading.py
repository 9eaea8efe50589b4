"""Weights go to what runs them, and to nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import medssm
from medssm.checkpoints import WeightsMetadata, create_model, save_weights
from medssm.errors import CheckpointError, UsageError
from medssm.tasks.classifier import Classifier
from medssm.tasks.detection.runner import ObjectDetector
from medssm.tasks.loading import load_classifier, load_detector, load_predictor, load_segmenter
from medssm.tasks.segmentation.runner import Predictor
from medssm.tasks.semantic.runner import SemanticSegmenter

SMALL = {"neck_channels": 16, "box_features": 32}
# Of each kind of weights: what they hold, what runs it, and the command that they are for.
KINDS: dict[str, tuple[dict[str, Any], type, str]] = {
    "classes": ({"model": "spatialmamba-xs", "input_size": (64, 64)}, Classifier, "medssm classify"),
    "objects": (
        {"model": "spatialmamba-xs", "head": "mask-rcnn", "head_settings": SMALL},
        ObjectDetector,
        "medssm detect",
    ),
    "label maps": ({"model": "spatialmamba-xs", "head": "upernet"}, SemanticSegmenter, "medssm segment"),
    "organs": ({"model": "mamband-xs", "in_channels": 1, "input_size": (48, 48, 48)}, Predictor, "medssm predict"),
}
LOADERS: dict[str, Callable[..., Any]] = {
    "classes": load_classifier,
    "objects": load_detector,
    "label maps": load_segmenter,
    "organs": load_predictor,
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, files = tmp_path_factory.mktemp("weights"), {}
    for kind, (fields, _, _) in KINDS.items():
        torch.manual_seed(0)
        metadata = WeightsMetadata(**{"num_classes": 4, "in_channels": 3, "input_size": (), **fields})
        network = create_model(
            metadata.model,
            num_classes=4,
            in_channels=metadata.in_channels,
            head=metadata.head,
            head_settings=metadata.head_settings,
        )
        files[kind] = folder / f"{kind}.safetensors"
        save_weights(files[kind], network, metadata)
    return files


@pytest.mark.parametrize("kind", KINDS)
def test_load_gives_what_the_weights_are_for(weights: dict[str, Path], kind: str) -> None:
    assert type(medssm.load(weights[kind], "cpu")) is type(LOADERS[kind](weights[kind], "cpu")) is KINDS[kind][1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wanted", LOADERS)
def test_weights_of_another_kind_name_their_command(weights: dict[str, Path], kind: str, wanted: str) -> None:
    if kind == wanted:
        return
    fields, _, command = KINDS[kind]
    name = f"{fields['model']} with {fields['head']}" if "head" in fields else fields["model"]
    with pytest.raises(UsageError, match=rf"^.*{kind}\.safetensors: holds {name}, which .*; see {command}$"):
        LOADERS[wanted](weights[kind], "cpu")


@pytest.mark.parametrize("kind", ["classes", "objects", "label maps"])
def test_the_network_that_is_named_must_be_the_files(weights: dict[str, Path], kind: str) -> None:
    assert LOADERS[kind](weights[kind], "cpu", model="spatialmamba-xs").model == "spatialmamba-xs"
    with pytest.raises(CheckpointError, match=r"holds weights of spatialmamba-xs, not of mamba2d-n"):
        LOADERS[kind](weights[kind], "cpu", model="mamba2d-n")
    with pytest.raises(UsageError, match="a CPU has no float16"):
        LOADERS[kind](weights[kind], "cpu", precision="16-mixed")


def test_a_published_detector_has_the_classes_and_the_input_of_coco(tmp_path: Path) -> None:
    state = create_model("spatialmamba-xs", head="mask-rcnn").state_dict()
    torch.save({"state_dict": state}, tmp_path / "published.pt")
    detector = load_detector(tmp_path / "published.pt", "cpu")
    assert (detector.names[0], detector.names[79], len(detector.names)) == ("person", "toothbrush", 80)
    assert (detector.preparation.short_side, detector.preparation.long_side) == (800, 1333)
