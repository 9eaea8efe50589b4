"""The mean of several networks."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from medssm.errors import UsageError
from medssm.tasks.segmentation.ensemble import MeanOfNetworks, members_of


class Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, windows: Tensor) -> Tensor:
        return torch.cat([windows, self.factor * windows, -windows], dim=1)


def test_the_scores_are_the_logarithm_of_the_mean_probability() -> None:
    windows = 30 * torch.randn(2, 1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    networks = [Scaled(factor) for factor in (0.5, -2.0, 3.0)]
    expected = torch.stack([network(windows).double().softmax(1) for network in networks]).mean(0)
    torch.testing.assert_close(MeanOfNetworks(networks)(windows).softmax(1).double(), expected, atol=1e-6, rtol=1e-4)


def test_scores_that_are_no_numbers_stay_so() -> None:
    windows = torch.full((1, 1, 1, 1, 1), torch.nan)
    assert MeanOfNetworks([Scaled(1.0), Scaled(2.0)])(windows).isnan().all()


def test_a_folder_stands_for_its_trained_folds_in_their_order(tmp_path: Path) -> None:
    for name in ("fold10", "fold2", "foldx"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.safetensors").touch()
    (tmp_path / "fold3").mkdir()
    assert members_of(tmp_path) == [tmp_path / "fold2", tmp_path / "fold10"]
    assert members_of(tmp_path, [10]) == [tmp_path / "fold10"]
    assert members_of(tmp_path / "fold2") == [tmp_path / "fold2"]
    with pytest.raises(UsageError, match="has no trained fold 3; there are 2, 10"):
        members_of(tmp_path, [3])
    with pytest.raises(UsageError, match="holds no folds, so there is no fold 0"):
        members_of(tmp_path / "fold2", [0])
