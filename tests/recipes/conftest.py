"""Short runs of the recipes on small datasets, shared by the tests that look at them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medssm.data.shapes import write_shapes
from medssm.models import registry
from medssm.recipes import train

sys.path.insert(0, str(Path(__file__).parent))
from tiny_classifier import tiny_info


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDSSM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def small_recipe() -> dict[str, Any]:
    """Overrides that make the btcv recipe run in seconds on the cubes."""
    return {
        "model.num_classes": 3,
        "augmentation.crops.size": (16, 16, 16),
        "run.max_steps": 40,
        "run.validate_every_steps": 20,
        "run.accelerator": "cpu",
    }


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, cube_dataset: Path, small_recipe: dict[str, Any]) -> Path:
    """A finished run folder of mamband-xs on the cubes."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    train("btcv", "mamband-xs", {**small_recipe, "data.folder": str(cube_dataset)}, folder)
    return folder


@pytest.fixture(scope="module")
def tiny_models() -> Iterator[None]:
    """The models "tiny" and "tiny-distilled" can be created and trained."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("tiny", "tiny-distilled"):
            patch.setitem(registry._MODELS, name, tiny_info(name, name == "tiny-distilled"))
        yield


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes of patterns: 8 images each to train on, 3 to validate."""
    folder = tmp_path_factory.mktemp("shapes") / "data"
    write_shapes(folder, training=8, validation=3)
    return folder


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
def classified(tmp_path_factory: pytest.TempPathFactory, tiny_models: None, small_images: dict[str, Any]) -> Path:
    """A finished run folder of the tiny classifier on the patterns."""
    folder = tmp_path_factory.mktemp("classified") / "run"
    train("imagenet", "tiny", small_images, folder)
    return folder
