"""Short runs of the recipes on small datasets, shared by the tests that look at them."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from medssm.checkpoints import WeightsMetadata, create_model, save_weights
from medssm.data.synthetic.motions import write_motions
from medssm.data.synthetic.shapes import write_shapes
from medssm.models import registry
from medssm.models.info import ImageInput
from medssm.recipes import train

sys.path.insert(0, str(Path(__file__).parent))
from tiny_classifier import tiny_info

MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def small_recipe() -> dict[str, Any]:
    """Overrides that make the btcv recipe run in seconds on the cubes."""
    return {
        "augmentation.crops.size": (16, 16, 16),
        "run.max_steps": 40,
        "run.validate_every_steps": 20,
        "run.accelerator": "cpu",
    }


@pytest.fixture(scope="session")
def trained(made_once: MadeOnce, cube_dataset: Path, small_recipe: dict[str, Any]) -> Path:
    """A finished run folder of mamband-xs on the cubes."""
    settings = {**small_recipe, "data.folder": str(cube_dataset)}
    return made_once("trained", lambda folder: train("btcv", "mamband-xs", settings, folder))


@pytest.fixture(scope="module")
def tiny_models() -> Iterator[None]:
    """The models "tiny" and "tiny-distilled" can be created and trained."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("tiny", "tiny-distilled"):
            patch.setitem(registry._MODELS, name, tiny_info(name, name == "tiny-distilled"))
        yield


@pytest.fixture(scope="session")
def shapes(made_once: MadeOnce) -> Path:
    """Ten classes of patterns: 8 images each to train on, 3 to validate."""
    return made_once("shapes", lambda folder: write_shapes(folder, training=8, validation=3))


@pytest.fixture(scope="session")
def small_images(shapes: Path) -> dict[str, Any]:
    """Overrides that make the imagenet recipe run in seconds on the patterns, with all of its random parts on."""
    return {
        "data.folder": str(shapes),
        "model.input_size": (32, 32),
        "model.dropout_rate": 0.1,
        "validation.batch_size": 8,
        "averaging.decay": 0.8,
        "self_distillation.start_epoch": 1,
        "optimizer.learning_rate": 0.01,
        "schedule": {"kind": "one-cycle"},
        "run.accelerator": "cpu",
        "run.batch_size": 8,
        "run.total_batch": 16,
        "run.max_epochs": 3,
        "run.log_every_steps": 1,
        "run.loader_processes": 1,
    }


@pytest.fixture(scope="module")
def classified(made_once: MadeOnce, tiny_models: None, small_images: dict[str, Any]) -> Path:
    """A finished run folder of the tiny classifier on the patterns."""
    return made_once("classified", lambda folder: train("imagenet", "tiny", small_images, folder))


@pytest.fixture(scope="session")
def motions(made_once: MadeOnce) -> Path:
    """Eight motions in UCF-101's layout, 4 clips each to train on and 2 to validate; one of each part is cut off."""
    return made_once("motions", _write_motions)


def _write_motions(folder: Path) -> None:
    write_motions(folder, "ucf101", training=4, validation=2)
    for name in ("left/v_left_g09_c01.avi", "up/v_up_g02_c01.avi"):
        path = folder / "UCF-101" / name
        path.write_bytes(path.read_bytes()[:2000])


@pytest.fixture(scope="session")
def small_clips(motions: Path) -> dict[str, Any]:
    """Overrides that make the ucf101 recipe run in seconds on the motions, with all of its random parts on."""
    return {
        "data.folder": str(motions),
        "data.max_broken_share": 0.1,
        "model.input_size": (4, 16, 16),
        "model.num_classes": 10,  # two more than there are, as the published heads have
        "model.dropout_rate": 0.1,
        "model.drop_path_rate": 0.1,
        "sampling.copies": 2,
        "augmentation.short_side": 20,
        "augmentation.rand_augment": {"operations": "pytorchvideo"},
        "augmentation.flip": 0.5,
        "augmentation.erasing": 0.25,
        "mixing": {"probability": 1.0, "mixup": 0.8, "cutmix": 1.0},
        "validation": {"short_side": 20, "test_views": 2, "test_crops": 3, "batch_size": 3},
        "run.accelerator": "cpu",
        "run.batch_size": 4,
        "run.total_batch": 8,
        "run.max_epochs": 2,
        "run.validate_every_epochs": 1,
        "run.log_every_steps": 1,
        "run.loader_processes": 1,
    }


@pytest.fixture(scope="session")
def recognised(made_once: MadeOnce, small_clips: dict[str, Any]) -> Path:
    """A finished run folder of the small network on the motions, two videos of which are broken."""
    return made_once("recognised", lambda folder: train("ucf101", "mamband-video-xs", small_clips, folder))


@pytest.fixture(scope="session")
def named_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained classifier of images that names its three classes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    metadata = WeightsMetadata(
        model="mamba2d-n",
        num_classes=3,
        in_channels=3,
        class_names=dict(enumerate(("one", "two", "three"))),
        preprocessing=asdict(ImageInput()),
        input_size=(64, 64),
    )
    save_weights(path, create_model("mamba2d-n", num_classes=3), metadata)
    return path
