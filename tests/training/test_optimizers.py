"""What the optimisers and the moving average do, step by step."""

import pytest
import torch
from torch import nn

from medssm.training.averaging import Average
from medssm.training.optimizers import build_optimizer, evaluation_weights, layer_rate, parameter_groups
from medssm.training.settings import AveragingSettings, LayerDecay, OptimizerSettings, RateRule


def test_lamb_clips_the_gradient_and_adapts_decayed_parameters_only() -> None:
    model = nn.Linear(3, 2)
    settings = OptimizerSettings.model_validate(
        {"algorithm": "lamb", "learning_rate": 0.1, "weight_decay": 0.5, "decay": [{"name": "*", "dimensions": 1}]}
    )
    optimizer = build_optimizer(model, settings)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    model.weight.grad, model.bias.grad = torch.full((2, 3), 30.0), torch.full((2,), -40.0)
    optimizer.step()
    # In the first step the moments are the gradient's own, so the direction is its sign, whatever the clip to 1.
    direction = torch.ones(2, 3) + 0.5 * weight
    step = 0.1 * weight.norm() / direction.norm() * direction
    torch.testing.assert_close(model.weight.detach(), weight - step, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.bias.detach(), bias + 0.1, rtol=1e-4, atol=1e-5)
    moment = optimizer.state[model.weight]["exp_avg"]
    norm = (6 * 30.0**2 + 2 * 40.0**2) ** 0.5
    torch.testing.assert_close(moment, torch.full((2, 3), 0.1 * 30 / norm))


def test_schedule_free_weights_of_training_come_back_to_the_bit() -> None:
    torch.manual_seed(0)
    model = nn.Linear(5, 5)
    optimizer = build_optimizer(
        model, OptimizerSettings(algorithm="schedule-free-adamw", learning_rate=0.1, weight_decay=0.1)
    )
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.randn(4, 5)).square().mean().backward()
        optimizer.step()
    before = model.weight.detach().clone()
    with evaluation_weights(optimizer):
        assert not torch.equal(model.weight, before)
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize(
    ("name", "power"),
    [("net.embed.weight", 4), ("net.blocks.0.weight", 3), ("net.blocks.2.deep.blocks.0.weight", 1), ("head.bias", 0)],
)
def test_rates_fall_layer_by_layer(name: str, power: int) -> None:
    settings = LayerDecay(rate=0.5, blocks="net.blocks", stem=("*.embed.*",))
    assert layer_rate(name, 3, settings) == 0.5**power


@pytest.mark.parametrize("copies_first", [True, False])
def test_the_average_takes_in_weights_and_statistics(copies_first: bool) -> None:
    model = nn.BatchNorm1d(1)
    average = Average(model, AveragingSettings(decay=0.9, first_copies=copies_first))
    values = (3.0, 5.0, 7.0)
    for step, value in enumerate(values):
        with torch.no_grad():
            model.weight.fill_(value)
            model.running_mean.fill_(value)
            model.num_batches_tracked.fill_(step)
        average.update(model, step)
    start = 3.0 if copies_first else 0.9 * 1.0 + 0.1 * 3.0
    assert average.module.weight.item() == pytest.approx(0.9 * (0.9 * start + 0.5) + 0.7)
    first = 3.0 if copies_first else 0.3
    assert average.module.running_mean.item() == pytest.approx(0.9 * (0.9 * first + 0.5) + 0.7)
    assert average.module.num_batches_tracked == 2
    assert not average.module.training
    assert not average.module.weight.requires_grad


def test_rules_scale_the_peak_or_the_whole_schedule_of_parameters_by_name() -> None:
    rates = (RateRule(name="stem.*", factor=0.25, scales="schedule"), RateRule(name="*.weight", factor=0.1))
    settings = OptimizerSettings(learning_rate=1.0, rates=rates)
    model = nn.ModuleDict({"stem": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    named = {parameter: name for name, parameter in model.named_parameters()}
    found = {
        named[parameter]: (group["peak"], group["share"])
        for group in parameter_groups(model, settings)
        for parameter in group["params"]
    }
    stem = (1.0, 0.25)
    assert found == {"stem.weight": stem, "stem.bias": stem, "head.weight": (0.1, 1.0), "head.bias": (1.0, 1.0)}


def test_a_rate_of_zero_freezes_parameters() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    settings = OptimizerSettings(learning_rate=0.1, rates=(RateRule(name="0.*", factor=0),))
    [group] = parameter_groups(model, settings)
    assert [id(parameter) for parameter in group["params"]] == [id(model[1].weight), id(model[1].bias)]
    assert not model[0].weight.requires_grad
