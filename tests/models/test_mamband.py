"""The order of visits, what the dead block costs, and the starting values."""

import pytest
import torch
from torch.nn import functional

from medssm.models import fresh_model
from medssm.models.mamband import scan_order


@pytest.mark.parametrize(
    ("block", "axes", "reverse"),
    [
        (0, "abc", False),
        (1, "abc", True),
        (2, "acb", False),
        (3, "acb", True),
        (4, "cba", False),
        (5, "cba", True),
        (6, "abc", False),
        (22, "cba", False),
    ],
)
def test_blocks_visit_the_grid_in_the_published_orders(block, axes, reverse):
    assert scan_order(block) == (tuple("abc".index(axis) for axis in axes), reverse)


def test_each_axis_is_fastest_equally_often():
    fastest = [scan_order(block).axes[-1] for block in range(24)]
    assert [fastest.count(axis) for axis in range(3)] == [8, 8, 8]


def test_the_dead_block_changes_nothing_and_asks_for_no_gradient():
    model = fresh_model("mamband-s").eval()
    image = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        before = model(image)
        for parameter in model.vit.layers[23].parameters():
            assert not parameter.requires_grad
            parameter.fill_(float("nan"))
        assert torch.equal(model(image), before)


def test_mixers_start_with_the_published_values():
    torch.manual_seed(0)
    model = fresh_model("mamband-s")
    mixer = model.vit.layers[5].mixer
    torch.testing.assert_close(mixer.A_log.exp(), torch.arange(1.0, 17).expand(768, 16))
    assert torch.equal(mixer.D, torch.ones(768))
    dt = functional.softplus(mixer.dt_proj.bias)
    assert 1e-3 * 0.999 <= dt.min() < 1.2e-3
    assert 0.08 < dt.max() <= 0.1001
    assert dt.log().median().item() == pytest.approx(torch.tensor(0.01).log().item(), abs=0.3)  # log-uniform
    assert mixer.dt_proj.weight.abs().max() <= 24**-0.5
    assert not model.vit.pos_embed.any()


def test_stochastic_depth_grows_linearly_and_dropout_is_the_published_rate():
    layers = fresh_model("mamband-s").vit.layers
    assert [layer.drop_path.drop_prob for layer in layers] == pytest.approx(torch.linspace(0, 0.1, 24).tolist())
    assert {layer.dropout.p for layer in layers} == {0.1}


def test_the_head_of_the_small_model_starts_as_strong_as_an_ordinary_one():
    torch.manual_seed(0)
    head = fresh_model("mamband-xs").out
    features = torch.randn(1, 32, 8, 8, 8)
    ordinary = torch.nn.ConvTranspose3d(32, 14, 2, stride=2)
    with torch.no_grad():
        assert head(features).std().item() == pytest.approx(ordinary(features).std().item(), rel=0.1)
        assert head.conv.weight.std().item() == pytest.approx(ordinary.weight.std().item() / 10, rel=0.1)
