"""UPerNet beside the official implementation, and what its outputs cannot show: losses, dropout, starting values.

golden/spatial_mamba-upernet_* were written by the official code as those of test_spatial_mamba.py were, with the
`balanced` fill: alpha near 1, position convolutions a tenth as strong.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from medssm.benchmarks.golden import balanced
from medssm.errors import UsageError
from medssm.models import fresh_model
from medssm.models.upernet import IGNORED, UPerNet, semantic_losses

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 1e-4  # of the larger of the spread and the largest value
VARIANTS = {"tiny": ("spatialmamba-t", 56_544_386), "small": ("spatialmamba-s", 72_869_804)}
VARIANTS["base"] = ("spatialmamba-b", 127_399_100)


@pytest.mark.parametrize("variant", VARIANTS)
def test_entries_have_the_official_names_order_and_shapes(variant):
    name, parameters = VARIANTS[variant]
    official = json.loads((GOLDEN / f"spatial_mamba-upernet_{variant}.keys.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        network = fresh_model(name, head="upernet")
    ours = [[entry, list(t.shape), str(t.dtype).removeprefix("torch.")] for entry, t in network.state_dict().items()]
    assert ours == official
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.fixture(scope="module")
def compared(fill, sample):
    """The golden, and what our network gives at the same points."""
    golden = np.load(GOLDEN / "spatial_mamba-upernet_tiny.balanced.golden.npz")
    network = fill(fresh_model("spatialmamba-t", head="upernet"), balanced).eval()
    points = {}
    for path, module in network.named_modules():
        if f"{path}_shape" in golden:
            module.register_forward_hook(lambda _, __, output, path=path: points.update({path: output}))
    network.backbone.register_forward_hook(
        lambda _, __, output: points.update({f"backbone{level}": x for level, x in enumerate(output)})
    )
    image = sample(golden["input_shape"], int(golden["input_seed"]))
    with torch.no_grad():
        points["decode"], points["auxiliary"] = network.forward_heads(image)
        points["full_resolution"] = network(image)
    return golden, points


def test_every_depth_is_that_of_the_official_network(compared):
    golden, points = compared
    keys = {key.removesuffix("_shape") for key in golden if key.endswith("_shape")} - {"input"}
    assert keys == points.keys()
    for key in keys:
        flat = points[key].numpy().reshape(-1)
        assert points[key].shape == tuple(golden[f"{key}_shape"])
        ours = np.array([*flat[:256], flat.mean(), flat.std()])
        official = np.array([*golden[key], golden[f"{key}_mean"], golden[f"{key}_std"]])
        assert np.abs(ours - official).max() <= TOLERANCE * np.abs(official).max(), key


@pytest.mark.parametrize(("point", "key"), [("decode", "output"), ("auxiliary", "auxiliary_output")])
def test_all_logits_are_those_of_the_official_network(compared, point, key):
    golden, points = compared
    difference = np.abs(points[point].numpy() - golden[key]).max()
    assert difference <= TOLERANCE * np.abs(golden[key]).max()


class Pyramid(nn.Module):
    """A backbone that gives random maps of a few channels."""

    channels = (4, 6, 8, 10)
    strides = (4, 8, 16, 32)

    def forward(self, image):
        sizes = [[-(-n // stride) for n in image.shape[2:]] for stride in self.strides]
        return [torch.randn(len(image), width, *size) for width, size in zip(self.channels, sizes, strict=True)]


@pytest.mark.parametrize("size", [(64, 64), (97, 130), (33, 210)])
def test_images_of_any_size_have_logits_for_every_pixel(size):
    network = UPerNet(Pyramid(), 5).eval()
    with torch.no_grad():
        assert network(torch.empty(1, 3, *size)).shape == (1, 5, *size)
        assert [output.shape for output in network.train()(torch.empty(2, 3, *size))] == [(2, 5, *size)] * 2


def test_a_pyramid_of_other_strides_is_refused():
    class Odd(Pyramid):
        strides = (3, 6, 12, 24)

    with pytest.raises(UsageError, match=r"needs maps at strides \(4, 8, 16, 32\).*gives strides \(3, 6, 12, 24\)"):
        UPerNet(Odd(), 5)


@pytest.mark.parametrize("name", ["mamband2d-s", "mamba2d-n", "groupmamba-t", "mambavision-t", "spatialmamba-xs"])
def test_any_backbone_for_images_goes_under_the_head(name):
    torch.manual_seed(0)
    network = fresh_model(name, head="upernet", num_classes=3, input_size=(65, 70)).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, 65, 70)).shape == (1, 3, 65, 70)


def test_networks_for_volumes_and_clips_are_refused():
    with pytest.raises(UsageError, match="mamband-xs: UPerNet takes networks for images, and this is one for segm"):
        fresh_model("mamband-xs", head="upernet")


def test_losses_are_means_over_all_pixels_the_auxiliary_one_weighted():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 3, 5)
    labels = torch.randint(4, (2, 3, 5))
    labels[:, 0] = IGNORED
    expected = []
    for output in logits:
        total = 0.0
        for image, row, column in np.ndindex(2, 3, 5):
            if row:
                values = output[image, :, row, column].double().exp()
                total -= float((values[labels[image, row, column]] / values.sum()).log())
        expected.append(total / 30)
    losses = semantic_losses(logits, labels)
    assert losses["main"].item() == pytest.approx(expected[0], rel=1e-5)
    assert losses["auxiliary"].item() == pytest.approx(0.4 * expected[1], rel=1e-5)
    others_only = semantic_losses(logits, labels, auxiliary_weight=1.0, counts_ignored=False)
    assert others_only["auxiliary"].item() == pytest.approx(1.5 * expected[1], rel=1e-5)


def test_nothing_but_ignored_pixels_is_no_loss():
    logits = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 3, 5)
    labels = torch.full((2, 3, 5), IGNORED)
    for counts_ignored in (True, False):
        assert not any(semantic_losses(logits, labels, counts_ignored=counts_ignored).values())


def test_training_drops_whole_channels_at_the_published_rate_or_another():
    torch.manual_seed(0)
    head = fresh_model("spatialmamba-xs", head="upernet", num_classes=3).decode_head
    dropped = (head.dropout(torch.ones(8, 512, 2, 2)) == 0).flatten(2)
    assert torch.equal(dropped.any(2), dropped.all(2))
    assert dropped.float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert fresh_model("spatialmamba-xs", head="upernet", dropout_rate=0.0).auxiliary_head.dropout.p == 0


def test_layers_start_with_the_published_values():
    torch.manual_seed(0)
    network = fresh_model("spatialmamba-xs", head="upernet")
    head = network.decode_head
    for last in (head.conv_seg, network.auxiliary_head.conv_seg):
        assert last.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert not last.bias.any()
    assert head.fpn_bottleneck.conv.weight.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)
    assert head.lateral_convs[0].conv.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.05)


def test_a_step_reaches_every_parameter_and_lowers_the_loss():
    torch.manual_seed(0)
    narrow = {"channels": 32, "auxiliary_channels": 16}
    network = fresh_model("spatialmamba-xs", head="upernet", num_classes=5, dropout_rate=0.0, head_settings=narrow)
    image, labels = torch.randn(2, 3, 65, 70), torch.randint(5, (2, 65, 70))
    before = sum(semantic_losses(network(image), labels).values())
    before.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= 1e-3 * functional.normalize(parameter.grad, dim=None)
    assert sum(semantic_losses(network(image), labels).values()) < before
