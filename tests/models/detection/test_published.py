"""The detectors beside the official ones: entries, outputs at every depth, parameters and multiply-adds.

golden/spatial_mamba-mask_rcnn_* were written by the official code as those of test_spatial_mamba.py were, with the
`balanced` fill: alpha near 1, position convolutions a tenth as strong. RoI heads were given inputs of their own.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medssm.models import fresh_model
from medssm.models.flops import network_cost

GOLDEN = Path(__file__).parents[1] / "golden"
TOLERANCE = 1e-4  # of the larger of the spread and the largest value
VARIANTS = {
    "tiny": ("spatialmamba-t", 46_387_782, 261),
    "small": ("spatialmamba-s", 62_713_200, 315),
    "base": ("spatialmamba-b", 115_251_840, 494),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_entries_have_the_official_names_order_and_shapes(variant):
    name, parameters, _ = VARIANTS[variant]
    official = json.loads((GOLDEN / f"spatial_mamba-mask_rcnn_{variant}.keys.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        network = fresh_model(name, head="mask-rcnn")
    ours = [[entry, list(t.shape), str(t.dtype).removeprefix("torch.")] for entry, t in network.state_dict().items()]
    assert ours == official
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def balanced(name, value):
    if name.endswith("state_fusion.alpha"):
        return 1 + 5 * value
    return 0.1 * value if name.endswith(("cpe1.weight", "cpe2.weight")) else value


@pytest.fixture(scope="module")
def compared(fill, sample):
    """The golden, and what our network gives at the same points."""
    golden = np.load(GOLDEN / "spatial_mamba-mask_rcnn_tiny.balanced.golden.npz")
    network = fill(fresh_model("spatialmamba-t", head="mask-rcnn"), balanced).eval()
    with torch.no_grad():
        maps = network.backbone(sample(golden["input_shape"], int(golden["input_seed"])))
        pyramid = network.neck(maps)
        objectness, deltas = network.rpn_head(pyramid)
        logits, differences = network.roi_head.bbox_head(sample((3, 256, 7, 7), 1))
        masks = network.roi_head.mask_head(sample((3, 256, 14, 14), 2))
    levels = {"backbone": maps, "fpn": pyramid, "rpn_cls": objectness, "rpn_reg": deltas}
    points = {f"{name}{level}": x for name, values in levels.items() for level, x in enumerate(values)}
    return golden, points | {"box_cls": logits, "box_reg": differences.flatten(1), "mask_logits": masks}


def test_every_depth_is_that_of_the_official_network(compared):
    golden, points = compared
    assert points.keys() == {key.removesuffix("_shape") for key in golden if key.endswith("_shape")} - {"input"}
    for key, value in points.items():
        flat = value.numpy().reshape(-1)
        assert value.shape == tuple(golden[f"{key}_shape"])
        ours = np.array([*flat[:256], flat.mean(), flat.std()])
        official = np.array([*golden[key], golden[f"{key}_mean"], golden[f"{key}_std"]])
        assert np.abs(ours - official).max() <= TOLERANCE * np.abs(official).max(), key


# 10^6 parameters of the published detectors of other systems, and how far ours may be from what they print.
PARAMETERS = {
    ("mamba2d-n", "mask-rcnn"): 26,
    ("mamba2d-t", "mask-rcnn"): 44,
    ("mamba2d-s", "mask-rcnn"): 67,
    ("mambavision-s", "cascade-mask-rcnn"): 108,
}


@pytest.mark.parametrize(("name", "head"), PARAMETERS)
def test_number_of_parameters_is_as_published(name, head):
    with torch.device("meta"):
        network = fresh_model(name, head=head)
    published = PARAMETERS[name, head]
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(published, abs=0.55)


def cost(name, head):
    with torch.device("meta"):
        return network_cost(fresh_model(name, head=head).eval(), torch.empty(1, 3, 800, 1280))


@pytest.mark.parametrize("variant", VARIANTS)
def test_multiply_adds_are_as_published(variant):
    name, _, published = VARIANTS[variant]
    assert cost(name, "mask-rcnn").multiply_adds / 1e9 == pytest.approx(published, rel=0.01)


def test_heads_cost_what_their_layers_do_on_a_thousand_boxes_and_a_hundred_masks():
    parts = cost("spatialmamba-xs", "cascade-mask-rcnn").parts
    convolution = 9 * 256 * 256
    box = 4 * 49 * convolution + 49 * 256 * 1024 + 1024 * (81 + 320)
    mask = 4 * 196 * convolution + 196 * 256 * 256 * 4 + 784 * 256 * 80
    assert parts["roi_head"] == 3 * (1000 * box + 100 * mask)
    cells = sum(-(-800 // stride) * -(-1280 // stride) for stride in (4, 8, 16, 32, 64))
    assert parts["rpn_head"] == cells * (convolution + 15 * 256)


def test_the_cascade_has_mmdetections_entries_and_no_bias_under_a_norm():
    with torch.device("meta"):
        entries = fresh_model("spatialmamba-xs", head="cascade-mask-rcnn").state_dict()
    stage = [name.removeprefix("roi_head.bbox_head.2.") for name in entries if name.startswith("roi_head.bbox_head.2.")]
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    unit = ("conv.weight", *(f"bn.{name}" for name in norm))
    assert stage == [
        *(f"{layer}.{name}" for layer in ("fc_cls", "fc_reg") for name in ("weight", "bias")),
        *(f"shared_convs.{number}.{name}" for number in range(4) for name in unit),
        *(f"shared_fcs.0.{name}" for name in ("weight", "bias")),
    ]
    assert entries["roi_head.bbox_head.0.fc_reg.weight"].shape == (320, 1024)
    assert entries["roi_head.mask_head.1.conv_logits.weight"].shape == (80, 256, 1, 1)


def test_a_neck_with_norms_has_no_biases_beside_them():
    with torch.device("meta"):
        network = fresh_model("mamba2d-n", head="mask-rcnn")
    assert network.neck.lateral_convs[0].gn.num_groups == 32
    unit = ("conv.weight", "gn.weight", "gn.bias")
    expected = [f"{part}_convs.{level}.{name}" for part in ("lateral", "fpn") for level in range(4) for name in unit]
    assert list(network.neck.state_dict()) == expected


def test_layers_start_with_the_published_values():
    torch.manual_seed(0)
    network = fresh_model("spatialmamba-xs", head="cascade-mask-rcnn")
    stage, mask = network.roi_head.bbox_head[1], network.roi_head.mask_head[1]
    normal = {stage.fc_cls: 0.01, stage.fc_reg: 0.001, network.rpn_head.rpn_conv: 0.01, network.rpn_head.rpn_reg: 0.01}
    # The variance of Kaiming's normal layers is 2 / outputs a cell feeds.
    normal |= {mask.convs[3].conv: (2 / (9 * 256)) ** 0.5, mask.upsample: (2 / (4 * 256)) ** 0.5}
    normal |= {mask.conv_logits: (2 / 80) ** 0.5, stage.shared_convs[0].conv: (2 / (9 * 256)) ** 0.5}
    for layer, std in normal.items():
        assert layer.weight.std().item() == pytest.approx(std, rel=0.05)
    uniform = {network.neck.fpn_convs[0].conv: 9 * 512, stage.shared_fcs[0]: 49 * 256 + 1024}
    for layer, fans in uniform.items():
        assert layer.weight.abs().max().item() == pytest.approx((6 / fans) ** 0.5, rel=0.01)
    for layer in (*normal, *uniform):
        assert layer.bias is None or not layer.bias.any()
