"""MONAI's networks by name: the arguments that fit a window, and what is refused."""

import json

import pytest
import torch

from medssm.checkpoints import WeightsMetadata, load_model, load_weights, save_weights
from medssm.errors import CheckpointError, UsageError
from medssm.models import fresh_model, model_info, plan_arguments
from medssm.models.catalogue.monai_networks import MONAI_MODELS
from medssm.models.pooling import unet_levels

# MONAI makes these of a package that it does not require.
NEED_EINOPS = ("monai:UNETR", "monai:SwinUNETR")
# Depthwise kernels of 7x7x7 take seconds on a CPU, and the transformers have tens of millions of parameters.
SLOW = ("monai:MedNeXt", *NEED_EINOPS)
NETWORKS = [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in MONAI_MODELS]


def test_levels_are_those_of_nnunet():
    """Its plan of ACDC's 3d_fullres, as the tables of nnU-Net's authors have it."""
    levels = unet_levels((20, 256, 224), (5.0, 1.5625, 1.5625), most=6)
    strides, kernels = zip(*levels, strict=True)
    assert strides == ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2))
    assert kernels == ((1, 3, 3), *[(3, 3, 3)] * 5)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_trains_and_its_weights_come_back_as_they_were_planned(name, tmp_path):
    if name in NEED_EINOPS:
        pytest.importorskip("einops", reason="pip install '.[monai]'")
    window = (64, 32, 32) if name == "monai:SwinUNETR" else (32, 32, 32)
    arguments = plan_arguments(name, {}, window, (2.0, 1.5, 1.5))
    network = fresh_model(name, num_classes=3, in_channels=2, arguments=arguments)
    image = torch.randn(2, 2, *window)
    network(image).square().mean().backward()
    assert any(parameter.grad is not None for parameter in network.parameters())
    metadata = WeightsMetadata(
        model=name, arguments=arguments, num_classes=3, in_channels=2, input_size=(32, 32, 32), preprocessing={}
    )
    save_weights(tmp_path / "w.safetensors", network, metadata)
    loaded, stored = load_model(tmp_path / "w.safetensors")
    assert stored.arguments == arguments
    with torch.no_grad():
        logits = network.eval()(image)
        assert logits.shape == (2, 3, *window)
        assert torch.equal(loaded(image), logits)


@pytest.mark.parametrize("name", ["monai:UNet", "monai:AttentionUnet", "monai:DynUNet", "monai:SegResNet"])
def test_slices_may_be_thick(name):
    arguments = plan_arguments(name, {}, (4, 32, 32), (10.0, 1.5, 1.5))
    with torch.no_grad():
        assert fresh_model(name, arguments=arguments)(torch.zeros(1, 1, 4, 32, 32)).shape == (1, 14, 4, 32, 32)


def test_a_u_net_has_as_many_strides_as_widths():
    arguments = plan_arguments("monai:UNet", {"channels": [8, 16]}, (32, 32, 32), (1.0, 1.0, 1.0))
    assert arguments == {"channels": (8, 16), "strides": ((2, 2, 2),), "num_res_units": 2}


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("monai:Unet", {}, "no network of MONAI for scans is called 'monai:Unet' here; did you mean monai:UNet"),
        ("monai:ResNet", {}, "did you mean monai:SegResNet"),
        ("monai:load_from_url", {}, "there are monai:UNet, monai:AttentionUnet"),
        ("monai:UNet", {"in_channels": 3}, "there is no 'in_channels'; it takes channels, strides, kernel_size"),
        ("monai:DynUNet", {"deep_supervision": True}, "there is no 'deep_supervision'"),
        ("monai:UNet", {"strides": []}, r"MONAI makes no network with channels=\(16, .* strides=\(\), .*; correct"),
        ("monai:UNet", {"channels": [4, 8], "strides": [[2, 2]]}, "MONAI makes no network with "),
        ("monai:UNet", {"num_res_units": 9999}, r"MONAI makes no network with .* \(of more than 3000 parts\)"),
        ("monai:UNet", {"act": "os.system"}, "MONAI makes no network with .*act=os.system"),
        (
            "monai:UNet",
            {"channels": [4, 8], "strides": [9]},
            "multiples of 9x9x9, one of them larger, and they are 32x32x32",
        ),
        (
            "monai:UNet",
            {"channels": [4, 8], "strides": [32]},
            "multiples of 32x32x32, one of them larger, and they are",
        ),
        ("monai:BasicUNet", {"features": "x"}, "MONAI makes no network with features=x"),
    ],
)
def test_what_makes_no_network_is_explained(name, arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        plan_arguments(name, arguments, (32, 32, 32), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("name", NEED_EINOPS)
def test_a_package_that_monai_does_not_require_is_named(name, monkeypatch):
    monkeypatch.setattr("medssm.models.monai_networks.find_spec", lambda package: None)
    with pytest.raises(
        UsageError, match=r"MONAI needs einops for it, which is not installed; pip install '\.\[monai\]'"
    ):
        plan_arguments(name, {}, (64, 64, 64), (1.0, 1.0, 1.0))


def test_what_a_network_does_not_have_is_said():
    with pytest.raises(UsageError, match=r"monai:MedNeXt: has no dropout, but its rate is to be 0\.1"):
        fresh_model("monai:MedNeXt", dropout_rate=0.1)
    with pytest.raises(UsageError, match="monai:UNet: has neither features_only"):
        fresh_model("monai:UNet", features_only=True)
    assert {module.p for module in fresh_model("monai:UNet", dropout_rate=0.3).modules() if hasattr(module, "p")} == {
        0.3
    }


@pytest.mark.parametrize("model", ["monai:ViT", "monai:__builtins__", "monai:UNet.__init__", "monai:", "monai:os"])
def test_weights_name_no_code(model, tmp_path):
    """What a file says is looked up in a table; nothing else of MONAI, or of anything, is found by it."""
    metadata = WeightsMetadata(model=model, num_classes=2, in_channels=1, input_size=(32, 32, 32))
    save_weights(tmp_path / "w.safetensors", {"weight": torch.zeros(1)}, metadata)
    with pytest.raises(CheckpointError, match="which is no model here"):
        load_weights(tmp_path / "w.safetensors")


def test_what_is_known_of_one_is_plain():
    info = model_info("monai:DynUNet")
    assert (info.system, info.task, info.weights) == ("MONAI", "segmentation", None)
    assert json.dumps(plan_arguments("monai:DynUNet", {}, info.input_size, (2.0, 1.5, 1.5)))
