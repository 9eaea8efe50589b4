"""The published trainings of detectors, beside the figures of their papers and configurations."""

from pathlib import Path

import pytest
import torch

from medssm.errors import UsageError
from medssm.models import fresh_model
from medssm.recipes import list_recipes, load_recipe
from medssm.training.optimizers import decay_factor

RECIPES = ("coco", "coco-3x", "coco-cascade-3x")


@pytest.mark.parametrize(
    ("recipe", "model", "drop_path", "rate", "clip", "head"),
    [
        ("coco", "spatialmamba-t", 0.2, 1e-4, None, "mask-rcnn"),
        ("coco", "spatialmamba-b", 0.5, 1e-4, None, "mask-rcnn"),
        ("coco-3x", "spatialmamba-s", 0.3, 1e-4, None, "mask-rcnn"),
        ("coco", "mamba2d-n", 0.175, 1e-4, 1.0, "mask-rcnn"),
        ("coco-3x", "mamba2d-t", 0.175, 1e-4, 1.0, "mask-rcnn"),
        ("coco", "mamba2d-s", 0.2, 1e-4, 1.0, "mask-rcnn"),
        ("coco-cascade-3x", "mambavision-t", 0.2, 1e-4, None, "cascade-mask-rcnn"),
        ("coco-cascade-3x", "mambavision-s", 0.2, 1e-4, None, "cascade-mask-rcnn"),
        ("coco-cascade-3x", "mambavision-b", 0.2, 2e-4, None, "cascade-mask-rcnn"),
    ],
)
def test_each_system_trains_as_published(recipe, model, drop_path, rate, clip, head):
    found = load_recipe(recipe, model)
    network, optimizer = found.model, found.optimizer
    assert (network.head, network.head_settings, network.pretrained) == (head, {}, "published")
    assert (network.drop_path_rate, optimizer.learning_rate, optimizer.clip_norm) == (drop_path, rate, clip)
    assert (optimizer.algorithm, optimizer.betas, optimizer.weight_decay) == ("adamw", (0.9, 0.999), 0.05)
    assert found.run.total_batch == 16
    assert (found.validation.short_side, found.validation.long_side) == (800, 1333)


@pytest.mark.parametrize(("recipe", "epochs", "milestones"), [("coco", 12, (8, 11)), ("coco-3x", 36, (27, 33))])
def test_the_rate_warms_up_over_a_thousand_iterations_and_falls_twice(recipe, epochs, milestones):
    schedule = load_recipe(recipe, "spatialmamba-t").schedule
    steps = 117_266 // 16
    assert schedule.length(steps) == epochs * steps
    rates = {
        step: schedule.rate(1e-4, step, steps, 0)
        for step in (0, 999, *(m * steps + i for m in milestones for i in (-1, 0)))
    }
    first, second = (milestone * steps for milestone in milestones)
    assert rates[0] == pytest.approx(1e-7)
    assert [rates[step] for step in (999, first - 1, first, second - 1, second)] == pytest.approx(
        [1e-4, 1e-4, 1e-5, 1e-5, 1e-6]
    )


def test_mamba2ds_warm_up_counts_the_passes_of_a_step():
    schedule = load_recipe("coco", "mamba2d-t").schedule
    assert schedule.rate(1.0, 124, 7000, 0) == pytest.approx(1.0)  # 125 steps of 8 batches
    assert schedule.rate(1.0, 62, 7000, 0) == pytest.approx(0.503, abs=2e-3)


def test_the_longer_training_sees_more_sizes_and_crops():
    once, thrice = (load_recipe(recipe, "spatialmamba-t").augmentation for recipe in ("coco", "coco-3x"))
    assert (once.short_sides, once.long_side, once.crop, once.flip) == ((800,), 1333, None, 0.5)
    assert thrice.short_sides == tuple(range(480, 801, 32))
    assert (thrice.long_side, thrice.flip) == (1333, 0.5)
    assert (thrice.crop.short_sides, thrice.crop.sides) == ((400, 500, 600), (384, 600))


def factors(recipe: str, model: str) -> dict[str, float]:
    """The share of the weight decay of every parameter."""
    settings = load_recipe(recipe, model)
    with torch.device("meta"):
        network = fresh_model(model, head=settings.model.head)
    named = network.named_parameters()
    return {name: decay_factor(name, parameter.ndim, settings.optimizer) for name, parameter in named}


def test_spatial_mambas_norms_alone_are_not_decayed():
    found = factors("coco", "spatialmamba-t")
    assert {name for name, factor in found.items() if not factor} == {name for name in found if "norm" in name}
    for part in ("ln_1", "ln_2", "bias", "Ds", "alpha", "A_logs"):
        assert any(factor == 1 for name, factor in found.items() if part in name and "norm" not in name), part
    assert any("outnorm0" in name for name, factor in found.items() if not factor)


def test_mamba2ds_matrices_alone_are_decayed():
    settings = load_recipe("coco", "mamba2d-t").optimizer
    for name, dimensions in {"roi_head.bbox_head.fc_cls.bias": 1, "backbone.x.AT_log": 2, "backbone.x.D": 2}.items():
        assert decay_factor(name, dimensions, settings) == 0
    assert decay_factor("neck.fpn_convs.0.gn.weight", 1, settings) == 0
    assert decay_factor("rpn_head.rpn_conv.weight", 4, settings) == 1


def test_the_recipes_are_listed():
    assert set(RECIPES) <= set(list_recipes())


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_network_for_volumes_is_refused(recipe):
    with pytest.raises(UsageError, match="trains detection, but mamband-xs is a model for segmentation"):
        load_recipe(recipe, "mamband-xs")


def test_numbers_of_the_head_may_be_set_one_by_one():
    found = load_recipe("coco", "spatialmamba-xs", {"model.head_settings.roi_sampling.count": 32})
    assert found.model.head_settings["roi_sampling.count"] == 32
    assert found.model.head_settings["neck_channels"] == 64


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_is_laid_over_its_base(tmp_path):
    path = write(tmp_path / "mine.yaml", "base: coco-3x\nname: mine\noptimizer: {learning_rate: 2.0e-4}\n")
    found = load_recipe(path, "mamba2d-t")
    assert (found.name, found.optimizer.learning_rate, found.optimizer.clip_norm) == ("mine", 2e-4, 1.0)
    assert found.schedule.epochs == 36


def test_a_base_may_lie_beside_the_recipe(tmp_path):
    write(tmp_path / "first.yaml", "base: coco\nname: first\nrun: {seed: 7}\n")
    assert load_recipe(write(tmp_path / "second.yaml", "base: first.yaml\nname: second\n")).run.seed == 7


def test_recipes_that_are_based_on_each_other_are_refused(tmp_path):
    write(tmp_path / "a.yaml", "base: b.yaml\n")
    write(tmp_path / "b.yaml", "base: a.yaml\n")
    with pytest.raises(UsageError, match="based on this recipe in turn"):
        load_recipe(tmp_path / "a.yaml")


def test_an_unknown_base_is_named(tmp_path):
    with pytest.raises(UsageError, match="coko: no recipe of that name"):
        load_recipe(write(tmp_path / "a.yaml", "base: coko\n"))
