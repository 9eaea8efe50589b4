"""Spatial-Mamba beside the official implementation, and what the goldens cannot see.

golden/spatial_mamba-*.keys.json and *.golden.npz were written by the official code in evaluation mode, in float32 on a
CPU, with every entry set by `filled(name, shape)` of conftest.py. That makes the state fusion nearly vanish and the
features grow; the `balanced` goldens have alpha near 1 and position convolutions a tenth as strong.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from medssm.models import fresh_model, model_info
from medssm.models.registry import count_parameters
from medssm.models.spatial_mamba import SpatialMambaMixer

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 2e-5  # of the largest value

# Parameters of the classifier, and of the dense backbone.
PARAMETERS = {
    "tiny": ("spatialmamba-t", 26_748_862, 26_236_758),
    "small": ("spatialmamba-s", 43_074_280, 42_562_176),
    "base": ("spatialmamba-b", 95_745_592, 94_977_936),
}


@pytest.mark.parametrize("variant", PARAMETERS)
@pytest.mark.parametrize("network", ["", "backbone_"])
def test_entries_have_the_official_names_order_and_shapes(network, variant):
    official = json.loads((GOLDEN / f"spatial_mamba-{network}{variant}.keys.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        state = fresh_model(PARAMETERS[variant][0], features_only=bool(network)).state_dict()
    assert [[entry, list(tensor.shape), str(tensor.dtype)] for entry, tensor in state.items()] == [
        [entry, shape, f"torch.{dtype}"] for entry, shape, dtype in official
    ]


@pytest.mark.parametrize(("name", "whole", "backbone"), PARAMETERS.values())
def test_number_of_parameters_is_that_of_the_official_model(name, whole, backbone):
    with torch.device("meta"):
        features = fresh_model(name, features_only=True)
    assert count_parameters(name) == whole
    assert sum(parameter.numel() for parameter in features.parameters()) == backbone


@pytest.mark.parametrize("name", ["Spatial-Mamba-T", "spatialmamba_tiny"])
def test_the_spellings_of_paper_and_code_are_known(name):
    assert model_info(name).name == "spatialmamba-t"


def balance(model):
    """From the plain fill to the balanced one."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("state_fusion.alpha"):
                parameter.mul_(5).add_(1)
            if name.endswith(("cpe1.weight", "cpe2.weight")):
                parameter.mul_(0.1)


def watched(model):
    """A dictionary that takes the tensors at the golden's points, on every forward pass."""
    points = {}

    def watch(path, name):
        model.get_submodule(path).register_forward_hook(
            lambda _, inputs, output: points.update({f"{name}.in": inputs[0], f"{name}.out": output, name: output})
        )

    watch("patch_embed", "feature_stem")
    for stage, layer in enumerate(model.layers):
        watch(f"layers.{stage}.blocks.{len(layer.blocks) - 1}", f"feature_stage{stage}")
        watch(f"layers.{stage}.downsample", f"feature_downsample{stage}")
    for path, _ in model.layers[0].blocks[0].named_modules(prefix="layers.0.blocks.0"):
        watch(path, f"trace.{path}")
    watch("norm", "feature_norm")
    model.head.register_forward_pre_hook(lambda _, inputs: points.update(feature_pool=inputs[0]))
    return points


@pytest.fixture(scope="module", params=["tiny", "base"])
def compared(request, fill, sample):
    """For each fill: the golden, and what our network gives at the same points."""
    model = fill(fresh_model(PARAMETERS[request.param][0])).eval()
    points = watched(model)
    outcomes = {}
    for filling in ("", ".balanced"):
        if filling:
            balance(model)
        golden = np.load(GOLDEN / f"spatial_mamba-{request.param}{filling}.golden.npz")
        with torch.no_grad():
            points["output"] = model(sample(golden["input_shape"], int(golden["input_seed"])))
        outcomes[filling] = golden, dict(points)
    return outcomes


@pytest.mark.few("tiny-", "tiny-.balanced")
@pytest.mark.parametrize("filling", ["", ".balanced"])
def test_every_depth_and_the_logits_are_those_of_the_official_model(compared, filling):
    golden, points = compared[filling]
    keys = [key.removesuffix("_shape") for key in golden if key.endswith("_shape") and key != "input_shape"]
    assert len(keys) == 26
    for key in keys:
        assert_depth_close(points[key], golden, key)
    np.testing.assert_allclose(points["output"], golden["output"], rtol=0, atol=TOLERANCE * abs(golden["output"]).max())


def test_the_pyramid_is_that_of_the_official_dense_backbone(fill, sample):
    golden = np.load(GOLDEN / "spatial_mamba-backbone_tiny.balanced.golden.npz")
    model = fill(fresh_model("spatialmamba-t", features_only=True)).eval()
    balance(model)
    with torch.no_grad():
        pyramid = model(sample(golden["input_shape"], int(golden["input_seed"])))
    for level, value in enumerate(pyramid):
        assert_depth_close(value, golden, f"output{level}")


def assert_depth_close(value, golden, key):
    """The first values, the mean and the spread, beside the larger of the spread and the largest value stored."""
    shape = tuple(golden[f"{key}_shape"])
    if value.ndim == len(shape) == 4 and value.shape != shape:
        value = value.permute(0, 3, 1, 2)
    flat = value.numpy().reshape(shape).reshape(-1)
    ours = np.array([*flat[:256], flat.mean(), flat.std()])
    official = np.array([*golden[key].reshape(-1)[:256], golden[f"{key}_mean"], golden[f"{key}_std"]])
    assert np.abs(ours - official).max() <= TOLERANCE * np.abs(official).max(), key


@pytest.mark.parametrize("size", [(225, 150), (33, 90)])
def test_maps_of_odd_sizes_are_halved_upwards(size):
    model = fresh_model("spatialmamba-t", features_only=True).eval()
    with torch.no_grad():
        pyramid = model(torch.randn(1, 3, *size))
    for level, stride in zip(pyramid, (4, 8, 16, 32), strict=True):
        assert tuple(level.shape[2:]) == tuple(-(-n // stride) for n in size)


def test_a_mixer_on_a_rectangle_is_its_equations():
    """Token by token and cell by cell, as the paper writes them."""
    torch.manual_seed(0)
    height, width, channels = 3, 7, 5
    mixer = SpatialMambaMixer(channels).double()
    with torch.no_grad():
        for parameter in (mixer.A_logs, mixer.Ds, *mixer.state_fusion.parameters()):
            parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.randn(2, height, width, channels, dtype=torch.float64)
    u, z = (x @ mixer.in_proj.weight.T).split(2 * channels, dim=-1)
    u = functional.silu(mixer.conv2d(u.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
    low_rank, B, C = (u @ mixer.x_proj_weight.T).split([mixer.dt_rank, 1, 1], dim=-1)
    dt = functional.softplus(low_rank @ mixer.dt_projs_weight.T + mixer.dt_projs_bias)
    h, states = torch.zeros(2, 2 * channels, dtype=torch.float64), torch.zeros_like(u)
    for i, j in np.ndindex(height, width):
        h = (-dt[:, i, j] * mixer.A_logs[:, 0].exp()).exp() * h + dt[:, i, j] * B[:, i, j] * u[:, i, j]
        states[:, i, j] = h
    fusion = mixer.state_fusion
    kernels = (fusion.kernel_3, fusion.kernel_3_1, fusion.kernel_3_2)
    fused = torch.zeros_like(u)
    for (i, j), (k, p, q) in [(cell, tap) for cell in np.ndindex(height, width) for tap in np.ndindex(3, 3, 3)]:
        row = min(max(i + (1, 3, 5)[k] * (p - 1), 0), height - 1)
        column = min(max(j + (1, 3, 5)[k] * (q - 1), 0), width - 1)
        fused[:, i, j] += fusion.alpha[k] * kernels[k][:, 0, p, q] * states[:, row, column]
    y = mixer.out_norm(C * fused + mixer.Ds * u) * functional.silu(z)
    torch.testing.assert_close(mixer(x), y @ mixer.out_proj.weight.T)


def test_evaluation_follows_every_change_of_the_fusion_and_has_a_gradient():
    """The original merges its kernels at the first evaluation and keeps them, whatever becomes of the weights."""
    torch.manual_seed(0)
    mixer = SpatialMambaMixer(4).eval()
    x = torch.randn(1, 5, 6, 4)
    before = mixer(x)
    with torch.no_grad():
        mixer.state_fusion.kernel_3_2[:, :, 0, 1] += 3
    after = mixer(x)
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, mixer.train()(x))
    after.square().sum().backward()
    assert all(parameter.grad.any() for parameter in mixer.parameters())


def test_layers_start_with_the_published_values():
    torch.manual_seed(0)
    model = fresh_model("spatialmamba-t")
    mixer = model.layers[3].blocks[0].self_attention
    assert not mixer.A_logs.any()
    assert all(torch.equal(parameter, torch.ones_like(parameter)) for parameter in mixer.state_fusion.parameters())
    assert torch.equal(mixer.Ds, torch.ones(1024))
    assert mixer.x_proj_weight.abs().max().item() == pytest.approx(1024**-0.5, rel=0.01)
    assert mixer.dt_projs_weight.abs().max().item() == pytest.approx(32**-0.5, rel=0.01)
    dt = functional.softplus(mixer.dt_projs_bias)
    assert 1e-3 * 0.999 <= dt.min() < 1.2e-3
    assert 0.08 < dt.max() <= 0.1001
    for layer in (mixer.in_proj, mixer.out_proj, model.layers[3].blocks[0].mlp.fc1, model.head):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.02)
        assert layer.bias is None or not layer.bias.any()
    assert model.patch_embed.conv3[0].conv.weight.abs().max().item() == pytest.approx((9 * 32) ** -0.5, rel=0.01)


@pytest.mark.parametrize(("name", "blocks", "rate"), [("spatialmamba-t", 18, 0.2), ("spatialmamba-b", 32, 0.5)])
def test_stochastic_depth_grows_linearly_over_all_blocks(name, blocks, rate):
    with torch.device("meta"):
        layers = fresh_model(name).layers
    rates = [block.drop_path.drop_prob for layer in layers for block in layer.blocks]
    assert rates == pytest.approx(torch.linspace(0, rate, blocks).tolist())
