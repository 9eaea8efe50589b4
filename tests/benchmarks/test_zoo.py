"""The table of networks: what it counts, and the errors that it reports."""

from pathlib import Path

import numpy as np
import pytest
import torch

from medssm.benchmarks.dense_zoo import HEADINGS as DENSE_HEADINGS
from medssm.benchmarks.dense_zoo import dense_table, measure_dense_zoo
from medssm.benchmarks.golden import dense_error, fill, golden_error, normal
from medssm.benchmarks.zoo import HEADINGS, measure_zoo, zoo_table
from medssm.models import fresh_model

GOLDENS = Path(__file__).parents[1] / "models" / "golden"


def test_a_row_sets_our_counts_beside_the_published_ones():
    [row] = measure_zoo(["mamba_vision_T"], speed=False)
    table = dict(zip(enumerate(HEADINGS), row.cells(), strict=True))
    assert list(table.values())[:7] == ["`mambavision-t`", "31.79", "31.8", "4.46", "4.4", "–", "–"]
    assert "top-1 82.3" in row.cells()[7]
    assert zoo_table([row]).splitlines()[2].startswith("| `mambavision-t` | 31.79 |")


def test_the_error_is_that_of_the_worst_logit(tmp_path):
    torch.manual_seed(0)
    image = torch.from_numpy(normal(3, (1, 3, 224, 224)))
    with torch.no_grad():
        logits = fill(fresh_model("groupmamba-t")).eval()(image).numpy()
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


def test_a_detector_has_one_row_for_its_schedules():
    rows = measure_dense_zoo(["spatialmamba-t"])
    [detector, segmenter] = [dict(zip(enumerate(DENSE_HEADINGS), row.cells(), strict=True)) for row in rows]
    assert list(detector.values())[:7] == ["`spatialmamba-t`", "Mask R-CNN", "46.4", "46", "261", "261", "800x1280"]
    assert rows[0].cells()[8] == "box AP 47.6, mask AP 42.9 (1x); box AP 49.3, mask AP 43.6 (3x)"
    assert list(segmenter.values())[4:7] == ["936", "936", "512x2048"]
    assert "arXiv:2410.15091" in rows[1].cells()[9]


def test_reasons_of_differences_stand_below_the_table():
    table, reasons = dense_table(measure_dense_zoo(["mambavision-t"])).split("\n\n")
    assert len(table.splitlines()) == 4
    assert reasons.startswith("- `mambavision-t`, Cascade Mask R-CNN: counted without the padding of windows")


def test_outputs_of_a_detector_are_those_of_its_golden():
    assert 0 < dense_error("spatialmamba-t", "mask-rcnn", GOLDENS) < 1e-4
    assert dense_error("mambavision-t", "cascade-mask-rcnn", GOLDENS) is None


def test_the_error_of_a_segmenter_is_that_of_its_worst_output(tmp_path):
    name = "spatial_mamba-upernet_tiny.balanced.golden.npz"
    golden = dict(np.load(GOLDENS / name))
    golden["auxiliary_output"] = golden["auxiliary_output"].copy()
    golden["auxiliary_output"][0, 3, 0, 0] += 0.01 * np.abs(golden["auxiliary_output"]).max()
    np.savez(tmp_path / name, **golden)
    assert dense_error("spatialmamba-t", "upernet", tmp_path) == pytest.approx(0.01, rel=0.05)
