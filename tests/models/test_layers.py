"""Our small layers beside timm's: the same entries, outputs, gradients and random draws."""

import pytest
import timm.layers
import timm.models.metaformer
import timm.models.swin_transformer
import torch
from torch import nn

from medssm.models import layers, mamba2d

PAIRS = {
    "mlp": (lambda: layers.Mlp(6, 24), lambda: timm.layers.Mlp(6, 24), (2, 5, 6)),
    "norm": (lambda: layers.LayerNorm2d(6, 1e-6), lambda: timm.layers.LayerNorm2d(6), (2, 6, 3, 4)),
    "attention": (
        lambda: layers.SelfAttention(12, 3),
        lambda: timm.layers.Attention(12, 3, qkv_bias=True),
        (2, 5, 12),
    ),
    "star": (mamba2d.StarReLU, timm.models.metaformer.StarReLU, (2, 5, 6)),
    "scale": (lambda: mamba2d.Scale(6), lambda: timm.models.metaformer.Scale(6, use_nchw=False), (2, 5, 6)),
    "head": (
        lambda: mamba2d.MlpHead(6, 3, 0.5),
        lambda: timm.models.metaformer.MlpHead(6, 3, act_layer=nn.GELU, norm_layer=nn.LayerNorm, drop_rate=0.5),
        (2, 6),
    ),
    "drop path": (lambda: layers.DropPath(0.4), lambda: timm.layers.DropPath(0.4), (9, 5, 6)),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("training", [True, False])
def test_layers_are_those_of_timm(name, training):
    ours, theirs, shape = PAIRS[name]
    outcomes = []
    for build in (ours, theirs):
        torch.manual_seed(0)
        layer = build().train(training)
        state = {entry: tensor.clone() for entry, tensor in layer.state_dict().items()}
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
        x = torch.randn(shape, requires_grad=True)
        y = layer(x)
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
        gradients = {entry: parameter.grad for entry, parameter in layer.named_parameters()}
        outcomes.append({**{f"start {k}": v for k, v in state.items()}, **gradients, "y": y.detach(), "x": x.grad})
    own, expected = outcomes
    assert list(own) == list(expected)
    torch.testing.assert_close(own, expected)


def test_windows_are_those_of_timm():
    x = torch.randn(2, 6, 9, 4)
    windows = layers.into_windows(x, 3)
    expected = timm.models.swin_transformer.window_partition(x, (3, 3)).flatten(1, 2)
    assert torch.equal(windows, expected)
    assert torch.equal(layers.from_windows(windows, 3, (6, 9)), x)


def test_rates_of_drop_path_are_those_of_timm():
    expected = timm.layers.calculate_drop_path_rates(0.3, [2, 4, 3], stagewise=True)
    assert layers.drop_path_rates(0.3, (2, 4, 3)) == expected
