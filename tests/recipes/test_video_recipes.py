"""The recipes for videos against the published trainings, written out from their descriptions."""

from fnmatch import fnmatchcase
from typing import Any

import pytest
import torch

from medssm.errors import UsageError
from medssm.models import fresh_model
from medssm.recipes import load_recipe, parse_overrides
from medssm.tasks.video.settings import VideoRecipe
from medssm.training.optimizers import parameter_groups

MODELS = {
    "ucf101": "mamband-video-ucf101",
    "hmdb51": "mamband-video-hmdb51",
    "kinetics400": "mamband-video-k400",
}
# Steps of 64 videos in an epoch of split 1, and of what Kinetics lists.
STEPS = {"ucf101": 9537 // 64, "hmdb51": 3570 // 64, "kinetics400": 246_000 // 64}


def resolved(name: str, model: str | None = None) -> VideoRecipe:
    recipe = load_recipe(name, model)
    assert isinstance(recipe, VideoRecipe)
    return recipe


# By dotted key; UCF-101, HMDB-51, Kinetics-400.
PUBLISHED: dict[str, tuple[Any, Any, Any]] = {
    "model.num_classes": (400, 60, None),
    "model.input_size": ((32, 224, 224), (32, 224, 224), (16, 224, 224)),
    "data.split": (1, 1, 1),
    "sampling.kind": ("strided", "strided", "segments"),
    "sampling.copies": (1, 1, 2),
    "augmentation.short_side": (256, 256, None),
    "augmentation.rand_augment.operations": ("pytorchvideo", "pytorchvideo", "timm"),
    "augmentation.rand_augment.magnitude": (9, 9, 7),
    "augmentation.rand_augment.layers": (4, 4, 4),
    "augmentation.rand_augment.probability": (0.5, 0.5, 0.5),
    "augmentation.area": ((0.08, 1.0),) * 3,
    "augmentation.flip": (0.5, 0.5, 0.5),
    "augmentation.erasing": (0.25, 0.25, 0.25),
    "augmentation.erasing_values": ("uniform", "uniform", "normal"),
    "mixing.mixup": (0.0, 0.0, 0.8),
    "mixing.cutmix": (0.0, 0.0, 1.0),
    "mixing.mixes": (False, False, True),
    "mixing.label_smoothing": (0.0, 0.0, 0.1),
    "optimizer.algorithm": ("adamw",) * 3,
    "optimizer.learning_rate": (1e-3, 6e-4, 4e-4 * 64 * 2 / 256),
    "optimizer.betas": ((0.9, 0.999),) * 3,
    "optimizer.weight_decay": (0.02, 0.02, 0.05),
    "optimizer.clip_norm": (None, None, None),
    "averaging": (None, None, None),
    "validation.short_side": (256, 256, 224),
    "validation.views": (1, 1, 1),
    "validation.crops": (1, 1, 1),
    "validation.test_views": (1, 1, 4),
    "validation.test_crops": (1, 1, 3),
    "run.batch_size": (16, 16, 8),
    "run.total_batch": (64, 64, 64),
    "run.precision": ("auto", "auto", "bf16-mixed"),
    "run.validate_every_epochs": (3, 3, 1),
    "schedule.epochs": (51, 51, 50),
}


@pytest.mark.parametrize("key", PUBLISHED)
def test_a_training_has_the_published_values(key: str) -> None:
    for name, expected in zip(MODELS, PUBLISHED[key], strict=True):
        found: Any = resolved(name)
        for part in key.split("."):
            found = getattr(found, part)
        assert found == expected, name


@pytest.mark.parametrize("name", MODELS)
def test_the_network_is_the_published_one(name: str) -> None:
    assert resolved(name).model.name == MODELS[name]
    assert (resolved(name).model.dropout_rate, resolved(name).model.drop_path_rate) == (None, None)  # its own


# Of the head at the start of an epoch; from the descriptions.
RATES = {
    "ucf101": {0: 1e-4, 1: 9.99e-4, 2: 9.96e-4, 3: 9.91e-4, 49: 1.986e-6, 50: 1.986e-6},
    "hmdb51": {0: 6.0e-5, 1: 1.68e-4, 2: 2.76e-4, 3: 3.82e-4, 4: 4.86e-4, 5: 5.86e-4},
    "kinetics400": {0: 5e-7, 5: 2e-4, 27.5: (2e-4 + 5e-7) / 2, 50: 5e-7},
}


@pytest.mark.parametrize("name", RATES)
def test_a_schedule_has_the_published_rates(name: str) -> None:
    """Within what the digits that are published leave open."""
    recipe = resolved(name)
    steps = STEPS[name]
    for epoch, rate in RATES[name].items():
        found = recipe.schedule.rate(recipe.optimizer.learning_rate, round(epoch * steps), steps, 0)
        assert found == pytest.approx(rate, rel=4e-3), epoch


def test_the_backbone_of_ucf101_falls_to_the_same_floor_as_the_head() -> None:
    recipe, steps = resolved("ucf101"), STEPS["ucf101"]
    assert recipe.schedule.rate(1e-4, 50 * steps, steps, 0) == pytest.approx(1.098e-6, rel=1e-3)


def groups(name: str) -> dict[str, tuple[float, float, float]]:
    """Parameter -> weight decay, share of the peak, share of the schedule."""
    with torch.device("meta"):
        network = fresh_model(MODELS[name])
    names = {id(parameter): entry for entry, parameter in network.named_parameters()}
    found = parameter_groups(network, resolved(name).optimizer)
    return {names[id(p)]: (g["weight_decay"], g["peak"], g["share"]) for g in found for p in g["params"]}


FROZEN = 0.75**37
GROUPS = {
    "ucf101": {
        "backbone.pos_embed": (0.02, 0.1, 1.0),
        "backbone.patch_embed.projection.bias": (0.02, 0.1, 1.0),
        "backbone.layers.*.norm.*": (0.0, 0.1, 1.0),
        "backbone.layers.*.mixer.A_log": (0.02, 0.1, 1.0),
        "backbone.layers.*.mixer.D": (0.02, 0.1, 1.0),
        "cls_head.*": (0.02, 1.0, 1.0),
    },
    "kinetics400": {
        "backbone.pos_embed": (0.0, 1.0, FROZEN),
        "backbone.patch_embed.projection.weight": (0.05, 1.0, FROZEN),
        "backbone.patch_embed.projection.bias": (0.0, 1.0, FROZEN),
        "backbone.layers.*.norm.*": (0.0, 1.0, 1.0),
        "backbone.layers.*.mixer.A_log": (0.05, 1.0, 1.0),
        "backbone.layers.*.mixer.D": (0.0, 1.0, 1.0),
        "head.1.weight": (0.05, 1.0, 1.0),
        "head.*.bias": (0.0, 1.0, 1.0),
    },
}
GROUPS["hmdb51"] = GROUPS["ucf101"]


@pytest.mark.parametrize("name", GROUPS)
def test_parameters_have_the_published_decay_and_rate(name: str) -> None:
    found = groups(name)
    for pattern, expected in GROUPS[name].items():
        matching = {entry: value for entry, value in found.items() if fnmatchcase(entry, pattern)}
        assert matching, pattern
        assert all(value == pytest.approx(expected, rel=1e-12) for value in matching.values()), (pattern, matching)


@pytest.mark.parametrize("name", MODELS)
def test_our_small_network_needs_no_further_option(name: str) -> None:
    recipe = load_recipe(name, "mamband-video-xs", {"data.folder": "synthetic"})
    assert isinstance(recipe, VideoRecipe)
    assert recipe.data.layout == name
    assert recipe.sampling.kind == resolved(name).sampling.kind
    assert recipe.augmentation.flip == 0  # a mirrored motion is of another class
    assert (recipe.model.input_size, recipe.run.precision) == ((16, 32, 32), "32-true")


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("sampling.copys=2", r"sampling\.copys: there is no such key; did you mean sampling\.copies\?"),
        ("augmentation.rand_augment.layer=1", r"did you mean augmentation\.rand_augment\.layers\?"),
        ("data.layout=ucf", r"data\.layout: input should be 'ucf101', 'hmdb51' or 'kinetics400'"),
        ("run.loader_processes=0", "videos are decoded by processes, set 1 or more"),
        ("model.input_size=[16,224]", r"model\.input_size"),
    ],
)
def test_a_wrong_override_is_explained(assignment: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        load_recipe("kinetics400", overrides=parse_overrides([assignment]))


def test_mixing_needs_pairs_of_clips_and_two_copies_are_one() -> None:
    assert load_recipe("kinetics400", overrides={"run.batch_size": 7, "run.total_batch": None})
    with pytest.raises(UsageError, match="mixing takes pairs of clips, make it even"):
        load_recipe("kinetics400", overrides={"run.batch_size": 7, "run.total_batch": None, "sampling.copies": 1})


def test_a_network_for_images_is_refused() -> None:
    with pytest.raises(UsageError, match="ucf101: trains video, but mamband2d-s is a model for classification"):
        load_recipe("ucf101", "mamband2d-s")
