"""The published variants beside the official implementation: entries, and outputs at every depth.

golden/*.keys.json and golden/*.golden.npz were written by the official code in evaluation mode, in float32 on a CPU,
with every parameter set by `filled(name, shape)` of conftest.py. A wrong LayerNorm eps alone moves the logits by 5e-5,
a wrong order, direction or skip by 0.5 and more.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medssm.models import fresh_model
from medssm.models.registry import count_parameters

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 2e-5  # of the largest value

PARAMETERS = {
    "mamband-s": 36_090_574,
    "mamband-s-plus": 54_910_798,
    "mamband-b-32": 107_296_846,
    "mamband-b-64": 138_982_798,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_entries_have_the_official_names_order_and_shapes(name):
    official = json.loads((GOLDEN / f"{name}.keys.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        state = fresh_model(name).state_dict()
    assert [[entry, list(tensor.shape), str(tensor.dtype)] for entry, tensor in state.items()] == [
        [entry, shape, f"torch.{dtype}"] for entry, shape, dtype in official
    ]


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_number_of_parameters_is_that_of_the_official_model(name, parameters):
    assert count_parameters(name) == parameters


@pytest.fixture(scope="module", params=["mamband-s", "mamband-b-32"])
def compared(request, fill, sample):
    """The golden, and what our network gives at the same points."""
    golden = np.load(GOLDEN / f"{request.param}.golden.npz")
    model = fill(fresh_model(request.param)).eval()
    points = {}
    names = {key.removeprefix("feature_").removesuffix("_mean") for key in golden if key.endswith("_mean")} - {"output"}
    for name in names - {"tokens"}:
        path = name.replace("layer", "vit.layers.")
        model.get_submodule(path).register_forward_hook(lambda _, __, output, name=name: points.update({name: output}))
    model.vit.dropout.register_forward_pre_hook(lambda _, inputs: points.update(tokens=inputs[0]))
    with torch.no_grad():
        points["output"] = model(sample(golden["input_shape"], int(golden["input_seed"])))
    assert set(points) == names | {"output"}
    return golden, {name: value.numpy() for name, value in points.items()}


def test_logits_are_those_of_the_official_model(compared):
    golden, points = compared
    logits = points["output"]
    assert logits.shape == tuple(golden["output_shape"])
    assert_close(logits[..., ::6, ::6, ::6], golden["output"])
    np.testing.assert_allclose([logits.mean(), logits.std()], [golden["output_mean"], golden["output_std"]], atol=1e-5)


def test_every_depth_is_that_of_the_official_model(compared):
    golden, points = compared
    for name, value in points.items():
        if name == "output":
            continue
        assert value.shape == tuple(golden[f"feature_{name}_shape"]), name
        flat = value.reshape(-1)
        assert_close(flat[:256], golden[f"feature_{name}"])
        assert_close(flat[:: flat.size // 256][:256], golden[f"feature_{name}_strided"])
        expected = [golden[f"feature_{name}_mean"], golden[f"feature_{name}_std"]]
        np.testing.assert_allclose([value.mean(), value.std()], expected, atol=1e-5, err_msg=name)


def assert_close(ours: np.ndarray, official: np.ndarray) -> None:
    assert np.abs(ours - official).max() <= TOLERANCE * np.abs(official).max()
