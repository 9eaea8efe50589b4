"""The ade20k recipe against the published trainings, written out from their descriptions."""

from fnmatch import fnmatchcase
from typing import Any

import pytest
import torch

from medssm.errors import UsageError
from medssm.models import fresh_model
from medssm.recipes import load_recipe, parse_overrides
from medssm.tasks.semantic.settings import SemanticRecipe
from medssm.training.optimizers import parameter_groups

ALL_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
FEW_SCALES = (0.75, 1.0, 1.25)
NAMES = ("rate", "decay", "clip", "drop_path", "batch", "precision", "passes", "crop", "scales")
PUBLISHED: dict[str, tuple[Any, ...]] = {
    "spatialmamba-t": (6e-5, 0.01, None, 0.2, 2, "32-true", 1, 512, FEW_SCALES),
    "spatialmamba-s": (6e-5, 0.01, None, 0.3, 2, "32-true", 1, 512, FEW_SCALES),
    "spatialmamba-b": (6e-5, 0.01, None, 0.5, 2, "32-true", 1, 512, FEW_SCALES),
    "mamba2d-n": (6e-5, 0.05, 1.0, 0.175, 8, "32-true", 2, 512, ALL_SCALES),
    "mamba2d-t": (6e-5, 0.05, 1.0, 0.175, 8, "32-true", 2, 512, ALL_SCALES),
    "mamba2d-s": (6e-5, 0.05, 1.0, 0.2, 8, "32-true", 2, 512, ALL_SCALES),
    "mambavision-t": (5e-5, 0.01, None, 0.2, 1, "auto", 1, 512, ALL_SCALES),
    "mambavision-s": (6e-5, 0.01, None, 0.2, 2, "auto", 1, 512, ALL_SCALES),
    "mambavision-b": (5e-5, 0.01, None, 0.2, 1, "auto", 1, 512, ALL_SCALES),
    "mambavision-l3-512-21k": (8e-5, 0.05, None, 0.2, 1, "32-true", 1, 640, ALL_SCALES),
    # A reconstruction: nothing was released.
    "groupmamba-t": (6e-5, 0.01, None, 0.05, 2, "32-true", 1, 512, ALL_SCALES),
}


def resolved(model: str) -> SemanticRecipe:
    recipe = load_recipe("ade20k", model)
    assert isinstance(recipe, SemanticRecipe)
    return recipe


@pytest.mark.parametrize("model", PUBLISHED)
def test_a_training_has_the_published_values(model: str) -> None:
    recipe = resolved(model)
    optimizer, run, schedule, seen = recipe.optimizer, recipe.run, recipe.schedule, recipe.augmentation
    assert schedule.kind == "polynomial"
    found = (
        optimizer.learning_rate,
        optimizer.weight_decay,
        optimizer.clip_norm,
        recipe.model.drop_path_rate,
        run.batch_size,
        run.precision,
        schedule.passes,
        seen.crop[0],
        recipe.validation.scales,
    )
    assert dict(zip(NAMES, found, strict=True)) == dict(zip(NAMES, PUBLISHED[model], strict=True))
    assert (optimizer.algorithm, optimizer.betas, optimizer.eps) == ("adamw", (0.9, 0.999), 1e-8)
    assert (run.total_batch, recipe.averaging) == (16, None)
    assert (schedule.iterations, schedule.power, schedule.warmup_steps, schedule.warmup_start) == (
        160000,
        1,
        1500,
        1e-6,
    )
    side = 640 if "l3" in model else 512
    assert (seen.short_side, seen.long_side, seen.ratio, seen.crop) == (side, 4 * side, (0.5, 2.0), (side, side))
    assert (recipe.validation.short_side, recipe.validation.long_side) == (side, 4 * side)
    assert (seen.largest_share, seen.flip, recipe.validation.window) == (0.75, 0.5, None)
    assert seen.distortion is not None
    assert seen.distortion.model_dump() == {
        "brightness": 32.0,
        "contrast": (0.5, 1.5),
        "saturation": (0.5, 1.5),
        "hue": 18,
        "probability": 0.5,
    }
    assert (recipe.model.head, recipe.model.head_settings, recipe.model.dropout_rate) == ("upernet", {}, 0.1)
    assert (recipe.loss.auxiliary, recipe.loss.counts_ignored) == (0.4, True)


@pytest.mark.parametrize(("model", "updates"), [("spatialmamba-t", 160000), ("mamba2d-t", 80000)])
def test_the_rate_rises_and_falls_in_straight_lines(model: str, updates: int) -> None:
    """Iterations count passes, the last of which makes the update."""
    recipe, passes = resolved(model), 160000 // updates
    full = recipe.optimizer.learning_rate
    assert recipe.schedule.length(1000) == updates

    def rate(iteration: int) -> float:
        return recipe.schedule.rate(full, iteration // passes, 1000, updates)

    assert rate(1499) == pytest.approx(full, rel=1e-3)
    assert rate(750) == pytest.approx(full * 750 / 1499, rel=3e-3)
    assert rate(80750) == pytest.approx(full / 2, rel=1e-3)
    assert rate(159999) == pytest.approx(0, abs=full * 1e-4)


DECAYED = {
    "spatialmamba-t": {
        "*.outnorm0.weight": 0,
        "*.outnorm?.bias": 0,
        "*.out_norm.weight": 0,
        "*.norm.weight": 0,
        "*.ln_1.weight": 1,
        "*.A_logs": 1,
        "*.Ds": 1,
        "*.alpha": 1,
        "*.mlp.fc1.bias": 1,
        "decode_head.*.bn.weight": 1,
        "decode_head.conv_seg.bias": 1,
    },
    "mamba2d-t": {
        "*.AT_log": 0,
        "*.AL_log": 0,
        "*.D": 0,
        "*.bias": 0,
        "*scale*": 0,
        "decode_head.*.bn.weight": 0,
        "decode_head.conv_seg.weight": 1,
        "backbone.*.fc?.weight": 1,
    },
    "mambavision-t": {
        "*norm*": 0,
        "*.A_log": 1,
        "*.D": 1,
        "*.mlp.fc1.bias": 1,
        "decode_head.*.bn.weight": 1,
    },
}


@pytest.mark.parametrize("model", DECAYED)
def test_the_published_parameters_are_decayed(model: str) -> None:
    recipe = resolved(model)
    with torch.device("meta"):
        network = fresh_model(model, head="upernet")
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = parameter_groups(network, recipe.optimizer)
    unit = recipe.optimizer.weight_decay
    shares = {names[id(p)]: group["weight_decay"] / unit for group in groups for p in group["params"]}
    for pattern, share in DECAYED[model].items():
        matching = {name: value for name, value in shares.items() if fnmatchcase(name, pattern)}
        assert matching, pattern
        assert all(value == share for value in matching.values()), (pattern, matching)


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("validation.scale=[1.0]", r"validation\.scale: there is no such key; did you mean validation\.scales\?"),
        ("augmentation.distortion.hues=1", r"did you mean augmentation\.distortion\.hue\?"),
        ("validation.stride=[10,10]", r"validation\.stride is of windows; set validation\.window too"),
        ("validation.scales=[0.0]", r"validation\.scales must be above 0, found 0"),
        ("model.head=mask-rcnn", r"model\.head: input should be 'upernet'"),
    ],
)
def test_a_wrong_override_is_explained(assignment: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        load_recipe("ade20k", "spatialmamba-t", parse_overrides([assignment]))
