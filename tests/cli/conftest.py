"""What the tests of several commands share: typing a command, and photographs to give to it."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medssm.checkpoints import WeightsMetadata, create_model, save_weights
from medssm.cli.errors import run
from medssm.cli.main import build_app
from medssm.data.scans.preprocessing import Preprocessing


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """A function that types a command and gives its exit code."""

    def type_command(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["medssm", *map(str, arguments)])
        for function in ("keep_freed_memory", "return_freed_memory"):
            monkeypatch.setattr(f"medssm.allocator.{function}", lambda: True)
        with pytest.raises(SystemExit) as ended:
            run(build_app())
        return int(ended.value.code or 0)

    return type_command


@pytest.fixture
def typed_here(typed: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """The same in an empty folder, `here`, on the CPU."""

    def type_command(*arguments: object) -> int:
        (tmp_path / "here").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "here")
        return typed(*arguments, "--device", "cpu")

    return type_command


@pytest.fixture
def photograph() -> Callable[..., Path]:
    """A function that writes an image of noise, 100 by 140 pixels, in any mode and format."""

    def write(path: Path, seed: int, mode: str = "RGB", **options: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(seed).integers(0, 256, (100, 140, 3), dtype=np.uint8)
        if mode == "I;16":
            Image.fromarray(values[..., 0].astype(np.uint16) * 257).save(path)
        else:
            Image.fromarray(values).convert(mode).save(path, **options)  # type: ignore[arg-type]
        return path

    return write


@pytest.fixture
def image(photograph: Callable[..., Path], tmp_path: Path) -> Path:
    return photograph(tmp_path / "photo [1].jpg", 0)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained segmenter of scans with two organs."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "best.safetensors"
    metadata = WeightsMetadata(
        model="mamband-xs",
        num_classes=3,
        in_channels=1,
        class_names={0: "background", 1: "right lump", 2: "left lump"},
        preprocessing=Preprocessing(spacing=(6.0, 6.0, 6.0)).model_dump(),  # few windows
        input_size=(24, 24, 24),
        flips={"z": "as-published"},
    )
    save_weights(path, create_model("mamband-xs", num_classes=3), metadata)
    return path
