"""A short run of the btcv recipe on a small dataset, shared by the tests that look at it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medssm.recipes import train


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
