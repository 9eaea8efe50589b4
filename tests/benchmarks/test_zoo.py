"""The table of networks: what it counts, and the errors that it reports."""

from pathlib import Path

import numpy as np
import pytest
import torch

from medssm.benchmarks.golden import fill, golden_error, normal
from medssm.benchmarks.zoo import HEADINGS, markdown, measure_zoo
from medssm.models import create_model

GOLDENS = Path(__file__).parents[1] / "models" / "golden"


def test_a_row_sets_our_counts_beside_the_published_ones():
    [row] = measure_zoo(["mamba_vision_T"], speed=False)
    table = dict(zip(enumerate(HEADINGS), row.cells(), strict=True))
    assert list(table.values())[:7] == ["`mambavision-t`", "31.79", "31.8", "4.46", "4.4", "–", "–"]
    assert "top-1 82.3" in row.cells()[7]
    assert markdown([row]).splitlines()[2].startswith("| `mambavision-t` | 31.79 |")


def test_the_error_is_that_of_the_worst_logit(tmp_path):
    torch.manual_seed(0)
    image = torch.from_numpy(normal(3, (1, 3, 224, 224)))
    with torch.no_grad():
        logits = fill(create_model("groupmamba-t")).eval()(image).numpy()
    logits[0, 7] += 0.01 * np.abs(logits).max()
    path = tmp_path / "group_mamba-tiny.golden.npz"
    np.savez(path, input_shape=image.shape, input_seed=3, output=logits)
    assert golden_error("groupmamba-t", tmp_path) == pytest.approx(0.01, rel=0.02)
    assert golden_error("groupmamba-s", tmp_path) is None


def test_the_goldens_of_the_project_are_found():
    files = {path.name for path in GOLDENS.glob("*.golden.npz")}
    for name in ("group_mamba-tiny", "spatial_mamba-tiny", "mamba_vision_T", "mamba2d-t", "mamband2d-s"):
        assert f"{name}.golden.npz" in files
    assert golden_error("mambavision-t", GOLDENS) < 1e-5
