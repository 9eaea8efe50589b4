"""The imagenet recipe against the published trainings, written out from their descriptions."""

from fnmatch import fnmatchcase
from typing import Any

import pytest
import torch
from torch import nn

from medssm.errors import UsageError
from medssm.models import fresh_model, list_models, model_info
from medssm.recipes import load_recipe, loading, parse_overrides
from medssm.tasks.classification.settings import ClassificationRecipe
from medssm.training.optimizers import parameter_groups

LAYERS = loading._layers("imagenet")
VARIANTS = sorted(name for name in LAYERS[-1]["models"] if not model_info(name).is_ours)
STEPS_PER_EPOCH = 1251


def resolved(model: str) -> ClassificationRecipe:
    """The recipe of a variant, whether the network is there yet or not."""
    content = loading.resolved("imagenet", LAYERS, model)
    return ClassificationRecipe.model_validate(loading.merged(content, {"model": {"name": model}}))


PUBLISHED: dict[str, dict[str, Any]] = {
    # per system: algorithm, rate, weight decay, clip, images a step, precision, EMA, seed, crop, epochs, interpolation
    "spatialmamba": {"values": ("adamw", 1e-3, 0.05, 5.0, 1024, "auto", 0.9999, 0, 0.875, 300, "bicubic")},
    "groupmamba": {"values": ("adamw", 1e-3, 0.05, 5.0, 1024, "auto", 0.9999, 0, 0.875, 300, "bicubic")},
    "mambavision": {"values": ("lamb", 5e-3, 0.05, 5.0, 4096, "auto", 0.9998, 31, 1.0, 320, "random")},
    "mamba2d": {"values": ("adamw", 4e-3, 0.05, None, 4096, "bf16-mixed", 0.999, 0, 1.0, 300, "random")},
    "mamband2d": {"values": ("adamw", 1e-3, 0.1, 2.0, 1024, "32-true", 0.9999, 77, 0.875, 300, "bicubic")},
}
EXCEPTIONS = {
    ("mambavision-b", "weight_decay"): 0.075,
    ("mambavision-l", "weight_decay"): 0.12,
    ("mambavision-l2", "weight_decay"): 0.12,
    ("mambavision-s", "crop_pct"): 0.875,
    ("mamba2d-n", "weight_decay"): 0.025,
    ("mamba2d-t-v1", "algorithm"): "schedule-free-adamw",
}
DROP_PATH = {
    "spatialmamba-t": 0.2,
    "spatialmamba-s": 0.3,
    "spatialmamba-b": 0.5,
    "groupmamba-t": 0.05,
    "groupmamba-s": 0.05,
    "groupmamba-b": 0.05,
    "mambavision-t": 0.2,
    "mambavision-t2": 0.2,
    "mambavision-s": 0.2,
    "mambavision-b": 0.3,
    "mambavision-l": 0.3,
    "mambavision-l2": 0.3,
    "mamba2d-n": 0.0,
    "mamba2d-t": 0.175,
    "mamba2d-s": 0.4,
    "mamba2d-t-v1": 0.175,
    "mamband2d-s": 0.1,
    "mamband2d-b": 0.1,
}
MESA = {
    "spatialmamba-t": (1.0, 75),
    "spatialmamba-s": (1.5, 75),
    "spatialmamba-b": (2.0, 75),
    "mambavision-t": (50 * 0.5, 78),
    "mambavision-t2": (50 * 0.75, 78),
    "mambavision-s": (50 * 1.0, 78),
    "mambavision-b": (50 * 1.0, 94),
    "mambavision-l": (50 * 6.0, 78),
    "mambavision-l2": (50 * 6.0, 78),
}
NAMES = ("algorithm", "learning_rate", "weight_decay", "clip_norm", "total_batch", "precision", "decay", "seed")
NAMES += ("crop_pct", "epochs", "interpolation")


def test_every_published_classifier_has_its_training() -> None:
    assert set(VARIANTS) == DROP_PATH.keys()


@pytest.mark.parametrize("model", VARIANTS)
def test_a_training_has_the_published_values(model: str) -> None:
    recipe = resolved(model)
    expected = dict(zip(NAMES, PUBLISHED[model.partition("-")[0]]["values"], strict=True))
    expected |= {name: value for (variant, name), value in EXCEPTIONS.items() if variant == model}
    optimizer, run, average = recipe.optimizer, recipe.run, recipe.averaging
    assert average is not None
    schedule: Any = recipe.schedule
    found = (
        optimizer.algorithm,
        optimizer.learning_rate,
        optimizer.weight_decay,
        optimizer.clip_norm,
        run.total_batch,
        run.precision,
        average.decay,
        run.seed,
        recipe.validation.crop_pct,
        schedule.epochs,
        recipe.augmentation.interpolation,
    )
    assert dict(zip(NAMES, found, strict=True)) == expected
    assert (optimizer.betas, optimizer.eps) == ((0.9, 0.999), 1e-8)
    assert recipe.model.drop_path_rate == DROP_PATH[model]
    mesa = recipe.self_distillation
    assert (mesa and (mesa.weight, mesa.start_epoch)) == MESA.get(model)
    assert (recipe.distillation is not None) == model.startswith("groupmamba")
    assert recipe.mixing.model_dump() == {
        "mixup": 0.8,
        "cutmix": 1.0,
        "probability": 1.0,
        "switch_probability": 0.5,
        "mode": "batch",
        "label_smoothing": 0.1,
    }
    given = recipe.augmentation
    assert (given.rand_augment, given.erasing, given.flip) == ("rand-m9-mstd0.5-inc1", 0.25, 0.5)
    assert given.jitter_beside_rand_augment == model.startswith("mamband2d")


RATES = {
    # model: {epoch: rate}; from the descriptions' formulas, some of them printed there
    "spatialmamba-t": {0: 1e-6, 10: 1e-6 + 9.99e-4 / 2, 20: 1e-3, 160: (1e-3 + 1e-5) / 2, 300: 1e-5},
    "mambavision-t": {0: 1e-6, 10: 1e-6 + 4.999e-3 / 2, 155: (5e-3 + 5e-6) / 2, 310: 5e-6, 319: 5e-6},
    "mamba2d-t": {0: 4e-7, 15: 4e-3, 157.5: (4e-3 + 1e-6) / 2, 300: 1e-6},
    "mamba2d-t-v1": {15: 4e-3, 299: 4e-3},
    "mamband2d-s": {0: 1e-7, 5: 5.0009e-4, 10: 9.993e-4, 150: 5.1818e-4, 299: 1.0028e-5},
}


@pytest.mark.parametrize("model", RATES)
def test_a_schedule_has_the_published_rates(model: str) -> None:
    recipe = resolved(model)
    lag = getattr(recipe.schedule, "lag", 0)
    for epoch, rate in RATES[model].items():
        step = round(epoch * STEPS_PER_EPOCH) + lag
        found = recipe.schedule.rate(recipe.optimizer.learning_rate, step, STEPS_PER_EPOCH, 0)
        assert found == pytest.approx(rate, rel=1e-4, abs=2e-9), epoch


def test_the_stem_of_mamband_falls_to_the_same_floor() -> None:
    recipe = resolved("mamband2d-s")
    for epoch, rate in {10: 2.772e-4, 150: 1.4725e-4, 299: 1.0008e-5}.items():
        found = recipe.schedule.rate(1e-3 * 0.95**25, epoch * STEPS_PER_EPOCH, STEPS_PER_EPOCH, 0)
        assert found == pytest.approx(rate, rel=2e-4)


def test_the_rate_of_a_lagging_schedule_is_the_first_one_twice() -> None:
    schedule = resolved("groupmamba-t").schedule
    first, second, third = (schedule.rate(1e-3, step, STEPS_PER_EPOCH, 0) for step in range(3))
    assert first == second == 1e-6
    assert third == pytest.approx(1e-6 + 9.99e-4 / (20 * STEPS_PER_EPOCH))


def decays(model: str) -> dict[str, float]:
    """Parameter -> share of the weight decay, of the network that the recipe names."""
    with torch.device("meta"):
        network = fresh_model(model)
    return by_parameter(network, resolved(model), "weight_decay", resolved(model).optimizer.weight_decay)


def by_parameter(network: nn.Module, recipe: ClassificationRecipe, key: str, unit: float) -> dict[str, float]:
    groups = parameter_groups(network, recipe.optimizer)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {names[id(p)]: pytest.approx(group[key] / unit) for group in groups for p in group["params"]}


DECAYED = {
    "groupmamba-t": {
        "*.A_logs": 1,
        "*.dt_projs_bias": 1,
        "*.dt_projs_weight": 1,
        "*.x_proj_weight": 1,
        "*.skip_scale": 0,
        "*.Ds": 0,
        "*norm*.weight": 0,
        "*.bias": 0,
        "head.weight": 1,
        "*.conv2d.weight": 1,
    },
    "mambavision-t": {"*.A_log": 1, "*.D": 0, "*.bias": 0, "*norm*.weight": 0, "head.weight": 1},
    "mamba2d-t": {"*.AT_log": 0, "*.AL_log": 0, "*.D": 0, "*.bias": 0, "*norm*.weight": 0, "*.fc2.weight": 1},
    "mamba2d-t-v1": {"*": 1},
    "mamband2d-s": {
        "*.pos_embed": 0,
        "*.A_log": 0.1,
        "*.bias": 0,
        "*.ln?.weight": 0,
        "*.norm.weight": 0.1,
        "*.D": 0,
        "*.conv1d.weight": 1,
        "*.projection.weight": 1,
        "head.fc.weight": 1,
    },
    "spatialmamba-t": {
        "*.A_logs": 1,
        "*.Ds": 0,
        "*.dt_projs_bias": 0,
        "*.dt_projs_weight": 1,
        "*.x_proj_weight": 1,
        "*.alpha": 0,
        "*norm*.weight": 0,
        "*.bias": 0,
        "head.weight": 1,
    },
}


@pytest.mark.parametrize("model", [model for model in DECAYED if model in list_models()])
def test_the_published_parameters_are_decayed(model: str) -> None:
    found = decays(model)
    for pattern, share in DECAYED[model].items():
        matching = {name: value for name, value in found.items() if fnmatchcase(name, pattern)}
        assert matching, pattern
        assert all(value == share for value in matching.values()), (pattern, matching)


def test_the_rates_of_mamband_fall_from_head_to_stem() -> None:
    with torch.device("meta"):
        network = fresh_model("mamband2d-s")
    rates = by_parameter(network, resolved("mamband2d-s"), "peak", 1.0)
    assert rates["backbone.pos_embed"] == rates["backbone.patch_embed.projection.weight"] == 0.95**25
    assert rates["backbone.layers.0.norm.weight"] == 0.95**24
    assert rates["backbone.layers.9.down_sample_layer.reduction.weight"] == 0.95**15
    assert rates["backbone.layers.23.mixer.D"] == 0.95
    assert rates["backbone.ln1.weight"] == rates["head.fc.bias"] == 1


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("mixing.mixupp=1", r"mixing\.mixupp: there is no such key; did you mean mixing\.mixup\?"),
        ("distillation.alfa=1", r"did you mean distillation\.alpha\?"),
        ("schedule.warmup_epoch=1", r"did you mean schedule\.warmup_epochs\?"),
        ("optimizer.algorithm=sgd", r"optimizer\.algorithm: input should be 'adamw', 'lamb' or 'schedule-free-adamw'"),
        ("augmentation.rand_augment=randy", r"'randy' is no RandAugment as timm spells it"),
        ("run.loader_processes=0", r"images are prepared by processes, set 1 or more"),
        ("run.batch_size=7", r"mixing takes pairs of images, make it even"),
        ("averaging=null", r"self_distillation learns from the moving average; set averaging\.decay"),
    ],
)
def test_a_wrong_override_is_explained(assignment: str, sentence: str) -> None:
    model = "mambavision-t" if assignment == "averaging=null" else "groupmamba-t"
    if model not in list_models():
        pytest.skip(f"{model} is not there yet")
    with pytest.raises(UsageError, match=sentence):
        load_recipe("imagenet", model, parse_overrides([assignment]))
