"""GroupMamba beside the official implementation, and what the goldens cannot see.

golden/group_mamba-*.keys.json and *.golden.npz were written by the official code in evaluation mode, in float32 on a
CPU, with every entry set by `filled(name, shape)` of conftest.py. Two more fills make the recurrence count (`_scan`)
and the residual stream small, so that the eps of every norm shows (`_small`). Exchanging two orders moves the logits by
0.08 to 0.5, a wrong eps of a block's norm by 0.27 in `_small`.
"""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from medssm.kernels import selective_scan
from medssm.models import fresh_model, model_info
from medssm.models.group_mamba import _T, GroupMamba, GroupMambaMixer, GroupScan, with_both_heads
from medssm.models.info import Options
from medssm.models.mixer import ScanOrder
from medssm.models.registry import count_parameters

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 5e-5  # of the largest value

# Parameters of the classifier, and of the pyramid: without class block and heads, with all four norms.
PARAMETERS = {
    "tiny": ("groupmamba-t", 23_361_917, 20_462_224),
    "small": ("groupmamba-s", 34_781_555, 31_143_298),
    "base": ("groupmamba-b", 57_150_838, 53_512_581),
}
FILLS = ("", "_scan", "_small")
SHRUNK = re.compile(r"patch_embed\d\.norm\.|\.attn\.proj\.|\.mlp\.fc2\.|post_network\.0\.norm1\.")


@pytest.mark.parametrize("variant", PARAMETERS)
def test_entries_have_the_official_names_order_and_shapes(variant):
    official = json.loads((GOLDEN / f"group_mamba-{variant}.keys.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        state = fresh_model(PARAMETERS[variant][0]).state_dict()
    assert [[entry, list(tensor.shape), str(tensor.dtype)] for entry, tensor in state.items()] == [
        [entry, shape, f"torch.{dtype}"] for entry, shape, dtype in official
    ]


@pytest.mark.parametrize(("name", "whole", "pyramid"), PARAMETERS.values())
def test_number_of_parameters_is_that_of_the_official_model(name, whole, pyramid):
    with torch.device("meta"):
        features = fresh_model(name, features_only=True)
    assert count_parameters(name) == whole
    assert sum(parameter.numel() for parameter in features.parameters()) == pyramid


@pytest.mark.parametrize("name", ["groupmamba_tiny", "GroupMamba-T", "GroupMamba-Tiny"])
def test_the_spellings_of_paper_and_code_are_known(name):
    assert model_info(name).name == "groupmamba-t"


def refill(model, suffix):
    """From one fill to the next: the plain one, `_scan`, `_small`."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if suffix == "_scan" and name.endswith(("x_proj_weight", "dt_projs_weight")):
                parameter.mul_(math.sqrt(parameter.shape[1]))
            if suffix == "_scan" and name.endswith("dt_projs_bias"):
                parameter.mul_(0.25)
            if suffix == "_small" and SHRUNK.search(name):
                parameter.mul_(0.01)


def watched(model):
    """A dictionary that takes the tensors at the golden's points, on every forward pass."""
    points = {}

    def watch(path, point):
        def keep(_, inputs, output):
            call = ".call2" if f"{point}.out" in points and point.startswith("trace") else ""
            output = output[0] if isinstance(output, tuple) else output
            points[f"{point}.in{call}"], points[f"{point}.out{call}"] = inputs[0], output
            points.setdefault(point, output)

        model.get_submodule(path).register_forward_hook(keep)

    watch("patch_embed1", "feature_stem")
    for stage, blocks in enumerate([model.block1, model.block2, model.block3, model.block4]):
        watch(f"block{stage + 1}.{len(blocks) - 1}", f"feature_stage{stage}")
        if stage < 3:
            watch(f"norm{stage + 1}", f"feature_stagenorm{stage}")
            watch(f"patch_embed{stage + 2}", f"feature_downsample{stage}")
    watch("post_network.0", "feature_token")
    watch("norm4", "feature_norm")
    for name, _ in model.block1[0].named_modules(prefix="block1.0"):
        watch(name, f"trace.{name}")
    for head in ("head", "dist_head"):
        watch(head, head)
    return points


@pytest.fixture(scope="module", params=["tiny", "small"])
def compared(request, fill, sample):
    """The golden, and for each fill what our network gives at the same points."""
    golden = np.load(GOLDEN / f"group_mamba-{request.param}.golden.npz")
    image = sample(golden["input_shape"], int(golden["input_seed"]))
    model = fill(fresh_model(PARAMETERS[request.param][0])).eval()
    points = watched(model)
    outcomes = {}
    for suffix in FILLS:
        points.clear()
        refill(model, suffix)
        with torch.no_grad():
            points["output"] = model(image)
        points["feature_post"] = torch.cat([points["feature_token"], points["feature_stage3"]], dim=1)
        outcomes[suffix] = {name: value.numpy() for name, value in points.items()}
    return golden, outcomes


@pytest.mark.few(*(f"tiny-{suffix}" for suffix in FILLS))
@pytest.mark.parametrize("suffix", FILLS)
def test_every_depth_and_the_logits_are_those_of_the_official_model(compared, suffix):
    golden, outcomes = compared
    points = outcomes[suffix]
    shapes = [key.removesuffix("_shape") for key in golden if key.endswith("_shape") and key != "input_shape"]
    keys = [key for key in shapes if key.endswith(suffix) and (suffix or not key.endswith(FILLS[1:]))]
    assert len(keys) == (15 if suffix else 15 + 35)
    for key in keys:
        value = points[key.removesuffix(suffix)].reshape(golden[f"{key}_shape"])
        flat = value.reshape(-1)
        assert_close(flat[:256], golden[key], key)
        if not key.startswith("trace"):
            places = np.linspace(0, flat.size - 1, 256).astype(int)
            assert_close(flat[places] if flat.size > 256 else flat, golden[f"{key}_strided"], key)
        expected = [golden[f"{key}_mean"], golden[f"{key}_std"]]
        assert_close(np.array([flat.mean(), flat.std()]), np.array(expected), key)
    assert_close(points["output"], golden[f"output{suffix}"], "output")


def assert_close(ours, official, key):
    assert ours.shape == official.shape, key
    assert np.abs(ours - official).max() <= TOLERANCE * np.abs(official).max(), key


def visited(group, place, height, width):
    """(row, column) of the cell that a group visits as the `place`-th, as the paper's table has it."""
    if group >= 3:
        return visited(group - 2, height * width - 1 - place, height, width)
    return (place // width, place % width) if group == 1 else (place % height, place // height)


@pytest.mark.parametrize("group", [1, 2, 3, 4])
def test_each_group_visits_a_grid_that_is_not_square_in_its_own_order(group):
    """The scan beside one along a line, of tokens put in order one by one."""
    torch.manual_seed(group)
    height, width, channels = 3, 5, 6
    scan = GroupMambaMixer(4 * channels).get_submodule(f"mamba_g{group}").double()
    x = torch.randn(2, height * width, channels, dtype=torch.float64)
    a, z = (x @ scan.in_proj.weight.T).split(channels, dim=-1)
    cells = functional.silu(scan.conv2d(a.mT.reshape(2, channels, height, width)))
    order = [visited(group, place, height, width) for place in range(height * width)]
    u = torch.stack([cells[:, :, row, column] for row, column in order], dim=-1)
    rank = scan.dt_rank
    r, B, C = (scan.x_proj_weight[0] @ u).split([rank, 1, 1], dim=1)
    dt = functional.softplus(scan.dt_projs_weight[0] @ r + scan.dt_projs_bias[0, :, None])
    y = selective_scan(u, dt, -scan.A_logs.exp(), B, C, scan.Ds, backend="reference")
    placed = torch.empty_like(y)
    for place, (row, column) in enumerate(order):
        placed[:, :, row * width + column] = y[:, :, place]
    expected = (scan.out_norm(placed.mT) * functional.silu(z)) @ scan.out_proj.weight.T
    torch.testing.assert_close(scan(x, (height, width)), expected)


def test_training_gives_both_heads_and_evaluation_their_mean():
    torch.manual_seed(0)
    model = fresh_model("groupmamba-t", num_classes=5, drop_path_rate=0.0)
    image = torch.randn(2, 3, 40, 56)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # running statistics become those of the batch, but for the unbiased variance
    with torch.no_grad():
        logits, distilled = model(image)
        averaged = model.eval()(image)
    assert logits.shape == distilled.shape == averaged.shape == (2, 5)
    assert not torch.allclose(logits, distilled)
    torch.testing.assert_close(averaged, (logits + distilled) / 2, rtol=0, atol=0.02 * averaged.abs().max().item())


def test_without_a_teacher_there_is_one_head():
    with torch.device("meta"):
        model = GroupMamba(replace(_T, is_distilled=False), Options(3, 1000))
        logits = model(torch.empty(2, 3, 32, 32))
    assert sum(parameter.numel() for parameter in model.parameters()) == 22_912_917
    assert logits.shape == (2, 1000)


def test_weights_of_one_head_give_the_logits_of_that_head():
    torch.manual_seed(0)
    single = GroupMamba(replace(_T, is_distilled=False), Options(3, 5)).eval()
    model = fresh_model("groupmamba-t", num_classes=5).eval()
    model.load_state_dict(with_both_heads(single.state_dict()))
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(image), single(image))


def test_weights_of_two_heads_are_taken_as_they_are():
    state = {name: torch.randn(3) for name in ("head.bias", "dist_head.bias", "norm4.bias")}
    assert with_both_heads(state) == state


def test_scans_start_with_the_published_values():
    torch.manual_seed(0)
    scan = GroupScan(512, ScanOrder((0, 1), False))
    assert not scan.A_logs.any()
    assert torch.equal(scan.Ds, torch.ones(512))
    assert scan.x_proj_weight.abs().max().item() == pytest.approx(512**-0.5, rel=0.01)
    assert scan.dt_projs_weight.abs().max().item() == pytest.approx(32**-0.5, rel=0.01)
    dt = functional.softplus(scan.dt_projs_bias)
    assert 1e-3 * 0.999 <= dt.min() < 1.2e-3
    assert 0.08 < dt.max() <= 0.1001


def test_layers_start_with_the_published_spread():
    torch.manual_seed(0)
    model = fresh_model("groupmamba-t")
    block = model.block3[0]
    spread = {
        block.mlp.fc1: 0.02,
        block.attn.mamba_g1.in_proj: 0.02,
        model.dist_head: 0.02,
        block.mlp.dwconv.dwconv: math.sqrt(2 / 9),
        block.attn.mamba_g1.conv2d: math.sqrt(2 / 9),
        model.patch_embed1.conv[3]: math.sqrt(2 / (9 * 32)),
        model.patch_embed3.proj: math.sqrt(2 / (9 * 348)),
    }
    for layer, std in spread.items():
        assert layer.weight.std().item() == pytest.approx(std, rel=0.1)
        assert layer.bias is None or not layer.bias.any()


def test_stochastic_depth_grows_linearly_over_all_blocks():
    model = fresh_model("groupmamba-b")
    blocks = [*model.block1, *model.block2, *model.block3, *model.block4]
    assert [block.drop_path.drop_prob for block in blocks] == pytest.approx(torch.linspace(0, 0.05, 33).tolist())
