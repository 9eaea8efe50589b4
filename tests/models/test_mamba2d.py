"""Mamba2D beside the official implementation: entries, outputs at every depth, corners of the scan, positions.

golden/mamba2d-*.keys.json and golden/mamba2d-*.golden.npz were written by the official code in evaluation mode, in
float32 on a CPU, with every entry set by `filled(name, shape)` of conftest.py. float32 noise is below 1e-5 on logits,
2.5e-5 on features; a LayerNorm eps of 1e-6 in place of 1e-5 moves the logits by 5e-5.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from medssm.errors import UsageError
from medssm.models import fresh_model, list_models, model_info
from medssm.models.catalogue.mamba2d import MODELS
from medssm.models.mamba2d import Attention, Mamba2DMixer, rotary_angles, rotated
from medssm.models.registry import count_parameters

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE, FEATURE_TOLERANCE = 2e-5, 1e-4  # of the largest value

PARAMETERS = {
    "mamba2d-n": (7_178_496, 5_887_768),
    "mamba2d-t": (26_523_136, 23_418_392),
    "mamba2d-s": (50_273_636, 46_633_468),
    "mamba2d-t-v1": (26_687_880, 23_583_136),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_entries_have_the_official_names_order_and_shapes(name):
    official = json.loads((GOLDEN / f"{name}.keys.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        state = fresh_model(name).state_dict()
    assert [[entry, list(tensor.shape), str(tensor.dtype)] for entry, tensor in state.items()] == [
        [entry, shape, f"torch.{dtype}"] for entry, shape, dtype in official
    ]


@pytest.mark.parametrize(("name", "whole", "backbone"), [(name, *counts) for name, counts in PARAMETERS.items()])
def test_number_of_parameters_is_that_of_the_official_model_and_of_its_backbone(name, whole, backbone):
    assert count_parameters(name) == whole
    assert round(whole / 1e6) == model_info(name).cost.parameters
    with torch.device("meta"):
        pyramid = fresh_model(name, features_only=True)
    assert sum(parameter.numel() for parameter in pyramid.parameters()) == backbone
    assert all(entry.startswith("backbone.") for entry in pyramid.state_dict())


def assert_close(ours, official, tolerance):
    assert np.abs(ours - official).max() <= tolerance * np.abs(official).max()


def assert_is_feature(golden, name, tensor, suffix=""):
    """The first values of a map and its statistics; where they are stored, also its shape and values far apart."""
    flat = tensor.numpy().reshape(-1)
    name = f"feature_{name}{suffix}"
    assert_close(flat[:256], golden[name], FEATURE_TOLERANCE)
    if not suffix:
        assert tensor.shape == tuple(golden[f"{name}_shape"])
        spread = np.linspace(0, flat.size - 1, 256).astype(int)
        assert_close(flat[spread], golden[f"{name}_strided"], FEATURE_TOLERANCE)
    np.testing.assert_allclose([flat.mean(), flat.std()], [golden[f"{name}_mean"], golden[f"{name}_std"]], atol=1e-5)


@pytest.mark.parametrize("name", ["mamba2d-t", "mamba2d-t-v1"])
@torch.no_grad()
def test_every_depth_is_that_of_the_official_model(name, fill, sample):
    """As filled, local path and skips count little; the second golden, `_scaled`, has larger factors."""
    golden = np.load(GOLDEN / f"{name}.golden.npz")
    model = fill(fresh_model(name)).eval()
    points = {}
    stages = {f"stage{number}": stage for number, stage in enumerate(model.backbone.stages)}
    for point, layer in {"stem": model.backbone.ds["stem"], **stages}.items():
        layer.register_forward_hook(lambda _, __, output, point=point: points.update({point: output.movedim(3, 1)}))
    for suffix in ("", "_scaled"):
        if suffix:
            for entry, parameter in model.named_parameters():
                if entry.endswith(".scale"):
                    parameter.mul_(5).add_(1)
        logits = model(sample(golden["input_shape"], int(golden["input_seed"])))
        assert_close(logits.numpy(), golden[f"output{suffix}"], TOLERANCE)
        for stage in stages:
            assert_is_feature(golden, stage, points[stage], suffix)
    assert_is_feature(golden, "stem", points["stem"])


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (1, 5), (5, 1), (1, 1)])
@torch.no_grad()
def test_a_reversed_mixer_flips_the_grid_of_its_scan_but_not_of_its_convolution(shape, fill):
    forward = fill(Mamba2DMixer(32, expand=1, shares_B=False, reverse=False))
    reverse = fill(Mamba2DMixer(32, expand=1, shares_B=False, reverse=True))
    x = torch.randn(2, *shape, 32, generator=torch.Generator().manual_seed(0))
    local = forward.local_path(forward.local_norm(x))
    scanned_on_flipped = forward(x.flip(1, 2)) - forward.local_path(forward.local_norm(x.flip(1, 2)))
    torch.testing.assert_close(reverse(x), scanned_on_flipped.flip(1, 2) + local, rtol=1e-4, atol=1e-4)
    if shape != (1, 1):
        assert (reverse(x) - forward(x)).abs().max() > 1e-3


@pytest.mark.parametrize(("name", "reversed_blocks"), [("mamba2d-s", [1, 3, 5, 7, 9, 11]), ("mamba2d-t-v1", [])])
def test_the_corner_alternates_with_the_place_in_the_stage_in_the_second_release_only(name, reversed_blocks):
    with torch.device("meta"):
        stages = fresh_model(name).backbone.stages
    blocks = [layer for layer in stages[1] if hasattr(layer, "token_mixer")]
    assert [number for number, block in enumerate(blocks) if block.token_mixer.reverse] == reversed_blocks
    assert not stages[0][0].token_mixer.reverse


@torch.no_grad()
def test_a_mixer_is_the_recurrence_of_its_projections_cell_by_cell(fill):
    """In plain loops in float64: two step sizes, two B, the half inside the grid, no half at its edges."""
    mixer = fill(Mamba2DMixer(16, expand=2, shares_B=False, reverse=False)).double()
    height, width = 4, 3
    x = torch.randn(height, width, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u = functional.gelu(mixer.in_proj(x))
    low_T, low_L, BT, BL, C = mixer.x_proj(u).split([1, 1, 16, 16, 16], dim=-1)
    dT, dL = functional.softplus(mixer.dt_projT(low_T)), functional.softplus(mixer.dt_projL(low_L))
    AT, AL = -mixer.AT_log.exp(), -mixer.AL_log.exp()
    h, y = {}, torch.zeros_like(u)
    for i in range(height):
        for j in range(width):
            top = (dT[i, j] * u[i, j])[:, None] * BT[i, j]
            left = (dL[i, j] * u[i, j])[:, None] * BL[i, j]
            if i:
                top = top + (dT[i, j][:, None] * AT).exp() * h[i - 1, j]
            if j:
                left = left + (dL[i, j][:, None] * AL).exp() * h[i, j - 1]
            h[i, j] = (top + left) / 2 if i and j else top if i else left
            y[i, j] = h[i, j] @ C[i, j] + mixer.D * u[i, j]
    expected = mixer.out_proj(functional.gelu(y)) + mixer.local_path(mixer.local_norm(x[None]))[0]
    torch.testing.assert_close(mixer(x[None])[0], expected, rtol=1e-5, atol=1e-6)  # A is float32


def test_positions_turn_the_first_half_of_a_head_by_rows_and_the_other_by_columns():
    x = torch.zeros(6, 32)
    x[:, [0, 2, 16, 30]] = 1.0
    turned = rotated(x, rotary_angles(2, 3))[5]  # row 1, column 2
    slowest = 10000 ** (-7 / 8)
    for place, angle in {0: 1.0, 2: 10000 ** (-1 / 8), 16: 2.0, 30: 2 * slowest}.items():
        torch.testing.assert_close(turned[place : place + 2], torch.tensor([np.cos(angle), np.sin(angle)]).float())


@torch.no_grad()
def test_attention_of_the_second_release_knows_positions_and_that_of_the_first_does_not(fill):
    x = torch.randn(1, 3, 4, 64, generator=torch.Generator().manual_seed(0))
    for rotary in (False, True):
        attention = fill(Attention(64, rotary))
        difference = attention(x.flip(1)).flip(1) - attention(x)
        assert (difference.abs().max() > 1e-2) == rotary


def test_starting_values_are_the_published_ones():
    torch.manual_seed(0)
    mixer = fresh_model("mamba2d-t-v1").backbone.stages[1][0].token_mixer
    for logarithms in (mixer.AT_log, mixer.AL_log):
        torch.testing.assert_close(logarithms.exp(), torch.arange(1.0, 17).expand(256, 16))
    assert torch.equal(mixer.dt_projT.bias, mixer.dt_projL.bias)
    assert not torch.equal(mixer.dt_projT.weight, mixer.dt_projL.weight)
    dt = functional.softplus(mixer.dt_projT.bias)
    assert 1e-3 * 0.999 <= dt.min() < 1.2e-3
    assert 0.08 < dt.max() <= 0.1001
    for projection in (mixer.dt_projT, mixer.dt_projL):
        assert 0.98 * 8**-0.5 < projection.weight.abs().max() <= 8**-0.5
    assert (mixer.local_path.act1.scale.item(), mixer.local_path.act1.bias.item()) == (1, 0)


@pytest.mark.parametrize(("name", "rate", "dropout"), [("n", 0, 0), ("t", 0.175, 0.15), ("s", 0.4, 0.4)])
def test_stochastic_depth_grows_linearly_and_dropout_is_the_published_rate(name, rate, dropout):
    with torch.device("meta"):
        model = fresh_model(f"mamba2d-{name}")
    rates = [module.drop_prob for module in model.modules() if type(module).__name__ == "DropPath"]
    assert rates == pytest.approx(np.linspace(0, rate, len(rates)).tolist())
    assert model.head.head_drop.p == dropout


@pytest.mark.parametrize(
    ("size", "cells"),
    [
        ((250, 13), [(62, 3), (31, 2), (16, 1), (8, 1)]),
        ((3, 3), [(1, 1)] * 4),
        ((40, 6), [(10, 1), (5, 1), (3, 1), (2, 1)]),
    ],
)
@torch.no_grad()
def test_the_stem_rounds_down_and_later_steps_up(size, cells):
    model = fresh_model("mamba2d-n", features_only=True).eval()
    assert [tuple(level.shape[2:]) for level in model(torch.randn(1, 3, *size))] == cells


def test_an_image_without_a_token_is_told_what_is_needed():
    with pytest.raises(UsageError, match="2x64 pixels is too small for Mamba2D; give it 3x3 or more"):
        fresh_model("mamba2d-n")(torch.zeros(1, 3, 2, 64))


def test_weights_are_found_at_the_published_places_and_no_licence_is_claimed():
    assert {info.name for info in MODELS} <= set(list_models("classification"))
    urls = {info.name: info.weights.url for info in MODELS}
    releases = "https://github.com/cocoalex00/Mamba2D/releases/download"
    assert urls["mamba2d-s"] == f"{releases}/v2.0.0/M2D-S-backbone.ckpt"
    assert urls["mamba2d-t-v1"] == f"{releases}/v1.0.0/M2D-T-ImNet-300-ep-EMA.ckpt"
    assert all("no licence file" in info.weights.licence for info in MODELS)
    assert {info.name: info.result.value for info in MODELS} == {
        "mamba2d-n": 79.6,
        "mamba2d-t": 84.0,
        "mamba2d-s": 85.3,
        "mamba2d-t-v1": 82.4,
    }
