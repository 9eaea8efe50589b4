"""Recipes: the published values, models' sections, overrides, and what a mistake is told."""

from itertools import pairwise
from pathlib import Path

import pytest

from medssm.errors import LONGEST, UsageError
from medssm.models import list_models
from medssm.recipes import dump_recipe, list_recipes, load_recipe, parse_overrides
from medssm.recipes.loading import _common, _flat, _layers, resolved
from medssm.tasks import TASKS


@pytest.mark.parametrize(
    ("model", "dropout_rate", "learning_rate", "batch_size"),
    [
        ("mamband-s", 0.1, 1e-4, 1),
        ("mamband-s-plus", 0.4, 1e-4, 1),
        ("mamband-b-32", 0.2, 1e-4, 1),
        ("mamband-b-64", 0.25, 8e-5, 2),
    ],
)
def test_btcv_has_the_published_values(model: str, dropout_rate: float, learning_rate: float, batch_size: int) -> None:
    recipe = load_recipe("btcv", model)
    assert recipe.model.name == model
    assert recipe.model.num_classes is None  # 14, as BTCV has thirteen organs
    assert recipe.model.dropout_rate == dropout_rate
    assert recipe.optimizer.learning_rate == learning_rate
    assert recipe.optimizer.betas == (0.9, 0.999)
    assert recipe.optimizer.weight_decay == 1e-5
    assert (recipe.optimizer.clip_norm, recipe.optimizer.clip_in_mixed_precision) == (5.0, False)
    assert (recipe.run.batch_size, recipe.run.max_epochs, recipe.run.validate_every_epochs) == (batch_size, 5000, 100)
    assert recipe.schedule.model_dump() == {"kind": "warmup-cosine", "warmup_epochs": 50, "epochs": 5000}
    assert recipe.loss.model_dump() == {"kind": "dice-ce", "class_weights": "none"}
    crops = recipe.augmentation.crops
    assert (crops.size, crops.count, crops.centres, crops.padding) == ((96, 96, 96), 4, "as-published", "zero")
    assert recipe.data.preprocessing.spacing == (1.5, 1.5, 2.0)
    assert recipe.data.preprocessing.windows == ((-175, 250),)
    validation = recipe.validation
    assert (validation.overlap, validation.blending, validation.padding) == (0.5, "constant", "constant")


def test_a_section_of_another_kind_takes_the_place_of_the_common_one() -> None:
    recipe = load_recipe("btcv", "mamband-xs")
    assert recipe.schedule.model_dump() == {"kind": "one-cycle", "warmup": 0.1}
    assert recipe.data.preprocessing.windows == ((-175, 250),)


def recipes_and_models() -> list[tuple[str, str]]:
    networks = {recipe: TASKS[_common(_layers(recipe))["task"]].networks for recipe in list_recipes()}
    return [(recipe, model) for recipe, task in networks.items() for model in list_models(task)]


@pytest.mark.parametrize(("name", "model"), recipes_and_models())
def test_every_recipe_is_complete_and_survives_being_written(name: str, model: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, model)
    (tmp_path / "resolved.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(tmp_path / "resolved.yaml") == recipe


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_names_every_key_in_its_file(name: str) -> None:
    """A reader of the YAML sees every setting, not only those that differ from a default in the code."""
    written = _common(_layers(name))
    resolved = TASKS[written["task"]].settings.model_validate(written).model_dump(mode="json")
    assert _flat(written).keys() == _flat(resolved).keys()


@pytest.mark.parametrize(
    ("recipe", "model", "sentence"),
    [
        ("btcv", "groupmamba-t", "trains segmentation, but groupmamba-t is a model for classification; .* imagenet"),
        ("imagenet", "mamband-s", "trains classification, but mamband-s is a model for segmentation; .* btcv"),
        ("imagenet", "mamband-video-ucf101", "the recipe for it is ucf101"),
    ],
)
def test_a_model_for_something_else_is_refused(recipe: str, model: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        load_recipe(recipe, model)


def test_a_model_may_be_called_as_its_paper_does() -> None:
    recipe = load_recipe("imagenet", "groupmamba-t")
    assert load_recipe("imagenet", "groupmamba_tiny") == recipe
    assert load_recipe("imagenet", overrides={"model.name": "groupmamba_tiny"}) == recipe


def test_a_section_that_is_like_another_begins_with_it() -> None:
    sections = {"a": {"run": {"seed": 1, "nodes": 2}}, "b": {"like": "a", "run": {"seed": 3}}}
    assert resolved("mine", [{"models": sections}], "b") == {"run": {"seed": 3, "nodes": 2}}
    with pytest.raises(UsageError, match=r"models\.c\.like: there is no other section 'd'"):
        resolved("mine", [{"models": {"c": {"like": "d"}}}], "c")
    with pytest.raises(UsageError, match=r"models\.b\.like: there is no other section 'a'"):
        resolved("mine", [{"models": {"a": {"like": "b"}, "b": {"like": "a"}}}], "a")


def test_what_a_recipe_says_overrules_all_that_its_base_says(tmp_path: Path) -> None:
    """Also what the base says for one model alone; the recipe's own section of a model comes last."""
    (tmp_path / "mine.yaml").write_text(
        "base: btcv\nname: mine\nloss: {class_weights: none}\n"
        "data: {preprocessing: {spacing: [2, 2, 2]}}\nrun: {max_steps: 70}"
    )
    (tmp_path / "next.yaml").write_text("base: mine.yaml\nmodels: {mamband-xs: {run: {max_steps: 7}}}")
    mine, untouched = load_recipe(tmp_path / "mine.yaml", "mamband-xs"), load_recipe("btcv", "mamband-xs")
    assert mine.data.preprocessing.spacing == (2, 2, 2)
    assert mine.loss.class_weights == "none"
    assert mine.run.max_steps == 70
    assert mine.augmentation == untouched.augmentation
    assert mine.loss.kind == untouched.loss.kind == "present-dice-ce"
    assert load_recipe(tmp_path / "next.yaml", "mamband-xs").run.max_steps == 7
    assert load_recipe(tmp_path / "next.yaml", "mamband-s").run.max_steps == 70


def test_arguments_are_of_the_network_that_is_named_beside_them(tmp_path: Path) -> None:
    arguments = "arguments: {patch_size: [4, 8, 8]}"
    (tmp_path / "planned.yaml").write_text(f"base: btcv\nmodel: {{name: mamband-xs, {arguments}}}")
    assert load_recipe(tmp_path / "planned.yaml").model.arguments == {"patch_size": (4, 8, 8)}
    assert load_recipe(tmp_path / "planned.yaml", "monai:UNet").model.arguments == {}
    (tmp_path / "mine.yaml").write_text(f"base: btcv\nmodel: {{{arguments}}}")
    assert load_recipe(tmp_path / "mine.yaml", "mamband-xs").model.arguments == {"patch_size": (4, 8, 8)}
    with pytest.raises(UsageError, match=r"monai:UNet: model\.arguments: there is no 'patch_size'; it takes channels"):
        load_recipe(tmp_path / "mine.yaml", "monai:UNet")


def test_a_section_may_be_like_one_of_the_base(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("base: btcv\nrun: {seed: 5}\nmodels: {mamband-s: {like: mamband-xs}}")
    recipe, like = load_recipe(tmp_path / "mine.yaml", "mamband-s"), load_recipe("btcv", "mamband-xs")
    assert (recipe.schedule, recipe.augmentation, recipe.run.seed) == (like.schedule, like.augmentation, 5)


def test_overrides_are_read_as_yaml() -> None:
    texts = ["optimizer.learning_rate=1e-3", "augmentation.flips.x=off", "run.patience=null", "data.folder=/scans"]
    recipe = load_recipe("btcv", overrides=parse_overrides([*texts, "augmentation.crops.size=[32, 32, 64]"]))
    assert recipe.optimizer.learning_rate == 1e-3
    assert recipe.augmentation.flips.x == "off"
    assert recipe.run.patience is None
    assert recipe.data.folder == "/scans"
    assert recipe.augmentation.crops.size == (32, 32, 64)


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        (
            "optimizer.learning_rat=1",
            r"optimizer\.learning_rat: there is no such key; did you mean optimizer\.learning_rate\?",
        ),
        ("learning_rate=1", r"did you mean optimizer\.learning_rate\?"),
        ("schedule.warmup_epoch=1", r"did you mean schedule\.warmup_epochs\?"),
        ("zzz=1", r"zzz: there is no such key$"),
        (
            "schedule={kind: one-cycle, epochs: 3}",
            r"epochs: there is no such key beside this schedule\.kind$",
        ),
        ("optimizer.rates=[{factor: 2}]", r"optimizer\.rates\.0\.name: is missing \(found \{'factor': 2\}\); add it$"),
        ("optimizer.decay=[{nam: x}]", r"decay\.0\.nam: there is no such key; did you mean optimizer\.decay\.name\?$"),
        ("augmentation.crops.size=[1, 2]", r"size\.2: has no such entry \(found \[1, 2\]\); add it$"),
        ("augmentation.crops.size=5", r"size: must be a list \(found 5\)$"),
        (
            "model.arguments.patch_size=8",
            r"mamband-s: model\.arguments\.patch_size must be three powers of two .* found 8",
        ),
        ("model.arguments.patch=8", r"model\.arguments: there is no 'patch'; it takes patch_size$"),
        ("model.arguments={a: 1e9}", r"model\.arguments: a number of at most 10000, a word, a list or a mapping"),
        ("run=3", r"run: must hold `key: value` lines \(found 3\)$"),
        ("model.name=MambaND-XS", r"no model is called 'MambaND-XS'; did you mean mamband-xs\?$"),
        ("optimizer.learning_rate=-1", r"optimizer\.learning_rate: input should be greater than 0 \(found -1\)"),
        ("augmentation.flips.x=maybe", r"augmentation\.flips\.x: input should be 'off', 'as-published' or 'swap'"),
        ("augmentation.crops.size=[32, 48, 64]", r"make crops\.size square there or set .* to 0$"),
        ("run.batch_size", r"is not of the form key=value"),
        ("run.batch_size=[1", r"is no value; quote it"),
        ("model.name=mamband-xxl", r"no model is called 'mamband-xxl'"),
    ],
)
def test_a_wrong_override_is_explained(assignment: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        load_recipe("btcv", overrides=parse_overrides([assignment]))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("btvc", r"did you mean btcv\?"), ("BTCV", r"did you mean btcv\?"), ("/nowhere/mine.yaml", "no such file")],
)
def test_an_unknown_recipe_is_explained(name: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        load_recipe(name)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [1", "is not YAML"),
        ("- a\n- b", "must hold `key: value` lines"),
        ("name: mine\ntask: segmentation", r"optimizer: is missing \(found .*\); add it$"),
        (
            "name: mine\ntask: poetry",
            "task: must be one of segmentation, classification, detection, semantic, video, found 'poetry'",
        ),
        ("name: mine", "task: must be one of"),
    ],
)
def test_a_broken_file_of_the_users_own_is_explained(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UsageError, match=sentence):
        load_recipe(tmp_path / "mine.yaml")


BOMB = "a: &a [1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [*{below}, *{below}, *{below}, *{below}]\n" for below, name in pairwise("abcdefghijklm")
)


@pytest.mark.parametrize(
    "text",
    [
        "!!int abc",
        "!!timestamp 1",
        "!!float x",
        "!!python/object/apply:os.system [ls]",
        BOMB,
        "a: &a [*a]",
        "[" * 5000,
        "{" * 5000,
        "? [a]\n: 1",
        "? {a: 1}\n: 1",
        "x" * (2 << 20),
        "\0",
        "task: [",
        "- 1",
        "5",
        "model: {name: {a: 1}}\ntask: segmentation",
        "base: [1]",
        "task: {}",
        "models: 5\ntask: segmentation\nmodel: {name: mamband-s}",
    ],
)
def test_strange_yaml_is_refused_in_a_short_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        load_recipe(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value).replace(str(tmp_path), "")) < 300


def test_a_recipe_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"name: \xf8\n")
    with pytest.raises(UsageError, match=r"own\.yaml: is no text in UTF-8 \(byte 6\)"):
        load_recipe(tmp_path / "own.yaml")


@pytest.mark.parametrize("assignment", ["data=!!timestamp 1", "model.name=? a", "name=!!float x", "a=*b", "a=[" * 400])
def test_a_strange_value_of_a_setting_is_refused_in_a_short_sentence(assignment: str) -> None:
    with pytest.raises(UsageError) as error:
        load_recipe("btcv", None, parse_overrides([assignment]))
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    "assignment",
    ["a" * 5000, f"{'a' * 5000}=1", f"optimizer.{'a' * 5000}=1", f"schedule.kind={'[' * 3000}x", "é\udcee\x1b[2J=["],
    ids=["no value", "key", "inner key", "kind", "control"],
)
def test_an_override_is_not_shown_at_length(assignment):
    with pytest.raises(UsageError) as caught:
        load_recipe("btcv", "mamband-xs", parse_overrides([assignment]))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= LONGEST


def test_a_value_of_a_recipe_is_not_shown_at_length(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(f"base: btcv\nschedule:\n  kind: '{'[' * 3000}'\n")
    with pytest.raises(UsageError, match=r"own\.yaml: schedule: ") as caught:
        load_recipe(path, "mamband-xs")
    assert len(str(caught.value)) <= LONGEST + len(str(path))
