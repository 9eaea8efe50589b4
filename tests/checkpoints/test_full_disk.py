"""Weights that do not fit on the disk."""

import errno
import resource
from pathlib import Path

import pytest
import torch

from medssm.checkpoints import WeightsMetadata, save_weights


def test_weights_that_do_not_fit_leave_the_earlier_ones_and_say_so(tmp_path: Path) -> None:
    metadata = WeightsMetadata(model="mamband-xs", num_classes=2, in_channels=1, input_size=(8, 8, 8))
    path = tmp_path / "best.safetensors"
    save_weights(path, {"a": torch.zeros(10)}, metadata)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"best\.safetensors") as caught:
            save_weights(path, {"a": torch.zeros(10_000)}, metadata)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["best.safetensors"]
